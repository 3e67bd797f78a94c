#include "eager/recipe.h"

#include <algorithm>

#include "base/bounded_cache.h"
#include "base/error.h"
#include "eager/host_program.h"
#include "prim/uniform.h"
#include "prim/vjp.h"

namespace flambeau {

using ir::Builder;
using ir::Dim;
using ir::Expr;
using ir::NodeId;
using Source = Derivative::Source;

namespace {

/// A value of the original program that becomes a parameter of the extracted one.
struct Cut {
  NodeId node;
  Source source;
  DType dtype;  ///< of the parameter; converted to the node's
};

/// The program that computes `results` from the values at `cuts` alone. Sizes of parameters become
/// integers: size (p, axis) is integer first_size[p] + axis.
class Extraction {
 public:
  Extraction(const Builder& from, std::span<const Cut> cuts, std::span<const int> first_size)
      : from_(from), cuts_(cuts), first_size_(first_size), copied_(from.nodes().size()) {}

  /// Gives the extracted program these parameters first, whether it reads them or not.
  void declare(std::span<const Cut> cuts, std::span<const Source> sources) {
    for (const Source& source : sources)
      for (const Cut& cut : cuts)
        if (cut.source == source) {
          parameter(cut);
          break;
        }
  }

  ir::Program run(std::span<const Expr> results, int number_count, std::vector<Source>& sources) {
    // Numbers keep their positions, so all are declared.
    for (int i = 0; i < number_count; ++i)
      for (const ir::Node& node : from_.nodes())
        if (node.primitive == ir::number_row() && node.attributes.index == i)
          numbers_.push_back(builder_.number(node.type.dtype));
    require(static_cast<int>(numbers_.size()) == number_count, "recipe: a number is missing");
    std::vector<Expr> copies;
    for (const Expr& result : results) copies.push_back(copy(result.id()));
    sources = sources_;
    return builder_.finish(copies);
  }

 private:
  Dim dim(const Dim& d) const {
    return d.substitute(
        [&](int parameter, int axis) {
          return Dim::integer(first_size_[static_cast<size_t>(parameter)] + axis);
        },
        [](int slot) { return Dim::integer(slot); });
  }

  Expr parameter(const Cut& cut) {
    for (size_t i = 0; i < sources_.size(); ++i)
      if (sources_[i] == cut.source) return parameters_[i];
    ir::Shape shape;
    for (const Dim& extent : from_.nodes()[static_cast<size_t>(cut.node)].type.shape)
      shape.push_back(dim(extent));
    sources_.push_back(cut.source);
    parameters_.push_back(builder_.parameter(cut.dtype, shape));
    return parameters_.back();
  }

  Expr copy(NodeId id) {
    Expr& done = copied_[static_cast<size_t>(id)];
    if (done.valid()) return done;
    const ir::Node& node = from_.nodes()[static_cast<size_t>(id)];
    for (const Cut& cut : cuts_)
      if (cut.node == id) return done = prim::convert(parameter(cut), node.type.dtype);
    if (node.primitive == ir::number_row())
      return done = numbers_[static_cast<size_t>(node.attributes.index)];
    std::vector<Expr> arguments;
    for (const NodeId argument : node.arguments) arguments.push_back(copy(argument));
    ir::Attributes attributes = node.attributes;
    for (Dim& d : attributes.dims) d = dim(d);
    return copied_[static_cast<size_t>(id)] =
               builder_.add(node.primitive, arguments, std::move(attributes));
  }

