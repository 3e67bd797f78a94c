#pragma once
// Checks of arguments and values that several definitions share.

#include "ops/registry.h"

namespace flambeau::ops {

/// RuntimeError "ZeroDivisionError" if the common dtype is an integer and `other` holds a 0.
void check_divisor(HostCall& host);
/// The first element of the integer tensor `parameter` outside [low, high) for which `ignored` does
/// not hold; nothing if there is none.
std::optional<int64_t> find_outside(HostCall& host, std::string_view parameter, int64_t low,
                                    int64_t high, std::optional<int64_t> ignored = {});
/// The same of a row-major tensor.
std::optional<int64_t> find_outside(const HostTensor& contiguous, int64_t low, int64_t high,
                                    std::optional<int64_t> ignored = {});
/// Element `position` (row-major) of an integer or bool tensor.
int64_t integer_at(const HostTensor& contiguous, int64_t position);

/// RuntimeError if `parameter` is a number beyond the range of `dtype`.
void check_fits(HostCall& host, std::string_view parameter, DType dtype);
/// The call's tensors must have one floating dtype; RuntimeError naming both otherwise.
void check_same_dtype(const Call& call, std::initializer_list<std::string_view> parameters);
/// The word for the one layout that tensors have.
inline constexpr std::string_view kStrided = "strided";
/// NotImplementedError if the call's `layout` is another than strided: there are no such tensors.
void check_layout(const Call& call);
/// RuntimeError unless `parameter` has `rank` axes.
void check_rank(const Call& call, std::string_view parameter, int rank);

}  // namespace flambeau::ops
