#include "autograd/vmap.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <unordered_map>

#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "autograd/program_node.h"
#include "base/error.h"
#include "base/fork.h"
#include "eager/copy.h"
#include "eager/host_call.h"
#include "eager/recipe.h"
#include "prim/vjp.h"
#include "tensor/generator.h"

namespace flambeau {

thread_local constinit int vmap_depth = 0;

namespace {

using Levels = SmallVector<int, 2>;

/// What a tensor with hidden axes has as its history: that of the tensor behind is the real one.
struct BatchedNode final : Node {
  explicit BatchedNode(Batched what) : batched(std::move(what)) {}
  TensorList apply(const TensorList& /*gradients*/) override {
    throw NotImplementedError(
        "vmap: backward() and autograd.grad do not run through tensors of vmap; use "
        "torch.func.grad");
  }
  std::string name() const override { return "vmap"; }

  Batched batched;
  bool is_seen = false;  ///< others see the memory behind, too
  /// Shared with the views of the tensor, and what it is a view of: none of them shows what is
  /// written to another.
  std::shared_ptr<const char> family = std::make_shared<const char>();
};

BatchedNode* find_node(const Tensor& tensor) {
  if (!tensor.defined() || !tensor.is_meta()) return nullptr;
  const AutogradMeta* meta = find_meta(tensor);
  return meta == nullptr ? nullptr : dynamic_cast<BatchedNode*>(meta->grad_fn.get());
}

struct Entered {
  int64_t extent;
  VmapRandomness randomness;
};

/// The vmaps that this thread is in, the outermost first.
std::vector<Entered>& entered() {
  static thread_local std::vector<Entered> stack;
  return stack;
}

/// The levels of all tensors, descending.
Levels levels_of(std::span<const Tensor> tensors) {
  Levels levels;
  for (const Tensor& tensor : tensors) {
    const Batched* batched = find_batched(tensor);
    if (batched == nullptr) continue;
    for (const int level : batched->levels)
      if (std::find(levels.begin(), levels.end(), level) == levels.end()) levels.push_back(level);
  }
  std::sort(levels.begin(), levels.end(), std::greater<>());
  return levels;
}

bool has_level(const Batched* batched, int level) {
  return batched != nullptr &&
         std::find(batched->levels.begin(), batched->levels.end(), level) != batched->levels.end();
}

/// `program` with the sizes of its parameters as integers from number `first` on, as a program that
/// is recorded has them.
ir::Program with_integer_sizes(const ir::Program& program, int first) {
  std::vector<int> offsets;
  for (const ir::Type& type : program.parameters) {
    offsets.push_back(first);
    first += static_cast<int>(type.shape.size());
  }
  const auto moved = [&](const auto& dims) {
    std::remove_cvref_t<decltype(dims)> result;
    for (const ir::Dim& dim : dims)
      result.push_back(dim.substitute(
          [&](int parameter, int axis) {
            return ir::Dim::integer(offsets[static_cast<size_t>(parameter)] + axis);
          },
          [](int slot) { return ir::Dim::integer(slot); }));
    return result;
  };
  ir::Builder builder;
  std::vector<ir::Expr> parameters;
  std::vector<ir::Expr> numbers;
  std::vector<ir::Expr> values;
  for (const ir::Type& type : program.parameters)
    parameters.push_back(builder.parameter(type.dtype, moved(type.shape)));
  for (const DType dtype : program.numbers) numbers.push_back(builder.number(dtype));
  for (const ir::Node& node : program.nodes) {
    const auto index = static_cast<size_t>(node.attributes.index);
    if (node.primitive == ir::parameter_row()) {
      values.push_back(parameters[index]);
    } else if (node.primitive == ir::number_row()) {
      values.push_back(numbers[index]);
    } else {
      SmallVector<ir::Expr, 4> arguments;
      for (const ir::NodeId id : node.arguments)
        arguments.push_back(values[static_cast<size_t>(id)]);
      ir::Attributes attributes = node.attributes;
      attributes.dims = moved(node.attributes.dims);
      values.push_back(builder.add(node.primitive, arguments, attributes));
    }
  }
  std::vector<ir::Expr> results;
  for (const ir::NodeId id : program.results) results.push_back(values[static_cast<size_t>(id)]);
  return builder.finish(results);
}

/// `program` over the members of `levels` (ascending): per level, which parameters have its axis.
/// Its extents are integers from number `slot` on. With `first` >= 0, sizes become integers before.
std::shared_ptr<const Executable> over_members(const Executable& program,
                                               std::span<const std::vector<bool>> flags, int slot,
                                               int first) {
  static ForkSafe<std::mutex> mutex;
  static std::unordered_map<Hash128, std::shared_ptr<const Executable>> cache;
  Hasher hasher;
  hasher.add(program_of(program).hash()).add(slot).add(first);
  for (const std::vector<bool>& level : flags)
    for (const bool flag : level) hasher.add(flag);
  const Hash128 key = hasher.finish();
  {
    const std::lock_guard lock(mutex);
    if (const auto found = cache.find(key); found != cache.end()) return found->second;
  }
  ir::Program made =
      first < 0 ? program_of(program) : with_integer_sizes(program_of(program), first);
  for (const std::vector<bool>& level : flags) {
    SmallVector<bool, 8> batched(level.begin(), level.end());
    made = prim::batch(made, {batched.data(), batched.size()}, ir::Dim::integer(slot++));
  }
  auto executable = make_executable(std::move(made));
  const std::lock_guard lock(mutex);
  return cache.emplace(key, std::move(executable)).first->second;
}

Tensor behind(const Tensor& tensor) {
  const Batched* batched = find_batched(tensor);
  return batched == nullptr ? tensor : batched->physical;
}

/// Runs the program for all members; results have hidden axes of all `levels`.
Results run_over(const Executable& program, std::span<const Tensor> parameters,
                 const Levels& levels, std::span<const Scalar> numbers, Ints integers, int first,
                 FunctionRef<std::string()> name) {
  std::vector<std::vector<bool>> flags;
  const auto slot = static_cast<int>(integers.size());
  for (size_t i = levels.size(); i-- > 0;) {
    std::vector<bool>& level = flags.emplace_back();
    for (const Tensor& parameter : parameters)
      level.push_back(has_level(find_batched(parameter), levels[i]));
    integers.push_back(vmap_extent(levels[i]));
  }
  std::vector<Tensor> physical;
  for (const Tensor& parameter : parameters) physical.push_back(behind(parameter));
  Results results = run_recorded(over_members(program, flags, slot, first), physical, numbers,
                                 {integers.data(), integers.size()}, name);
  for (Tensor& result : results) result = make_batched(result, {levels.data(), levels.size()});
  return results;
}

/// The arguments of one member of the axes of `levels`, as tensors without them.
class Member {
 public:
  Member(std::span<const ops::Argument> arguments, const Levels& levels, const Ints& place)
      : arguments_(arguments.begin(), arguments.end()) {
    const auto cut = [&](const TensorInfo*& info) {
      if (info == nullptr) return;
      const Tensor tensor = tensor_of(info);
      const Batched* batched = find_batched(tensor);
      if (batched == nullptr) return;
      const Tensor& all = batched->physical;
      const size_t hidden = batched->levels.size();
      int64_t offset = all->offset;
      for (size_t i = 0; i < hidden; ++i) {
        const auto level =
            std::find(levels.begin(), levels.end(), batched->levels[i]) - levels.begin();
        offset += place[static_cast<size_t>(level)] * all.strides()[i];
      }
      info = alive_
                 .emplace_back(all.alias({all.sizes().begin() + hidden, all.sizes().end()},
                                         {all.strides().begin() + hidden, all.strides().end()},
                                         offset))
                 .impl();
    };
    for (ops::Argument& argument : arguments_) {
      if (auto* one = std::get_if<const TensorInfo*>(&argument)) cut(*one);
      if (auto* list = std::get_if<ops::TensorRefs>(&argument))
        for (const TensorInfo*& item : *list) cut(item);
    }
  }
  std::span<const ops::Argument> arguments() const {
    return {arguments_.data(), arguments_.size()};
  }
  /// The first argument becomes a copy, so that writing it leaves the tensor as it is.
  void copy_first() {
    auto& first = std::get<const TensorInfo*>(arguments_[0]);
    const Tensor seen = tensor_of(first);
    const Tensor copy = Tensor::empty(Ints(seen.sizes()), seen.dtype());
    copy_elements(seen, copy);
    first = alive_.emplace_back(copy).impl();
  }

