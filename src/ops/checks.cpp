#include "ops/checks.h"

#include "ir/core_function.h"

namespace flambeau::ops {

int64_t integer_at(const HostTensor& contiguous, int64_t position) {
  const DType dtype = contiguous.info.dtype;
  const auto* bytes = static_cast<const std::byte*>(contiguous.data);
  return static_cast<int64_t>(
      ir::load_element(dtype, bytes + position * static_cast<int64_t>(size_of(dtype))));
}

std::optional<int64_t> find_outside(HostCall& host, std::string_view parameter, int64_t low,
                                    int64_t high, std::optional<int64_t> ignored) {
  const HostTensor values = host.input(parameter);
  for (int64_t i = 0; i < values.info.numel(); ++i) {
    const int64_t value = integer_at(values, i);
    if ((value < low || value >= high) && value != ignored) return value;
  }
  return std::nullopt;
}

void check_divisor(HostCall& host) {
  const Call& call = host.call();
  if (is_inexact(common_dtype(call))) return;
  bool zero = false;
  if (const auto* number = std::get_if<Scalar>(&call["other"])) {
    zero = number->to_int() == 0;
  } else {
    const HostTensor divisor = host.input("other");
    for (int64_t i = 0; i < divisor.info.numel() && !zero; ++i) zero = integer_at(divisor, i) == 0;
  }
  check(!zero, [&] { return concat(call.name(), ": ZeroDivisionError (division by zero)"); });
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

void check_rank(const Call& call, std::string_view parameter, int rank) {
  const TensorInfo& t = call.tensor(parameter);
  check(t.dim() == rank, [&] {
    return concat(call.name(), ": ", parameter, " must be a ", rank, "D tensor, got ", t.dim(),
                  "D of shape ", list_text(t.sizes));
  });
}

}  // namespace flambeau::ops
