#include "autograd/program_node.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_set>

#include "autograd/engine.h"
#include "autograd/forward.h"
#include "autograd/grad_mode.h"
#include "autograd/in_place_view.h"
#include "autograd/vmap.h"
#include "base/bounded_cache.h"
#include "base/error.h"
#include "base/fork.h"
#include "eager/copy.h"
#include "prim/build.h"
#include "prim/vjp.h"

namespace flambeau {

using ir::Builder;
using ir::Dim;
using ir::Expr;
using Kind = Derivative::Source::Kind;

namespace {

/// A shape of integer arguments: programs that are recorded have no other symbols.
ir::Shape symbols(int rank) {
  ir::Shape shape;
  for (int axis = 0; axis < rank; ++axis) shape.push_back(Dim::integer(axis));
  return shape;
}

std::span<const int64_t> sizes_of(const Tensor& tensor) {
  return {tensor.sizes().data(), tensor.sizes().size()};
}

/// One program for each dtype and rank, made when it is first asked for.
class RankPrograms {
 public:
  using Build = ir::Program (*)(DType dtype, int rank);
  explicit RankPrograms(Build build) : build_(build) {}
  /// Lives as long as this.
  const std::shared_ptr<const Executable>& of(DType dtype, int rank) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<const Executable>& entry = known_[{dtype, rank}];
    if (entry == nullptr) entry = make_executable(build_(dtype, rank));
    return entry;
  }

 private:
  Build build_;
  ForkSafe<std::mutex> mutex_;
  std::map<std::pair<DType, int>, std::shared_ptr<const Executable>> known_;
};

const std::shared_ptr<const Executable>& sum_program(DType dtype, int rank) {
  static auto* const programs = new RankPrograms([](DType of, int axes) {
    Builder builder;
    const ir::Shape shape = symbols(axes);
    const Expr a = builder.parameter(of, shape);
    const Expr b = builder.parameter(of, shape);
    const DType wide = compute_dtype(of);
    const Expr sum =
        prim::convert(prim::operator+(prim::convert(a, wide), prim::convert(b, wide)), of);
    return builder.finish({&sum, 1});
  });
  return programs->of(dtype, rank);
}

const std::shared_ptr<const Executable>& fill_program(DType dtype, int rank) {
  static auto* const programs = new RankPrograms([](DType of, int axes) {
    Builder builder;
    const Expr number = builder.number(DType::Float64);
    const Expr result = prim::broadcast_to(prim::convert(number, of), symbols(axes));
    return builder.finish({&result, 1});
  });
  return programs->of(dtype, rank);
}

/// `program` with an axis in front of the parameters that `batched` names, whose extent is integer
/// number `slot`.
std::shared_ptr<const Executable> batched_program(const std::shared_ptr<const Executable>& program,
                                                  std::span<const bool> batched, int slot) {
  constexpr size_t kMaxBatched = 1024;
  static auto* const cache =
      new BoundedCache<Hash128, std::shared_ptr<const Executable>>(kMaxBatched);
  Hasher hasher;
  hasher.add(program_of(*program).hash()).add(slot);
  for (const bool flag : batched) hasher.add(flag);
  const Hash128 key = hasher.finish();
  if (auto known = cache->find(key)) return *std::move(known);
  return cache->add(
      key, make_executable(prim::batch(program_of(*program), batched, Dim::integer(slot))));
}

/// Ones, in both parts of complex numbers.
Tensor ones(const Ints& sizes, DType dtype) {
  if (!is_complex(dtype)) return filled(sizes, dtype, 1);
  Ints parts = sizes;
  parts.push_back(2);
  return alias_as_complex(filled(parts, real_dtype(dtype), 1));
}

/// `gradient` with zeros where `mask` is not zero; recorded in grad mode.
Tensor clear_region(const Tensor& gradient, const Tensor& mask) {
  Builder builder;
  const ir::Shape shape = symbols(gradient.dim());
  const Expr g = builder.parameter(gradient.dtype(), shape);
  const Expr m = builder.parameter(gradient.dtype(), shape);
  const DType wide = compute_dtype(gradient.dtype());
  const auto cleared = [](const Expr& mask_part, const Expr& part) {
    return prim::select(prim::eq(mask_part, 0.0), part, 0.0);
  };
  const Expr from = prim::convert(g, wide);
  const Expr where = prim::convert(m, wide);
  // A view may see one part of complex numbers.
  const Expr kept = is_complex(wide) ? prim::complex(cleared(prim::real(where), prim::real(from)),
                                                     cleared(prim::imag(where), prim::imag(from)))
                                     : cleared(where, from);
  const Expr result = prim::convert(kept, gradient.dtype());
  const Tensor parameters[] = {gradient, mask};
  return run_recorded(make_executable(builder.finish({&result, 1})), parameters, {},
                      sizes_of(gradient), [] { return std::string("CopySlices"); })[0];
}

}  // namespace