 private:
  ops::Arguments arguments_;
  TensorList alive_;
};

Ints extents_of(const Levels& levels) {
  Ints result;
  for (const int level : levels) result.push_back(vmap_extent(level));
  return result;
}

/// Calls `visit` with each place in axes of these extents, in row-major order.
template <class Visit>
void for_each_place(const Ints& sizes, const Visit& visit) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  Ints place(sizes.size(), 0);
  for (int64_t i = 0; i < count; ++i) {
    visit(place, i);
    for (size_t axis = sizes.size(); axis-- > 0;) {
      if (++place[axis] < sizes[axis]) break;
      place[axis] = 0;
    }
  }
}

/// Gives members the same numbers along the levels that want it, by setting the generator back.
class Draws {
 public:
  Draws(const ops::Definition& op, std::span<const ops::Argument> arguments, const Levels& levels)
      : generator_(generator_of(ops::Call(op, arguments))) {
    if (op.random == nullptr || !op.random(ops::Call(op, arguments))) return;
    for (const int level : levels) {
      own_.push_back(vmap_randomness(level) != VmapRandomness::Same);
      repeats_ = repeats_ || !own_.back();
    }
  }
  /// Before the call for the member at `place`.
  void begin(const Ints& place) {
    if (!repeats_) return;
    std::vector<int64_t> drawn_for;
    for (size_t i = 0; i < own_.size(); ++i) drawn_for.push_back(own_[i] ? place[i] : 0);
    const auto [state, is_new] = states_.try_emplace(std::move(drawn_for));
    if (is_new)
      state->second = generator_.get_state();
    else
      generator_.set_state(state->second);
  }

