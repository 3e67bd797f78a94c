#pragma once
// How nanobind passes our types.

#include <nanobind/nanobind.h>

#include "bind/constants.h"
#include "bind/convert.h"
#include "bind/tensor_type.h"

namespace nanobind::detail {

template <>
struct type_caster<flambeau::Tensor> {
  NB_TYPE_CASTER(flambeau::Tensor, const_name("Tensor"))
  /// None is the undefined tensor.
  bool from_python(handle source, uint8_t /*flags*/, cleanup_list* /*unused*/) noexcept {
    if (source.is_none()) return true;
    if (!flambeau::bind::is_tensor(source.ptr())) return false;
    value = flambeau::bind::tensor_of(source.ptr());
    return true;
  }
  static handle from_cpp(const flambeau::Tensor& tensor, rv_policy /*unused*/,
                         cleanup_list* /*unused*/) noexcept {
    return flambeau::bind::guarded([&] { return flambeau::bind::wrap(tensor); });
  }
};

template <>
struct type_caster<flambeau::bind::DTypeArgument> {
  NB_TYPE_CASTER(flambeau::bind::DTypeArgument, const_name("dtype"))
  bool from_python(handle source, uint8_t /*flags*/, cleanup_list* /*unused*/) noexcept {
    value.object = source.ptr();
    return flambeau::bind::names_dtype(source.ptr());
  }
};

template <>
struct type_caster<flambeau::DType> {
  // NOLINTNEXTLINE(readability-identifier-naming): nanobind asks for it
  static constexpr auto Name = const_name("dtype");
  static handle from_cpp(flambeau::DType dtype, rv_policy /*unused*/,
                         cleanup_list* /*unused*/) noexcept {
    return handle(flambeau::bind::dtype_object(dtype)).inc_ref();
  }
};

template <>
struct type_caster<flambeau::Ints> {
  NB_TYPE_CASTER(flambeau::Ints, const_name("tuple[int, ...]"))
  bool from_python(handle source, uint8_t /*flags*/, cleanup_list* /*unused*/) noexcept {
    try {
      return flambeau::bind::ints_from(source.ptr(), value);
    } catch (...) {
      PyErr_Clear();
      return false;
    }
  }
  static handle from_cpp(const flambeau::Ints& ints, rv_policy /*unused*/,
                         cleanup_list* /*unused*/) noexcept {
    return flambeau::bind::guarded([&] { return flambeau::bind::size_object(ints).release(); });
  }
};

}  // namespace nanobind::detail
