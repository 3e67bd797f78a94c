#include "ops/checks.h"

#include <algorithm>

#include "base/scalar_range.h"
#include "ir/core_carrier.h"
#include "ir/core_function.h"

namespace flambeau::ops {
namespace {

/// Calls fn(elements) with the elements of an integer or bool tensor, a span of their C++ type.
template <class Fn>
decltype(auto) with_elements(const HostTensor& contiguous, const Fn& fn) {
  return ir::with_type(contiguous.info.dtype, [&]<class T>() {
    if constexpr (std::is_integral_v<T>) {
      return fn(std::span(static_cast<const T*>(contiguous.data),
                          static_cast<size_t>(contiguous.info.numel())));
    } else {
      throw InternalError("check: values of a float tensor as integers");
      return fn(std::span<const int64_t>());
    }
  });
}

/// True if an element may be outside [low, high): none is if this is false. A difference of the
/// two bounds is negative then; one that wraps around is an element far outside.
template <class T>
bool may_be_outside(std::span<const T> elements, int64_t low, int64_t high) {
  uint64_t signs = 0;
  for (const T element : elements) {
    const auto value = static_cast<uint64_t>(static_cast<int64_t>(element));
    signs |= (value - static_cast<uint64_t>(low)) | (static_cast<uint64_t>(high - 1) - value);
  }
  return static_cast<int64_t>(signs) < 0;
}

}  // namespace

int64_t integer_at(const HostTensor& contiguous, int64_t position) {
  const DType dtype = contiguous.info.dtype;
  const auto* bytes = static_cast<const std::byte*>(contiguous.data);
  return static_cast<int64_t>(
      ir::load_element(dtype, bytes + position * static_cast<int64_t>(size_of(dtype))));
}

std::optional<int64_t> find_outside(const HostTensor& contiguous, int64_t low, int64_t high,
                                    std::optional<int64_t> ignored) {
  if (contiguous.info.numel() == 0) return std::nullopt;  // of any dtype
  // Nearly always nothing is: long runs are tested without branches.
  constexpr size_t kRun = 4096;
  return with_elements(contiguous, [&]<class T>(std::span<const T> all) -> std::optional<int64_t> {
    for (size_t first = 0; first < all.size(); first += kRun) {
      const auto run = all.subspan(first, std::min(kRun, all.size() - first));
      if (!may_be_outside(run, low, high)) continue;
      for (const T element : run) {
        const auto value = static_cast<int64_t>(element);
        if ((value < low || value >= high) && value != ignored) return value;
      }
    }
    return std::nullopt;
  });
}

std::optional<int64_t> find_outside(HostCall& host, std::string_view parameter, int64_t low,
                                    int64_t high, std::optional<int64_t> ignored) {
  return find_outside(host.input(parameter), low, high, ignored);
}

void check_divisor(HostCall& host) {
  const Call& call = host.call();
  if (is_inexact(common_dtype(call))) return;
  bool zero = false;
  if (const auto* number = std::get_if<Scalar>(&call["other"])) {
    zero = ir::container_of(common_dtype(call), *number) == 0;
  } else {
    zero = with_elements(host.input("other"), []<class T>(std::span<const T> all) {
      bool any = false;
      for (const T element : all) any |= element == T{};
      return any;
    });
  }
  check(!zero, [&] { return concat(call.name(), ": ZeroDivisionError (division by zero)"); });
}

void check_fits(HostCall& host, std::string_view parameter, DType dtype) {
  const auto* value = std::get_if<Scalar>(&host.call()[parameter]);
  check(value == nullptr || fits(*value, dtype), [&] {
    return concat(host.call().name(), ": value cannot be converted to type ", info(dtype).name,
                  " without overflow");
  });
}

void check_same_dtype(const Call& call, std::initializer_list<std::string_view> parameters) {
  std::optional<DType> first;
  for (const std::string_view parameter : parameters) {
    const TensorInfo* t = call.optional_tensor(parameter);
    if (t == nullptr) continue;
    check(!first || *first == t->dtype, [&] {
      return concat(call.name(), ": expected tensors of one dtype, got ", info(*first).name,
                    " and ", info(t->dtype).name, " ('", parameter, "')");
    });
    first = t->dtype;
  }
}

void check_layout(const Call& call) {
  check<NotImplementedError>(call.is_none("layout") || call.string("layout") == kStrided, [&] {
    return concat(call.name(), ": torch.", call.string("layout"),
                  ": Flambeau has no tensors of this layout yet");
  });
}

void check_rank(const Call& call, std::string_view parameter, int rank) {
  const TensorInfo& t = call.tensor(parameter);
  check(t.dim() == rank, [&] {
    return concat(call.name(), ": ", parameter, " must be a ", rank, "D tensor, got ", t.dim(),
                  "D of shape ", list_text(t.sizes));
  });
}

}  // namespace flambeau::ops
