#include "autograd/forward.h"

#include <atomic>

#include "autograd/function_template.h"
#include "autograd/in_place_view.h"
#include "autograd/program_node.h"
#include "base/error.h"

namespace flambeau {

using Kind = Derivative::Source::Kind;

namespace {

/// The number of the level, odd while there is one.
std::atomic<uint64_t> level{0};
thread_local constinit bool carries_here = true;

/// The same data under a history of its own: no view, so that writes of it stay its own.
struct SameData : autograd::Function<SameData> {
  static Tensor forward(autograd::AutogradContext* /*ctx*/, const Tensor& tensor) {
    return tensor.detach();
  }
  static TensorList backward(autograd::AutogradContext* /*ctx*/, const TensorList& gradients) {
    return {gradients[0]};
  }

 private:
  SameData() = default;
};

void store(const Tensor& tensor, const Tensor& tangent) {
  AutogradMeta& meta = autograd_meta(tensor);
  auto dual = std::make_shared<const Tangent>(Tangent{tangent, level.load(), tensor.version()});
  const std::lock_guard lock(meta.mutex);
  std::swap(meta.tangent, dual);
}

std::shared_ptr<const Tangent> stored(const Tensor& tensor) {
  const AutogradMeta* meta = find_meta(tensor);
  if (meta == nullptr) return nullptr;
  const std::lock_guard lock(meta->mutex);
  return meta->tangent != nullptr && meta->tangent->level == level.load() ? meta->tangent : nullptr;
}

}  // namespace

void enter_dual_level() {
  uint64_t present = level.load();
  check(present % 2 == 0 && level.compare_exchange_strong(present, present + 1), [] {
    return std::string("enter_dual_level: Nested forward mode AD is not supported at the moment");
  });
}

void exit_dual_level() {
  uint64_t present = level.load();
  check(present % 2 == 1 && level.compare_exchange_strong(present, present + 1), [] {
    return std::string(
        "exit_dual_level: Trying to exit a forward AD level but no level is currently active.");
  });
}

bool carries_tangents() { return level.load(std::memory_order_relaxed) % 2 == 1 && carries_here; }

NoTangentsGuard::NoTangentsGuard() : previous_(std::exchange(carries_here, false)) {}
NoTangentsGuard::~NoTangentsGuard() { carries_here = previous_; }

Tensor tangent(const Tensor& tensor) {
  if (level.load() % 2 == 0) return {};
  const std::shared_ptr<const Tangent> own = stored(tensor);
  const AutogradMeta* meta = find_meta(tensor);
  if (meta == nullptr) return {};
  if (!meta->base.defined()) return own == nullptr ? Tensor() : own->value;
  if (own != nullptr && own->version == tensor.version()) return own->value;
  const Tensor whole = tangent(meta->base);
  if (!whole.defined()) return {};
  check<NotImplementedError>(meta->origin != ViewOrigin::SeveralResults, [] {
    return std::string(
        "forward_ad: the base of one of several views was written in place, and the tangent of "
        "such a view cannot be made anew");
  });
  const NoTangentsGuard guard;
  Tensor part = view_part(*steps_from_base(*meta), whole);
  store(tensor, part);
  return part;
}

void set_result_tangent(const Tensor& tensor, const Tensor& value) { store(tensor, value); }

void set_tangent(const Tensor& tensor, const Tensor& value) {
  const AutogradMeta* meta = find_meta(tensor);
  if (meta != nullptr && meta->base.defined()) {
    check<NotImplementedError>(meta->origin != ViewOrigin::SeveralResults, [] {
      return std::string("forward_ad: one of several views was written in place");
    });
    const NoTangentsGuard guard;
    const Tensor& base = meta->base;
    Tensor whole = tangent(base);
    if (!whole.defined()) whole = filled(base.sizes(), base.dtype(), 0);
    store(base, with_view_part(*steps_from_base(*meta), whole, value));
  }
  store(tensor, value);
}

Tensor make_dual(const Tensor& primal, const Tensor& value) {
  check(level.load() % 2 == 1, [] {
    return std::string(
        "make_dual: Trying to create a dual Tensor for forward AD but no level exists, make sure "
        "to enter_dual_level() first.");
  });
  check<ValueError>(is_float(primal.dtype()), [&] {
    return concat("make_dual: Expected tensor to be floating point, got ",
                  info(primal.dtype()).name);
  });
  const NoTangentsGuard guard;
  Tensor dual = SameData::apply(primal);
  if (!value.defined()) return dual;
  check(value.sizes() == primal.sizes() && value.dtype() == primal.dtype(), [&] {
    return concat("make_dual: Expected primal and tangent to have the same shape and dtype, got ",
                  list_text(primal.sizes()), " of ", info(primal.dtype()).name, " and ",
                  list_text(value.sizes()), " of ", info(value.dtype()).name);
  });
  store(dual, value);
  return dual;
}

Tensor detach_with_tangent(const Tensor& tensor) {
  Tensor result = tensor.detach();
  if (level.load(std::memory_order_relaxed) % 2 == 0) return result;
  if (const Tensor value = tangent(tensor); value.defined()) store(result, value);
  return result;
}

uint64_t find_tangents(std::span<const Tensor> inputs, TensorList& tangents) {
  uint64_t found = 0;
  tangents.assign(inputs.size(), Tensor());
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!is_float(inputs[i].dtype())) continue;
    tangents[i] = tangent(inputs[i]);
    if (tangents[i].defined()) found |= input_bit(i);
  }
  return found;
}