 private:
  Generator& generator_;
  std::vector<bool> own_;
  bool repeats_ = false;
  std::map<std::vector<int64_t>, std::vector<std::byte>> states_;
};

/// An operation with a kernel on the host, or one that draws for each member, member by member; it
/// has no history.
Results call_members(const ops::Definition& op, std::span<const ops::Argument> arguments,
                     const PreparedCall& prepared, CallForm form, const Levels& levels) {
  for (const Tensor& input : prepared.inputs)
    check<NotImplementedError>(
        !op.differentiable || !grad_enabled() || !requires_grad(behind(input)), [&] {
          return concat("vmap: ", op.parsed.name,
                        " runs on the host member by member, and has no gradient in vmap");
        });
  const Ints sizes = extents_of(levels);
  Draws draws(op, arguments, levels);
  Results whole;
  for_each_place(sizes, [&](const Ints& place, int64_t number) {
    Member member(arguments, levels, place);
    if (form == CallForm::InPlace) member.copy_first();
    draws.begin(place);
    const Results results = call_without_tape(op, member.arguments(), form);
    for (size_t i = 0; i < results.size(); ++i) {
      const Tensor& one = results[i];
      if (number == 0) {
        Ints all = sizes;
        all.append(one.sizes().begin(), one.sizes().end());
        whole.push_back(Tensor::empty(all, one.dtype()));
      }
      const Tensor& all = whole[i];
      check(Ints(all.sizes().begin() + sizes.size(), all.sizes().end()) == one.sizes(), [&] {
        return concat("vmap: ", op.parsed.name,
                      ": the results of members have different sizes, which vmap cannot hold");
      });
      copy_elements(
          one, all.alias(one.sizes(), {all.strides().begin() + sizes.size(), all.strides().end()},
                         all->offset + number * one.numel()));
    }
  });
  for (Tensor& result : whole) result = make_batched(result, {levels.data(), levels.size()});
  return whole;
}

/// The levels over which a call that draws gives members their own numbers: those of its arguments,
/// and those that want it. RuntimeError where a level allows no random numbers.
Levels levels_that_draw(const Levels& levels) {
  Levels all = levels;
  for (int level = vmap_depth; level > 0; --level) {
    check(vmap_randomness(level) != VmapRandomness::Error, [] {
      return std::string(
          "vmap: called random operation while in randomness error mode. Please either use the "
          "'same' or 'different' randomness flags on vmap or perform the randomness operation out "
          "of vmap");
    });
    const bool is_there = std::find(all.begin(), all.end(), level) != all.end();
    if (vmap_randomness(level) == VmapRandomness::Different && !is_there) all.push_back(level);
  }
  std::sort(all.begin(), all.end(), std::greater<>());
  return all;
}

bool want_own_numbers(const Levels& levels) {
  return std::any_of(levels.begin(), levels.end(),
                     [](int level) { return vmap_randomness(level) == VmapRandomness::Different; });
}

/// What was written in place: `tensor` shows `result` from now on.
void take_over(const ops::Definition& op, const Tensor& tensor, const Tensor& result) {
  BatchedNode* const old = find_node(tensor);
  const Batched* made = find_batched(result);
  check(old != nullptr && old->batched.levels == made->levels, [&] {
    return concat(
        "vmap: inplace arithmetic(self, *extra_args) is not possible because there "
        "exists a Tensor `other` in extra_args that has more elements than `self`: ",
        op.parsed.name,
        "_ would write several members to a tensor that all of them share. Please use "
        "the form that gives a new tensor");
  });
  check<NotImplementedError>(!old->is_seen && old->family.use_count() == 1, [&] {
    return concat("vmap: ", op.parsed.name,
                  "_: a tensor that is an argument of vmap, a view, or has views cannot be written "
                  "in place in vmap; use the form that gives a new tensor");
  });
  old->batched = *made;
}

}  // namespace