  const Builder& from_;
  std::span<const Cut> cuts_;
  std::span<const int> first_size_;
  Builder builder_;
  std::vector<Expr> copied_;
  std::vector<Expr> numbers_;
  std::vector<Expr> parameters_;
  std::vector<Source> sources_;
};

/// The result before it was rounded to its dtype.
NodeId unrounded(const Expr& result) {
  static const ir::Primitive* const kConvert = ir::find_primitive("convert");
  const ir::Node& node = result.node();
  if (node.primitive == kConvert && compute_dtype(node.type.dtype) != node.type.dtype)
    return node.arguments[0];
  return result.id();
}

/// Derivative::backward_onto.
std::shared_ptr<const Executable> onto(const Executable& backward) {
  const ir::Program& program = program_of(backward);
  if (program.results.size() != 1) return nullptr;
  const ir::Node& scatter = program.nodes[static_cast<size_t>(program.results[0])];
  if (scatter.arguments.empty()) return nullptr;
  const std::optional<Scalar> target = prim::uniform_value(program.nodes, scatter.arguments[0]);
  const bool is_zero = target && !target->to_bool();
  if (scatter.primitive->cls != ir::PrimitiveClass::Scatter ||
      scatter.primitive->combine != ir::CoreOp::Add || !is_zero)
    return nullptr;
  Builder builder(program);
  std::vector<Expr> operands = {builder.parameter(scatter.type.dtype, scatter.type.shape)};
  for (size_t i = 1; i < scatter.arguments.size(); ++i)
    operands.push_back(builder.expr(scatter.arguments[i]));
  const Expr sum = builder.add(scatter.primitive, operands);
  return make_executable(builder.finish({&sum, 1}));
}

/// `value`, converted from `dtype` and then mapped, by the same maps of what was converted; invalid
/// if it is made otherwise.
Expr mapped_in_memory(const Expr& value, DType dtype) {
  static const ir::Primitive* const kConvert = ir::find_primitive("convert");
  if (value.dtype() == dtype) return value;
  Builder& builder = value.builder();
  const ir::Primitive* const primitive = value.node().primitive;
  const bool is_map =
      primitive->cls == ir::PrimitiveClass::View || primitive->cls == ir::PrimitiveClass::Reshape;
  if (!is_map && primitive != kConvert) return {};
  const Expr operand = builder.expr(value.node().arguments[0]);
  if (!is_map) return operand.dtype() == dtype ? operand : Expr();
  const Expr mapped = mapped_in_memory(operand, dtype);
  if (!mapped.valid()) return {};
  return builder.add(primitive, {&mapped, 1}, value.node().attributes);
}

/// Results that are index maps of a half do not go through its compute dtype, so that views are
/// aliases. Only for programs that are not differentiated: gradients are summed in that dtype.
void map_halves_in_memory(std::vector<Expr>& results) {
  for (Expr& result : results) {
    if (compute_dtype(result.dtype()) == result.dtype()) continue;
    const Expr wide = result.builder().expr(unrounded(result));
    const Expr mapped = mapped_in_memory(wide, result.dtype());
    if (mapped.valid()) result = mapped;
  }
}

}  // namespace

CallRecipe::CallRecipe(const ops::Call& call, SmallVector<DType, 2> output_dtypes,
                       std::string_view key)
    : op_(call.definition()), output_dtypes_(std::move(output_dtypes)) {
  // Keep copies of the infos, so that the stored arguments refer to something that lives.
  size_t count = 0;
  for (const ops::Argument& argument : call.arguments()) {
    if (std::holds_alternative<const TensorInfo*>(argument)) ++count;
    if (const auto* list = std::get_if<ops::TensorRefs>(&argument)) count += list->size();
  }
  infos_.reserve(count);
  const auto keep = [&](const TensorInfo* info) -> const TensorInfo* {
    if (info == nullptr) return nullptr;
    infos_.push_back(*info);
    return &infos_.back();
  };
  for (ops::Argument argument : call.arguments()) {
    if (auto* one = std::get_if<const TensorInfo*>(&argument)) *one = keep(*one);
    if (auto* list = std::get_if<ops::TensorRefs>(&argument))
      for (const TensorInfo*& info : *list) info = keep(info);
    arguments_.push_back(std::move(argument));
  }
  if (op_.lower == nullptr) {
    if (may_run_later(call))
      host_ = make_executable(std::make_shared<const HostProgram>(call, key));
    return;
  }
  ops::LoweredCall lowered = lower_call();
  map_halves_in_memory(lowered.results);
  forward_ = make_executable(lowered.builder->finish(lowered.results));
}

bool CallRecipe::gives_one_number(size_t i) const {
  static const ir::Primitive* const kConvert = ir::find_primitive("convert");
  if (forward_ == nullptr) return false;
  const ir::Program& program = program_of(*forward_);
  const ir::Node* node = &program.nodes[static_cast<size_t>(program.results[i])];
  while (!node->type.shape.empty()) {
    if (node->primitive->cls != ir::PrimitiveClass::View && node->primitive != kConvert)
      return false;
    node = &program.nodes[static_cast<size_t>(node->arguments[0])];
  }
  return true;
}

ops::LoweredCall CallRecipe::lower_call() const {
  ops::LoweredCall lowered = ops::lower(ops::Call(op_, arguments_));
  for (size_t i = 0; i < output_dtypes_.size(); ++i)
    lowered.results[i] = prim::convert(lowered.results[i], output_dtypes_[i]);
  return lowered;
}

const Derivative& CallRecipe::derivative(uint64_t wanted) const {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<const Derivative>& entry = derivatives_[wanted];
  if (entry != nullptr) return *entry;
  auto derivative = std::make_unique<Derivative>();

  ops::LoweredCall lowered = lower_call();
  Builder& builder = *lowered.builder;
  const size_t input_count = lowered.parameters.size();
  std::vector<Cut> cuts;
  for (size_t i = 0; i < input_count; ++i)
    cuts.push_back({lowered.parameters[i].id(),
                    {Source::Kind::Input, static_cast<int>(i)},
                    lowered.parameters[i].dtype()});
  const std::vector<Expr> results = lowered.results;
  if (op_.saves_result || op_.lower == nullptr) {
    for (size_t i = 0; i < results.size(); ++i) {
      const Source source{Source::Kind::Result, static_cast<int>(i)};
      cuts.push_back({results[i].id(), source, results[i].dtype()});
      cuts.push_back({unrounded(results[i]), source, results[i].dtype()});
    }
  }
  for (size_t i = 0; i < lowered.saved.size(); ++i)
    cuts.push_back({lowered.saved[i].id(),
                    {Source::Kind::Saved, static_cast<int>(i)},
                    lowered.saved[i].dtype()});

  // Cotangents arrive in the dtype of what the call returned, and go on in that of the op's result.
  const ops::ResultInfos infos = ops::infer(ops::Call(op_, arguments_));
  std::vector<Expr> cotangents;
  for (size_t i = 0; i < results.size(); ++i) {
    if (!is_inexact(results[i].dtype())) {
      cotangents.emplace_back();
      continue;
    }
    const Expr cotangent = builder.parameter(results[i].dtype(), results[i].shape());
    cuts.push_back(
        {cotangent.id(), {Source::Kind::Cotangent, static_cast<int>(i)}, cotangent.dtype()});
    cotangents.push_back(prim::convert(cotangent, infos[i].dtype));
  }
  const auto flags = std::make_unique<bool[]>(input_count);
  for (size_t i = 0; i < input_count; ++i) flags[i] = is_wanted(wanted, i);
  std::vector<Expr> gradients =
      ops::gradients(ops::Call(op_, arguments_), lowered, cotangents, {flags.get(), input_count});
  std::vector<Expr> kept;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].valid() || !flags[i]) continue;
    derivative->targets.push_back(static_cast<int>(i));
    kept.push_back(gradients[i]);
  }

  // Integers of the backward: the call's own, the sizes of inputs, the sizes of results.
  std::vector<int> first_size;
  int next = static_cast<int>(ops::dynamic_values(ops::Call(op_, arguments_)).integers.size());
  for (const TensorInfo& info : infos_) {
    first_size.push_back(next);
    next += info.dim();
  }
  for (const Expr& result : results) {
    first_size.push_back(next);
    next += result.rank();
  }
  Extraction extraction(builder, cuts, first_size);
  derivative->backward = make_executable(
      extraction.run(kept, static_cast<int>(lowered.numbers.size()), derivative->sources));
  derivative->backward_onto = onto(*derivative->backward);

  bool needs_saved = false;
  for (const Source& source : derivative->sources)
    needs_saved |= source.kind == Source::Kind::Saved;
  derivative->forward = forward_;
  if (needs_saved) {
    std::vector<Cut> without_saved = cuts;
    std::erase_if(without_saved,
                  [](const Cut& cut) { return cut.source.kind == Source::Kind::Saved; });
    Extraction again(builder, without_saved, first_size);
    again.declare(cuts, derivative->sources);
    derivative->recorded_backward = make_executable(
        again.run(kept, static_cast<int>(lowered.numbers.size()), derivative->sources));
    // Lowered anew: the builder has the cotangents among its parameters by now.
    const ops::LoweredCall forward = lower_call();
    std::vector<Expr> outputs = forward.results;
    outputs.insert(outputs.end(), forward.saved.begin(), forward.saved.end());
    derivative->saved_count = static_cast<int>(forward.saved.size());
    derivative->forward = make_executable(forward.builder->finish(outputs));
  }
  entry = std::move(derivative);
  return *entry;
}