const std::string& lasting_name(std::string name) {
  static std::mutex mutex;
  static auto* const names = new std::unordered_set<std::string>();
  const std::lock_guard lock(mutex);
  return *names->insert(std::move(name)).first;
}

namespace {

bool has_any(const TensorList& gradients) {
  return std::any_of(gradients.begin(), gradients.end(),
                     [](const Tensor& g) { return g.defined(); });
}

}  // namespace

const std::shared_ptr<const Executable>& ProgramNode::backward() const {
  return grad_enabled() && derivative->recorded_backward != nullptr ? derivative->recorded_backward
                                                                    : derivative->backward;
}

void ProgramNode::gather(const TensorList& gradients, SmallVector<Tensor, 6>& parameters,
                         SmallVector<bool, 8>& batched) {
  const size_t count = program_of(*backward()).parameters.size();
  unpack_all(saved, count, mutex_, shared_from_this(), parameters);
  batched.resize(count, false);
  for (size_t i = 0; i < count; ++i) {
    const Derivative::Source& source = derivative->sources[i];
    batched[i] =
        source.kind == Kind::Cotangent && gradients[static_cast<size_t>(source.index)].defined();
    if (source.kind != Kind::Cotangent) continue;
    const auto output = static_cast<size_t>(source.index);
    parameters[i] = gradients[output].defined()
                        ? gradients[output]
                        : filled(outputs[output].sizes, outputs[output].dtype, 0);
  }
}

TensorList ProgramNode::apply(const TensorList& gradients) {
  if (!has_any(gradients)) return TensorList(edges.size());
  const RunLabel label(name_);
  SmallVector<Tensor, 6> parameters;
  SmallVector<bool, 8> batched;
  gather(gradients, parameters, batched);
  const Results results = run_on_gradients(
      backward(), {parameters.data(), parameters.size()}, {batched.data(), batched.size()},
      {numbers.data(), numbers.size()}, integers, [&] { return name_ + "Backward"; });
  return TensorList(results.begin(), results.end());
}

Tensor ProgramNode::apply_onto(const TensorList& gradients, const Tensor& sum, bool in_place) {
  const std::shared_ptr<const Executable>& program = derivative->backward_onto;
  if (program == nullptr || backward() != derivative->backward || !has_any(gradients)) return {};
  const RunLabel label(name_);
  SmallVector<Tensor, 6> parameters;
  SmallVector<bool, 8> batched;
  gather(gradients, parameters, batched);
  parameters.push_back(sum);
  const std::span<const Tensor> inputs(parameters.data(), parameters.size());
  const std::span<const Scalar> number_span(numbers.data(), numbers.size());
  if (in_place) return run(*program, inputs, number_span, integers, {&sum, 1})[0];
  return run_recorded(program, inputs, number_span, integers,
                      [&] { return name_ + "Backward"; })[0];
}

void ProgramNode::release() { release_all(saved, mutex_); }

bool ProgramNode::give_up_memory(size_t index) {
  Tensor tensor;
  {
    const std::lock_guard lock(mutex_);
    if (index < saved.size()) tensor = saved[index].peek();
  }
  if (!tensor.defined() || !tensor->storage->is_derived()) return true;
  bool done = false;
  // Other threads reach it through `saved` alone.
  const auto give_up = [&] {
    const std::lock_guard lock(mutex_);
    done = tensor->use_count() == 2 && tensor->storage->give_up_memory();
  };
  if (void* const wrapper = tensor->wrapper())
    wrapper_hooks.if_unused(wrapper, give_up);
  else
    give_up();
  return done;
}

