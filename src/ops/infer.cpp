#include <algorithm>
#include <atomic>

#include "base/scalar_range.h"
#include "ops/registry.h"

namespace flambeau::ops {
namespace {

std::atomic<DType> default_float{DType::Float32};

/// One of PyTorch's three categories of operands while they are collected.
struct Category {
  bool any = false;
  DType dtype = DType::Bool;
  void add(DType d) {
    dtype = any ? promote_types(dtype, d) : d;
    any = true;
  }
};

Category combine(const Category& higher, const Category& lower) {
  if (!lower.any) return higher;
  if (!higher.any) return lower;
  if (is_complex(higher.dtype)) return higher;
  if (is_float(higher.dtype))
    return is_complex(lower.dtype) ? Category{true, complex_dtype(higher.dtype)} : higher;
  if (is_bool(higher.dtype) || is_inexact(lower.dtype))
    return {true, promote_types(higher.dtype, lower.dtype)};
  return higher;
}

/// Calls fn(TensorInfo, parameter) for each tensor of the call.
template <class Fn>
void for_each_tensor(const Call& call, const Fn& fn) {
  for (size_t i = 0; i < call.arguments().size(); ++i) {
    const Argument& argument = call.arguments()[i];
    if (const auto* one = std::get_if<const TensorInfo*>(&argument)) {
      if (*one != nullptr) fn(**one, i);
    } else if (const auto* list = std::get_if<TensorRefs>(&argument)) {
      for (const TensorInfo* t : *list)
        if (t != nullptr) fn(*t, i);
    }
  }
}

void check_accepts(const Call& call, DType common) {
  bool ok = true;
  switch (call.definition().accepts) {
    case Accepts::All:
      break;
    case Accepts::Floats:
      ok = is_float(common);
      break;
    case Accepts::Inexact:
      ok = is_inexact(common);
      break;
    case Accepts::Real:
      ok = !is_complex(common);
      break;
    case Accepts::NumbersNoBool:
      ok = !is_bool(common);
      break;
    case Accepts::Integers:
      ok = !is_inexact(common);
      break;
    case Accepts::IntegersNoBool:
      ok = is_integer(common);
      break;
  }
  DType refused = common;
  if (call.definition().kernel != nullptr && !call.definition().complex_kernel)
    for_each_tensor(call, [&](const TensorInfo& t, size_t) {
      if (!is_complex(t.dtype)) return;
      ok = false;
      refused = t.dtype;
    });
  check(ok, [&] {
    return concat('"', call.name(), "\" not implemented for '", info(refused).word, "'");
  });
}

void check_fitting(const Call& call, DType common) {
  for (size_t i = 0; i < call.arguments().size(); ++i) {
    if (!call.definition().traits[i].fitting) continue;
    const auto* number = std::get_if<Scalar>(&call.arguments()[i]);
    check(number == nullptr || fits(*number, common), [&] {
      return concat(call.name(), ": value cannot be converted to type ", info(common).name,
                    " without overflow");
    });
  }
}

void elementwise_results(const Call& call, DType common, ResultInfos& results) {
  const Definition& d = call.definition();
  SmallVector<Ints, 4> shapes;
  for_each_tensor(call, [&](const TensorInfo& t, size_t) { shapes.push_back(t.sizes); });
  TensorInfo info;
  info.sizes = call.broadcast(shapes);
  info.dtype = d.promotion == Promotion::Compare ? DType::Bool
               : d.real_result                   ? real_dtype(common)
               : d.complex_result                ? complex_dtype(common)
                                                 : common;
  for (size_t i = 0; i < d.parsed.returns.size(); ++i) results.push_back(info);
}

void elementwise_layout(const Call& call, ResultInfos& results) {
  SmallVector<const TensorInfo*, 4> inputs;
  bool numbers = false;
  for_each_tensor(call, [&](const TensorInfo& t, size_t) { inputs.push_back(&t); });
  for (size_t i = 0; i < call.arguments().size(); ++i)
    numbers = numbers || (call.definition().traits[i].role == Definition::Role::Tensor &&
                          std::holds_alternative<Scalar>(call.arguments()[i]));
  const Ints strides = elementwise_strides(inputs, results[0].sizes, numbers);
  for (TensorInfo& result : results) result.strides = strides;
}

ResultInfos infer_items(const Call& call) {
  const Definition& d = call.definition();
  const size_t items = item_count(d, call.arguments());
  SmallVector<ResultInfos, 4> each;
  for (size_t i = 0; i < items; ++i) {
    const Arguments arguments = item_arguments(d, call.arguments(), i);
    each.push_back(infer(Call(d, arguments)));
  }
  ResultInfos results;
  const size_t count = items == 0 ? 0 : each[0].size();
  for (size_t r = 0; r < count; ++r)
    for (size_t i = 0; i < items; ++i) results.push_back(each[i][r]);
  return results;
}

bool has_item_lists(const Call& call) {
  return std::any_of(call.arguments().begin(), call.arguments().end(),
                     [](const Argument& a) { return std::holds_alternative<TensorRefs>(a); });
}

}  // namespace

DType default_dtype() { return default_float.load(std::memory_order_relaxed); }

void set_default_dtype(DType dtype) {
  check<TypeError>(is_float(dtype), [&] {
    return concat(
        "set_default_dtype: only floating-point types are supported as the default "
        "type, but got ",
        info(dtype).name);
  });
  default_float.store(dtype, std::memory_order_relaxed);
}

DType common_dtype(const Call& call) {
  const Definition& d = call.definition();
  Category dims;
  Category zero;
  Category numbers;
  std::optional<DType> first;
  for_each_tensor(call, [&](const TensorInfo& t, size_t i) {
    if (!first) first = t.dtype;
    if (d.traits[i].promoted) (t.dim() > 0 ? dims : zero).add(t.dtype);
  });
  if (d.promotion == Promotion::None) return first.value_or(default_dtype());
  for (size_t i = 0; i < call.arguments().size(); ++i) {
    const auto* number = std::get_if<Scalar>(&call.arguments()[i]);
    if (number != nullptr && d.traits[i].promoted)
      numbers.add(number->is_complex() ? complex_dtype(default_dtype())
                  : number->is_float() ? default_dtype()
                                       : number->dtype());
  }
  const DType common = combine(dims, combine(zero, numbers)).dtype;
  return d.promotion == Promotion::ToFloat && !is_inexact(common) ? default_dtype() : common;
}

ResultInfos infer(const Call& call) {
  const Definition& d = call.definition();
  if (d.per_item && has_item_lists(call)) return infer_items(call);
  ResultInfos results;
  const DType common = common_dtype(call);
  check_accepts(call, common);
  if (!d.fitting.empty()) check_fitting(call, common);
  if (d.shape != nullptr) {
    d.shape(call, results);
  } else {
    elementwise_results(call, common, results);
  }
  if (d.returns == Returns::Self) {
    results.clear();
    for (size_t i = 0; i < call.arguments().size(); ++i)
      if (d.parsed.parameters[i].written)
        results.push_back(*std::get<const TensorInfo*>(call.arguments()[i]));
  } else if (d.strides != nullptr) {
    d.strides(call, results);
  } else if (d.elementwise()) {
    elementwise_layout(call, results);
  } else {
    for (TensorInfo& result : results)
      if (result.strides.size() != result.sizes.size())
        result.strides = contiguous_strides(result.sizes);
  }
  return results;
}

void canonicalize(const Definition& d, Arguments& arguments) {
  if (!has_canonical_form(d)) return;
  const Call call(d, arguments);
  int64_t rank = 0;
  bool found = false;
  for_each_tensor(call, [&](const TensorInfo& t, size_t) {
    if (!found) rank = t.dim();
    found = true;
  });
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!d.traits[i].axis) continue;
    if (auto* number = std::get_if<Scalar>(&arguments[i]))
      *number = Scalar(call.axis(number->to_int(), rank));
    else if (auto* list = std::get_if<Ints>(&arguments[i]))
      *list = call.axes(*list, rank, false);
  }
  if (d.canonical != nullptr) d.canonical(call, arguments);
}

size_t item_count(const Definition& d, std::span<const Argument> arguments) {
  size_t count = 0;
  for (const Argument& argument : arguments) {
    const auto* list = std::get_if<TensorRefs>(&argument);
    if (list == nullptr || list->empty()) continue;
    check(count == 0 || count == list->size(), [&] {
      return concat(d.parsed.name, ": lists of tensors must have the same length, got ", count,
                    " and ", list->size());
    });
    count = list->size();
  }
  return count;
}

Arguments item_arguments(const Definition& d, std::span<const Argument> arguments, size_t item) {
  Arguments result(arguments.begin(), arguments.end());
  require(d.per_item, "item_arguments of an op that has no items");
  for (Argument& argument : result)
    if (const auto* list = std::get_if<TensorRefs>(&argument))
      argument = list->empty() ? Argument{} : Argument{(*list)[item]};
  return result;
}

}  // namespace flambeau::ops