TensorList jacobian_product(const Derivative& derivative, std::span<const Tensor> inputs,
                            std::span<const Tensor> results, std::span<const Tensor> saved,
                            const TensorList& tangents, std::span<const Scalar> numbers,
                            std::span<const int64_t> integers, const std::string& name) {
  const NoTangentsGuard guard;
  const auto& program = grad_enabled() && derivative.recorded_backward != nullptr
                            ? derivative.recorded_backward
                            : derivative.backward;
  TensorList products(results.size());
  uint64_t cotangents = 0;
  for (size_t i = 0; i < program_of(*program).parameters.size(); ++i)
    if (derivative.sources[i].kind == Kind::Cotangent) cotangents |= input_bit(i);
  if (cotangents == 0) return products;
  const auto zeros_like = [](const Tensor& tensor) {
    return filled(tensor.sizes(), tensor.dtype(), 0);
  };
  const std::shared_ptr<const Derivative> transposed = derive(program, cotangents);
  SmallVector<Tensor, 6> parameters;
  for (size_t i = 0; i < program_of(*transposed->backward).parameters.size(); ++i) {
    const Derivative::Source& source = transposed->sources[i];
    if (source.kind == Kind::Cotangent) {
      const auto input = static_cast<size_t>(derivative.targets[static_cast<size_t>(source.index)]);
      parameters.push_back(tangents[input].defined() ? tangents[input] : zeros_like(inputs[input]));
      continue;
    }
    const Derivative::Source& origin = derivative.sources[static_cast<size_t>(source.index)];
    const auto index = static_cast<size_t>(origin.index);
    if (origin.kind == Kind::Input)
      parameters.push_back(inputs[index]);
    else if (origin.kind == Kind::Result)
      parameters.push_back(results[index]);
    else if (origin.kind == Kind::Saved)
      parameters.push_back(saved[index]);
    else
      parameters.push_back(zeros_like(results[index]));
  }
  const Results rows = run_recorded(transposed->backward, {parameters.data(), parameters.size()},
                                    numbers, integers, [&] { return name; });
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto parameter = static_cast<size_t>(transposed->targets[i]);
    products[static_cast<size_t>(derivative.sources[parameter].index)] = rows[i];
  }
  return products;
}

}  // namespace flambeau