Results run_recorded(const std::shared_ptr<const Executable>& program,
                     std::span<const Tensor> parameters, std::span<const Scalar> numbers,
                     std::span<const int64_t> integers, FunctionRef<std::string()> name) {
  if (vmap_depth > 0) [[unlikely]]
    if (std::optional<Results> results = run_batched(program, parameters, numbers, integers, name))
      return *results;
  uint64_t wanted = 0;
  if (grad_enabled())
    for (size_t i = 0; i < parameters.size(); ++i)
      if (is_inexact(parameters[i].dtype()) && requires_grad(parameters[i])) wanted |= input_bit(i);
  Results results = run(*program, parameters, numbers, integers);
  TensorList tangents;
  if (carries_tangents())
    if (const uint64_t dual = find_tangents(parameters, tangents)) {
      const std::span<const Tensor> given(results.data(), results.size());
      const TensorList products = jacobian_product(*derive(program, dual), parameters, given, {},
                                                   tangents, numbers, integers, name());
      for (size_t i = 0; i < results.size(); ++i) {
        if (!products[i].defined()) continue;
        if (is_alias(*program, i)) results[i] = results[i].detach();
        set_result_tangent(results[i], products[i]);
      }
    }
  if (wanted == 0) return results;
  struct Owned {
    std::shared_ptr<const Derivative> derivative;
    Ints integers;
  };
  const auto owned = std::make_shared<const Owned>(
      Owned{derive(program, wanted), Ints(integers.begin(), integers.end())});
  const Derivative* const derivative = owned->derivative.get();
  const auto node =
      std::allocate_shared<ProgramNode>(PoolAllocator<ProgramNode>(), lasting_name(name()));
  node->owner = owned;
  node->derivative = derivative;
  node->numbers = SmallVector<Scalar, 2>(numbers.begin(), numbers.end());
  node->integers = {owned->integers.data(), owned->integers.size()};
  if (derivative->saves())
    for (const Derivative::Source& source : derivative->sources)
      node->saved.push_back(source.kind == Kind::Input
                                ? SavedTensor(parameters[static_cast<size_t>(source.index)], false)
                                : SavedTensor());
  for (const int target : derivative->targets)
    node->edges.push_back(gradient_edge(parameters[static_cast<size_t>(target)]));
  for (Tensor& result : results) {
    result = detach_with_tangent(result);
    const int output = node->add_output(result.info());
    if (is_inexact(result.dtype())) set_history(result, node, output);
  }
  return results;
}

Results run_on_gradients(const std::shared_ptr<const Executable>& program,
                         std::span<const Tensor> parameters, std::span<const bool> batched,
                         std::span<const Scalar> numbers, std::span<const int64_t> integers,
                         FunctionRef<std::string()> name) {
  const int64_t batch = gradient_batch();
  if (batch < 0)
    return grad_enabled() || carries_tangents()
               ? run_recorded(program, parameters, numbers, integers, name)
               : run(*program, parameters, numbers, integers);
  Ints more(integers.begin(), integers.end());
  const auto slot = static_cast<int>(more.size());
  more.push_back(batch);
  return run_recorded(batched_program(program, batched, slot), parameters, numbers,
                      {more.data(), more.size()}, name);
}

Tensor as_addend(const Tensor& gradient, const Tensor& present) {
  const Ints& wanted = present.sizes();
  const Ints& sizes = gradient.sizes();
  if (sizes == wanted && gradient.dtype() == present.dtype()) return gradient;
  const size_t extra = wanted.size() - std::min(wanted.size(), sizes.size());
  bool fits = sizes.size() <= wanted.size() &&
              (!is_complex(gradient.dtype()) || is_complex(present.dtype()));
  for (size_t axis = 0; fits && axis < sizes.size(); ++axis)
    fits = sizes[axis] == wanted[extra + axis] || sizes[axis] == 1;
  check(fits, [&] {
    return concat("backward: a gradient of ", info(gradient.dtype()).name, list_text(sizes),
                  " cannot be added to the tensor's grad of ", info(present.dtype()).name,
                  list_text(wanted), "; the tensor has changed since: set its grad to None");
  });
  const auto shape_of = [](const Ints& extents) {
    ir::Shape shape;
    for (const int64_t extent : extents) shape.push_back(Dim(extent));
    return shape;
  };
  Builder builder;
  const Expr value = builder.parameter(gradient.dtype(), shape_of(sizes));
  const Expr result = prim::broadcast_to(prim::convert(value, present.dtype()), shape_of(wanted));
  return run_recorded(make_executable(builder.finish({&result, 1})), {&gradient, 1}, {}, {},
                      [] { return std::string("ExpandBackward0"); })[0];
}

Tensor add_gradients(const Tensor& a, const Tensor& b) {
  const Tensor parameters[] = {a, b};
  return run_recorded(sum_program(a.dtype(), a.dim()), parameters, {}, sizes_of(a),
                      [] { return std::string("AddBackward0"); })[0];
}