int enter_vmap(int64_t extent, VmapRandomness randomness) {
  entered().push_back({extent, randomness});
  return ++vmap_depth;
}
void leave_vmap() {
  entered().pop_back();
  --vmap_depth;
}
SmallVector<int, 2> vmap_levels() {
  SmallVector<int, 2> levels;
  for (int level = vmap_depth; level > 0; --level) levels.push_back(level);
  return levels;
}
int64_t vmap_extent(int level) {
  check(level > 0 && level <= vmap_depth,
        [] { return std::string("vmap: a tensor of a vmap that has ended is used"); });
  return entered()[static_cast<size_t>(level - 1)].extent;
}

VmapRandomness vmap_randomness(int level) {
  return entered()[static_cast<size_t>(level - 1)].randomness;
}

const Batched* find_batched(const Tensor& tensor) {
  const BatchedNode* node = find_node(tensor);
  return node == nullptr ? nullptr : &node->batched;
}

Tensor make_batched(const Tensor& physical, std::span<const int> levels) {
  if (levels.empty()) return physical;
  const Ints seen(physical.sizes().begin() + levels.size(), physical.sizes().end());
  const WithoutMemory shapes_alone;
  Tensor tensor = Tensor::empty(seen, physical.dtype());
  autograd_meta(tensor).grad_fn = std::make_shared<BatchedNode>(
      Batched{physical, SmallVector<int, 2>(levels.begin(), levels.end())});
  return tensor;
}

void note_seen(const Tensor& tensor) {
  if (BatchedNode* const node = find_node(tensor)) node->is_seen = true;
}