std::shared_ptr<const Derivative> derive(const std::shared_ptr<const Executable>& program,
                                         uint64_t wanted) {
  constexpr size_t kMaxDerivatives = 2048;
  static auto* const cache =
      new BoundedCache<Hash128, std::shared_ptr<const Derivative>>(kMaxDerivatives);
  const ir::Program& forward = program_of(*program);
  const Hash128 key = Hasher().add(forward.hash()).add(wanted).finish();
  if (auto known = cache->find(key)) return *std::move(known);
  auto derivative = std::make_shared<Derivative>();
  derivative->forward = program;
  Builder builder(forward);
  std::vector<Cut> cuts;
  std::vector<Expr> wanted_inputs;
  for (size_t id = 0; id < forward.nodes.size(); ++id) {
    const ir::Node& node = forward.nodes[id];
    if (node.primitive != ir::parameter_row()) continue;
    const int index = node.attributes.index;
    cuts.push_back({static_cast<NodeId>(id), {Source::Kind::Input, index}, node.type.dtype});
    if (is_wanted(wanted, static_cast<size_t>(index)) && is_inexact(node.type.dtype)) {
      wanted_inputs.push_back(builder.expr(static_cast<NodeId>(id)));
      derivative->targets.push_back(index);
    }
  }
  std::vector<Expr> outputs;
  std::vector<Expr> cotangents;
  for (size_t i = 0; i < forward.results.size(); ++i) {
    const Expr output = builder.expr(forward.results[i]);
    if (!is_inexact(output.dtype())) continue;
    const Expr cotangent = builder.parameter(output.dtype(), output.shape());
    cuts.push_back(
        {cotangent.id(), {Source::Kind::Cotangent, static_cast<int>(i)}, output.dtype()});
    outputs.push_back(output);
    cotangents.push_back(cotangent);
  }
  const std::vector<Expr> gradients =
      prim::differentiate(builder, outputs, cotangents, wanted_inputs);
  std::vector<Expr> kept;
  std::vector<int> targets;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].valid()) continue;
    kept.push_back(gradients[i]);
    targets.push_back(derivative->targets[i]);
  }
  derivative->targets = std::move(targets);
  Extraction extraction(builder, cuts, {});
  derivative->backward = make_executable(
      extraction.run(kept, static_cast<int>(forward.numbers.size()), derivative->sources));
  derivative->backward_onto = onto(*derivative->backward);
  return cache->add(key, std::move(derivative));
}

std::shared_ptr<const Executable> on_first_input(const Executable& forward, size_t integer_count) {
  const ir::Program& program = program_of(forward);
  std::vector<Cut> cuts;
  std::vector<int> first_size;
  auto next = static_cast<int>(integer_count);
  for (const ir::Type& type : program.parameters) {
    first_size.push_back(next);
    next += static_cast<int>(type.shape.size());
  }
  for (size_t id = 0; id < program.nodes.size(); ++id) {
    const ir::Node& node = program.nodes[id];
    if (node.primitive == ir::parameter_row() && node.attributes.index == 0)
      cuts.push_back({static_cast<NodeId>(id), {Source::Kind::Input, 0}, node.type.dtype});
  }
  Builder builder(program);
  const Expr result = builder.expr(program.results[0]);
  std::vector<Source> sources;
  return make_executable(Extraction(builder, cuts, first_size)
                             .run({&result, 1}, static_cast<int>(program.numbers.size()), sources));
}

}  // namespace flambeau