void sum_gradients(const Tensor& a, const Tensor& b, const Tensor& place) {
  const Tensor parameters[] = {a, b};
  run(*sum_program(a.dtype(), a.dim()), parameters, {}, sizes_of(a), {&place, 1});
}

void add_in_place(const Tensor& a, const Tensor& b) {
  sum_gradients(a, b, a);
  a.bump_version("add_");
}

Tensor filled(const Ints& sizes, DType dtype, double value) {
  const Scalar scalar(value);
  return run(*fill_program(dtype, static_cast<int>(sizes.size())), {}, {&scalar, 1},
             {sizes.data(), sizes.size()})[0];
}

Tensor clone_data(const Tensor& tensor) {
  return clone_data(tensor, contiguous_strides(tensor.sizes()));
}
Tensor clone_data(const Tensor& tensor, const Ints& strides) {
  const WithoutMemory as_the_source(tensor.is_meta());
  Tensor copy = Tensor::empty_strided(tensor.sizes(), strides, tensor.dtype());
  copy_elements(tensor, copy);
  return copy;
}

Tensor view_part(const ViewSteps& steps, Tensor base) {
  constexpr bool kBatched = true;
  for (const ViewStep& step : steps)
    base = run_on_gradients(step.forward, {&base, 1}, {&kBatched, 1},
                            {step.numbers.data(), step.numbers.size()}, step.backward_integers,
                            [&] { return *step.name; })[0];
  return base;
}

Tensor with_view_part(const ViewSteps& steps, const Tensor& base, const Tensor& part) {
  constexpr bool kBatched = true;
  const auto spread = [&](Tensor tensor) {
    for (size_t i = steps.size(); i-- > 0;) {
      const ViewStep& step = steps[i];
      tensor = run_on_gradients(step.derivative->backward, {&tensor, 1}, {&kBatched, 1},
                                {step.numbers.data(), step.numbers.size()}, step.backward_integers,
                                [&] { return *step.name; })[0];
    }
    return tensor;
  };
  const Tensor seen = view_part(steps, base);
  const Tensor kept = clear_region(base, spread(ones(seen.sizes(), seen.dtype())));
  return part.defined() ? add_gradients(kept, spread(part)) : kept;
}

Edge chain_edge(const ViewSteps& steps, Edge base_edge) {
  Edge edge = std::move(base_edge);
  for (const ViewStep& step : steps) {
    const auto node = std::allocate_shared<ProgramNode>(PoolAllocator<ProgramNode>(), *step.name);
    node->owner = step.plan;
    node->derivative = step.derivative;
    node->numbers = step.numbers;
    node->integers = step.backward_integers;
    if (step.derivative->saves()) node->saved.resize(step.derivative->sources.size());
    node->edges.push_back(std::move(edge));
    node->add_output(step.result);
    edge = {node, 0};
  }
  return edge;
}

void rebase_history(const Tensor& written, const std::shared_ptr<Node>& node, int output,
                    int self_edge) {
  AutogradMeta& meta = autograd_meta(written);
  if (!meta.base.defined()) {
    set_history(written, node, output);
    return;
  }
  const auto slices = std::make_shared<CopySlices>(steps_from_base(meta), node, self_edge);
  slices->edges.push_back(requires_grad(meta.base) ? gradient_edge(meta.base) : Edge{});
  for (size_t i = 0; i < node->edges.size(); ++i)
    if (static_cast<int>(i) != self_edge) slices->edges.push_back(node->edges[i]);
  slices->add_output(meta.base.info());
  set_history(meta.base, slices, 0);
  meta.seen_version = written.version() - 1;  // its grad_fn is made from the base's when asked for
  written->requires_grad = false;
}

CopySlices::CopySlices(std::shared_ptr<const ViewSteps> steps, std::shared_ptr<Node> written,
                       int self_edge)
    : steps_(std::move(steps)), written_(std::move(written)), self_edge_(self_edge) {}

TensorList CopySlices::apply(const TensorList& gradients) {
  TensorList out(edges.size());
  if (!gradients[0].defined()) return out;
  const TensorList inner = written_->apply({view_part(*steps_, gradients[0])});
  // base gradient = gradient - what the view sees + what the write leaves of it.
  out[0] = with_view_part(*steps_, gradients[0],
                          self_edge_ >= 0 ? inner[static_cast<size_t>(self_edge_)] : Tensor());
  size_t next = 1;
  for (size_t i = 0; i < inner.size(); ++i)
    if (static_cast<int>(i) != self_edge_) out[next++] = inner[i];
  return out;
}

}  // namespace flambeau