std::optional<Results> call_batched(const ops::Definition& op,
                                    std::span<const ops::Argument> arguments, CallForm form,
                                    std::span<const Tensor> out) {
  TensorList given;
  for (const ops::Argument& argument : arguments) {
    if (const auto* one = std::get_if<const TensorInfo*>(&argument))
      if (*one != nullptr) given.push_back(tensor_of(*one));
    if (const auto* list = std::get_if<ops::TensorRefs>(&argument))
      for (const TensorInfo* item : *list)
        if (item != nullptr) given.push_back(tensor_of(item));
  }
  Levels levels = levels_of({given.data(), given.size()});
  const bool draws = op.random != nullptr && op.random(ops::Call(op, arguments));
  if (draws) {
    const Levels all = levels_that_draw(levels);
    check(form == CallForm::Function || all == levels || !want_own_numbers(all), [] {
      return std::string(
          "vmap: Cannot ask for different inplace randomness on an unbatched tensor. This will "
          "appear like same randomness. Draw into a new tensor instead");
    });
    levels = all;
  }
  if (levels.empty()) return std::nullopt;
  check<NotImplementedError>(form != CallForm::Out && !op.per_item, [&] {
    return concat("vmap: ", op.parsed.name, " with out=, or on lists of tensors, is not there");
  });
  const PreparedCall prepared = [&] {
    const WithoutMemory shapes_alone;
    return prepare(op, arguments, form, out);
  }();
  const auto* recipe = dynamic_cast<const CallRecipe*>(prepared.plan->recipe.get());
  const bool has_program = recipe != nullptr && recipe->forward() != nullptr;
  if (!has_program || (draws && want_own_numbers(levels))) {
    check<NotImplementedError>(form == CallForm::Function || draws, [&] {
      return concat("vmap: ", op.parsed.name,
                    "_ has a kernel on the host, and does not write in "
                    "place in vmap");
    });
    Results results = call_members(op, arguments, prepared, form, levels);
    if (form == CallForm::Function) return results;
    for (size_t i = 0; i < results.size(); ++i) take_over(op, prepared.outputs[i], results[i]);
    return Results(prepared.outputs.begin(), prepared.outputs.end());
  }
  if (op.checks != nullptr)
    for_each_place(extents_of(levels), [&](const Ints& place, int64_t /*number*/) {
      prepare(op, Member(arguments, levels, place).arguments());
    });
  Ints integers(prepared.plan->integers.begin(), prepared.plan->integers.end());
  const auto first = static_cast<int>(integers.size());
  for (const Tensor& input : prepared.inputs)
    integers.append(input.sizes().begin(), input.sizes().end());
  Results results =
      run_over(*recipe->forward(), {prepared.inputs.data(), prepared.inputs.size()}, levels,
               {prepared.numbers.data(), prepared.numbers.size()}, std::move(integers), first,
               [&] { return op.parsed.name + "Backward0"; });
  if (!prepared.outputs.empty()) {
    for (size_t i = 0; i < results.size(); ++i) take_over(op, prepared.outputs[i], results[i]);
    return Results(prepared.outputs.begin(), prepared.outputs.end());
  }
  if (op.returns == ops::Returns::View || op.returns == ops::Returns::MaybeView) {
    const BatchedNode* base = find_node(prepared.inputs[0]);
    for (const Tensor& result : results) {
      BatchedNode* const view = find_node(result);
      if (base == nullptr || view == nullptr) continue;
      view->family = base->family;
      view->is_seen = base->is_seen;
    }
  }
  return results;
}

std::optional<Results> run_batched(const std::shared_ptr<const Executable>& program,
                                   std::span<const Tensor> parameters,
                                   std::span<const Scalar> numbers,
                                   std::span<const int64_t> integers,
                                   FunctionRef<std::string()> name) {
  const Levels levels = levels_of(parameters);
  if (levels.empty()) return std::nullopt;
  return run_over(*program, parameters, levels, numbers, Ints(integers.begin(), integers.end()), -1,
                  name);
}

}  // namespace flambeau
