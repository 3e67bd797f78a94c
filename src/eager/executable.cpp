#include "eager/executable.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "base/recent_cache.h"
#include "base/settings.h"
#include "eager/block_scan.h"
#include "eager/copy.h"
#include "eager/small_run.h"
#include "ir/complex.h"
#include "lower/plan.h"
#include "ops/registry.h"
#include "runtime/contraction_launch.h"

namespace flambeau {

using lower::AliasStep;
using lower::AxisIndex;
using lower::ContractStep;
using lower::KernelStep;
using lower::PlannedValue;
using lower::ScanStep;

class Executable {
 public:
  explicit Executable(ir::Program p)
      : program(std::move(p)),
        is_complex(ir::has_complex(program)),
        plan(lower::make_plan(is_complex ? ir::split_complex(program) : program)) {
    for (const lower::Step& step : plan.steps) {
      const auto* kernel = std::get_if<KernelStep>(&step);
      launches.push_back(kernel == nullptr ? nullptr
                                           : std::make_unique<LaunchTemplate>(kernel->kernel));
      const auto* contract = std::get_if<ContractStep>(&step);
      contractions.push_back(contract == nullptr
                                 ? nullptr
                                 : std::make_unique<ContractionTemplate>(
                                       *contract,
                                       plan.values[static_cast<size_t>(contract->a.value)].dtype,
                                       plan.values[static_cast<size_t>(contract->b.value)].dtype,
                                       plan.values[static_cast<size_t>(contract->result)].dtype));
      const auto* scan = std::get_if<ScanStep>(&step);
      bodies.push_back(scan == nullptr ? nullptr : make_executable(*scan->body));
    }
  }

  ir::Program program;
  bool is_complex;  ///< the plan is of the program with complex values split
  lower::Plan plan;
  std::vector<std::unique_ptr<LaunchTemplate>> launches;           // per step
  std::vector<std::unique_ptr<ContractionTemplate>> contractions;  // per step
  std::vector<std::shared_ptr<const Executable>> bodies;           // per step
};

namespace {

/// True if kernels may write result `i` to its output while they read the parameters.
bool is_safe_output(const lower::Plan& plan, std::span<const Tensor> parameters,
                    const Tensor& output) {
  for (size_t p = 0; p < parameters.size(); ++p) {
    const Tensor& t = parameters[p];
    if (!(t->storage == output->storage)) continue;
    if (!plan.overwritable[p] || t->offset != output->offset || t.dtype() != output.dtype() ||
        t.sizes() != output.sizes() || t.strides() != output.strides())
      return false;
  }
  return true;
}

bool is_same_window(const Tensor& a, const Tensor& b) {
  return a.is_same(b) ||
         (a->storage == b->storage && a->offset == b->offset && a.dtype() == b.dtype() &&
          a.sizes() == b.sizes() && a.strides() == b.strides());
}

Tensor row_major_copy(const Tensor& tensor) {
  Tensor copy = Tensor::empty(tensor.sizes(), tensor.dtype());
  copy_elements(tensor, copy);
  return copy;
}

/// One run: the memory of each planned value. Notes what it does in `record`, if given.
class Run {
 public:
  Run(const Executable& executable, std::span<const Tensor> parameters,
      std::span<const Scalar> numbers, std::span<const int64_t> integers,
      std::span<const Tensor> outputs, SmallRun* record)
      : executable_(executable), numbers_(numbers), outputs_(outputs), record_(record) {
    const lower::Plan& plan = executable.plan;
    values_.resize(plan.values.size());
    for (const Tensor& parameter : parameters) sizes_.push_back(parameter.sizes().data());
    bindings_ = {sizes_.data(), integers.data()};
    for (size_t v = 0; v < plan.values.size(); ++v)
      if (plan.values[v].parameter >= 0)
        values_[v] = parameters[static_cast<size_t>(plan.values[v].parameter)];
    place_outputs(parameters);
  }

  /// Gives the memory of values.
  void place(const RunShape& shape, std::span<const Tensor> blocks) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      Tensor& value = values_[static_cast<size_t>(shape.blocks[i].value)];
      if (!value.defined()) value = blocks[i];
    }
  }

  Results run() {
    const lower::Plan& plan = executable_.plan;
    if (record_ != nullptr) begin_record();
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      if (const auto* kernel = std::get_if<KernelStep>(&plan.steps[i])) {
        launch(*kernel->kernel, *executable_.launches[i]);
      } else if (const auto* contract = std::get_if<ContractStep>(&plan.steps[i])) {
        this->contract(*contract, *executable_.contractions[i]);
      } else if (const auto* scan = std::get_if<ScanStep>(&plan.steps[i])) {
        this->scan(*scan, *executable_.bodies[i]);
      } else {
        alias(std::get<AliasStep>(plan.steps[i]));
      }
      for (size_t v = 0; v < values_.size(); ++v)
        if (plan.values[v].last_use == static_cast<int>(i) && plan.values[v].parameter < 0)
          values_[v] = Tensor();
    }
    keep_from_outputs();
    Results results;
    for (size_t i = 0; i < plan.results.size(); ++i) {
      const Tensor& value = values_[static_cast<size_t>(plan.results[i])];
      if (i < outputs_.size() && outputs_[i].defined()) {
        if (!is_same_window(value, outputs_[i])) {
          copy_elements(value, outputs_[i]);
          not_small();
        }
        results.push_back(outputs_[i]);
      } else {
        results.push_back(value);
      }
    }
    return results;
  }

 private:
  void begin_record() {
    const lower::Plan& plan = executable_.plan;
    record_->value_count = static_cast<int>(plan.values.size());
    record_->parameters.resize(sizes_.size(), -1);
    for (size_t v = 0; v < plan.values.size(); ++v)
      if (plan.values[v].parameter >= 0)
        record_->parameters[static_cast<size_t>(plan.values[v].parameter)] = static_cast<int>(v);
    for (const int v : plan.results) record_->results.push_back(v);
  }

  void not_small() {
    if (record_ != nullptr) record_->possible = false;
  }

  /// Lets kernels write straight to the given outputs, where that cannot disturb what is read.
  void place_outputs(std::span<const Tensor> parameters) {
    const lower::Plan& plan = executable_.plan;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (!outputs_[i].defined()) continue;
      const auto v = static_cast<size_t>(plan.results[i]);
      const PlannedValue& planned = plan.values[v];
      if (planned.parameter >= 0 || planned.alias_of >= 0 || values_[v].defined()) continue;
      if (is_safe_output(plan, parameters, outputs_[i])) values_[v] = outputs_[i];
    }
  }

  /// Copies results that are parameters, or windows of them, whose memory is an output's, too.
  void keep_from_outputs() {
    const lower::Plan& plan = executable_.plan;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (!outputs_[i].defined()) continue;
      Tensor& value = values_[static_cast<size_t>(plan.results[i])];
      if (is_same_window(value, outputs_[i])) continue;
      const bool is_written = std::any_of(outputs_.begin(), outputs_.end(), [&](const Tensor& o) {
        return o.defined() && o->storage == value->storage;
      });
      if (is_written) value = row_major_copy(value);
    }
  }

  Ints evaluate(const ir::Shape& shape) const {
    Ints sizes;
    for (const ir::Dim& extent : shape) sizes.push_back(extent.evaluate(bindings_));
    return sizes;
  }

  /// The memory of value `v`, made if this is the first step that touches it.
  const Tensor& ensure(int v) {
    Tensor& value = values_[static_cast<size_t>(v)];
    const PlannedValue& planned = executable_.plan.values[static_cast<size_t>(v)];
    if (!value.defined()) {
      value = Tensor::empty(evaluate(planned.shape), planned.dtype);
      if (record_ != nullptr) record_->made.push_back({.value = v, .info = value.info()});
    }
    return value;
  }

  void launch(const lower::KernelTemplate& kernel, const LaunchTemplate& launch_template) {
    SmallVector<LaunchBuffer, 6> buffers;
    for (const int v : kernel.buffer_values) {
      const Tensor& value = ensure(v);
      buffers.push_back({value.data_ptr(), value.strides().data()});
    }
    if (record_ == nullptr || !record_->possible)
      return launch_template.launch({buffers.data(), buffers.size()}, bindings_, numbers_);
    DirectLaunch direct;
    launch_template.launch({buffers.data(), buffers.size()}, bindings_, numbers_, &direct);
    if (direct.function == nullptr) return not_small();
    for (DirectLaunch::Pointer& pointer : direct.pointers)
      pointer.buffer = kernel.buffer_values[static_cast<size_t>(pointer.buffer)];
    record_->launches.push_back(std::move(direct));
  }

  void contract(const ContractStep& step, const ContractionTemplate& contraction) {
    not_small();
    SmallVector<LaunchBuffer, 6> epilogue;
    if (step.epilogue != nullptr) {
      for (size_t b = 0; b < step.epilogue->buffers.size(); ++b) {
        // The product is never in memory.
        if (static_cast<int>(b) == step.product_buffer) {
          epilogue.push_back({});
          continue;
        }
        const Tensor& value = ensure(step.epilogue->buffer_values[b]);
        epilogue.push_back({value.data_ptr(), value.strides().data()});
      }
    }
    const auto buffer = [&](int v) {
      const Tensor& value = ensure(v);
      return LaunchBuffer{value.data_ptr(), value.strides().data()};
    };
    contraction.launch(buffer(step.a.value), buffer(step.b.value), buffer(step.result),
                       {epilogue.data(), epilogue.size()}, bindings_, numbers_);
  }

  void scan(const ScanStep& step, const Executable& body) {
    not_small();
    SmallVector<Tensor, 8> operands;
    SmallVector<Tensor, 4> results;
    for (const int v : step.operands) operands.push_back(ensure(v));
    for (const int v : step.results) results.push_back(ensure(v));
    // The scan's tasks take memory as it is.
    for (const Tensor& operand : operands) static_cast<void>(operand.readable_data_ptr());
    for (const Tensor& result : results) static_cast<void>(result.data_ptr());
    run_block_scan(step.form, step.by_rows, body, {operands.data(), operands.size()},
                   {results.data(), results.size()});
  }

  void alias(const AliasStep& step) {
    const Tensor& value = ensure(step.value);
    const Ints sizes = evaluate(executable_.plan.values[static_cast<size_t>(step.result)].shape);
    Tensor& result = values_[static_cast<size_t>(step.result)];
    if (step.reshape) {
      if (const std::optional<Ints> strides = ops::view_strides(value.info(), sizes)) {
        result = value.alias(sizes, *strides, value->offset);
      } else {
        if (!result.defined()) result = Tensor::empty(sizes, value.dtype());
        copy_elements(
            value, result.alias(value.sizes(), contiguous_strides(value.sizes()), result->offset));
        return not_small();
      }
      return note_window(step, value, result);
    }
    Ints strides(sizes.size(), 0);
    int64_t offset = value->offset;
    for (size_t axis = 0; axis < step.axes.size(); ++axis) {
      const int64_t stride = value.strides()[axis];
      if (!step.axes[axis].offset.is_zero())
        offset += step.axes[axis].offset.evaluate(bindings_) * stride;
      for (const AxisIndex::Term& term : step.axes[axis].terms)
        strides[static_cast<size_t>(term.loop)] += term.coefficient.evaluate(bindings_) * stride;
    }
    result = value.alias(sizes, strides, offset);
    note_window(step, value, result);
  }

  void note_window(const AliasStep& step, const Tensor& value, const Tensor& result) {
    if (record_ != nullptr)
      record_->made.push_back(
          {step.result, result.info(), step.value, result->offset - value->offset});
  }

  const Executable& executable_;
  std::span<const Scalar> numbers_;
  std::span<const Tensor> outputs_;
  SmallVector<const int64_t*, 6> sizes_;
  ir::DimBindings bindings_;
  SmallVector<Tensor, 6> values_;
  SmallRun* record_;
};

/// All that decides a run but memory and numbers. Empty if an output cannot be written in place.
SmallVector<int64_t, 64> run_key(const Executable& executable, std::span<const Tensor> parameters,
                                 std::span<const int64_t> integers,
                                 std::span<const Tensor> outputs) {
  SmallVector<int64_t, 64> key;
  key.push_back(static_cast<int64_t>(reinterpret_cast<uintptr_t>(&executable)));
  for (const Tensor& parameter : parameters) {
    key.append(parameter.sizes().begin(), parameter.sizes().end());
    key.append(parameter.strides().begin(), parameter.strides().end());
  }
  // Calls of other operations may share the program and pass more integers than it reads.
  key.push_back(static_cast<int64_t>(integers.size()));
  key.append(integers.begin(), integers.end());
  for (const Tensor& output : outputs) {
    key.push_back(output.defined() ? 1 : 0);
    if (!output.defined()) continue;
    if (!is_safe_output(executable.plan, parameters, output)) return {};
    key.append(output.strides().begin(), output.strides().end());
  }
  return key;
}

}  // namespace

std::shared_ptr<const Executable> make_executable(ir::Program program) {
  static std::mutex mutex;
  static std::unordered_map<Hash128, std::shared_ptr<const Executable>> cache;
  const Hash128 hash = program.hash();
  {
    const std::lock_guard lock(mutex);
    const auto found = cache.find(hash);
    if (found != cache.end()) return found->second;
  }
  if (bool_setting("FLAMBEAU_CHECK")) ir::verify(program);
  auto executable = std::make_shared<const Executable>(std::move(program));
  const std::lock_guard lock(mutex);
  return cache.emplace(hash, std::move(executable)).first->second;
}

const ir::Program& program_of(const Executable& executable) { return executable.program; }
const lower::Plan& plan_of(const Executable& executable) { return executable.plan; }

bool is_alias(const Executable& executable, size_t result) {
  const PlannedValue& value =
      executable.plan.values[static_cast<size_t>(executable.plan.results[result])];
  return value.parameter >= 0 || value.alias_of >= 0;
}

namespace {

thread_local constinit RunSink* sink_of_thread = nullptr;

/// Finds the places of results by following the plan's windows from what holds them.
class ShapeFinder {
 public:
  ShapeFinder(const Executable& executable, std::span<const Tensor> parameters,
              std::span<const int64_t> integers)
      : plan_(executable.plan), parameters_(parameters) {
    for (const Tensor& parameter : parameters) sizes_.push_back(parameter.sizes().data());
    bindings_ = {sizes_.data(), integers.data()};
    places_.resize(plan_.values.size());
  }

  RunShape find() {
    for (const lower::Step& step : plan_.steps)
      if (const auto* alias = std::get_if<AliasStep>(&step)) follow(*alias);
    for (const int value : plan_.results) shape_.results.push_back(place_of(value));
    return std::move(shape_);
  }

 private:
  using Place = RunShape::Place;

  Ints evaluate(const ir::Shape& shape) const {
    Ints sizes;
    for (const ir::Dim& extent : shape) sizes.push_back(extent.evaluate(bindings_));
    return sizes;
  }
  const PlannedValue& planned(int value) const { return plan_.values[static_cast<size_t>(value)]; }

  Place new_block(int value) {
    const Ints sizes = evaluate(planned(value).shape);
    shape_.blocks.push_back({value, {planned(value).dtype, sizes, contiguous_strides(sizes)}});
    return {Place::Kind::Block, static_cast<int>(shape_.blocks.size()) - 1,
            shape_.blocks.back().info, 0};
  }

  const Place& place_of(int value) {
    std::optional<Place>& place = places_[static_cast<size_t>(value)];
    if (!place) {
      const int parameter = planned(value).parameter;
      if (parameter >= 0)
        place = Place{Place::Kind::Parameter, parameter,
                      parameters_[static_cast<size_t>(parameter)].info(), 0};
      else
        place = new_block(value);
    }
    return *place;
  }

  void follow(const AliasStep& step) {
    Place place = place_of(step.value);
    if (place.kind == Place::Kind::Parameter) place.kind = Place::Kind::Window;
    const Ints sizes = evaluate(planned(step.result).shape);
    Ints strides(sizes.size(), 0);
    if (step.reshape) {
      const std::optional<Ints> kept = ops::view_strides(place.info, sizes);
      if (!kept) {  // a copy
        places_[static_cast<size_t>(step.result)] = new_block(step.result);
        return;
      }
      strides = *kept;
    } else {
      for (size_t axis = 0; axis < step.axes.size(); ++axis) {
        const int64_t stride = place.info.strides[axis];
        if (!step.axes[axis].offset.is_zero())
          place.offset += step.axes[axis].offset.evaluate(bindings_) * stride;
        for (const AxisIndex::Term& term : step.axes[axis].terms)
          strides[static_cast<size_t>(term.loop)] += term.coefficient.evaluate(bindings_) * stride;
      }
    }
    place.info.sizes = sizes;
    place.info.strides = strides;
    places_[static_cast<size_t>(step.result)] = std::move(place);
  }

  const lower::Plan& plan_;
  std::span<const Tensor> parameters_;
  SmallVector<const int64_t*, 6> sizes_;
  ir::DimBindings bindings_;
  std::vector<std::optional<Place>> places_;
  RunShape shape_;
};

/// Runs a program with complex values on the same memory seen as reals.
Results run_complex(const Executable& executable, std::span<const Tensor> parameters,
                    std::span<const Scalar> numbers, std::span<const int64_t> integers,
                    std::span<const Tensor> outputs) {
  const auto as_reals = [](std::span<const Tensor> tensors) {
    SmallVector<Tensor, 4> reals;
    for (const Tensor& tensor : tensors)
      reals.push_back(tensor.defined() && is_complex(tensor.dtype()) ? alias_as_real(tensor)
                                                                     : tensor);
    return reals;
  };
  const SmallVector<Tensor, 4> reals = as_reals(parameters);
  const SmallVector<Tensor, 4> places = as_reals(outputs);
  Results results = Run(executable, {reals.data(), reals.size()}, numbers, integers,
                        {places.data(), places.size()}, nullptr)
                        .run();
  for (size_t i = 0; i < results.size(); ++i) {
    if (i < outputs.size() && outputs[i].defined()) {
      results[i] = outputs[i];
      continue;
    }
    const ir::Node& node =
        executable.program.nodes[static_cast<size_t>(executable.program.results[i])];
    if (!is_complex(node.type.dtype)) continue;
    // A result that is a parameter is that tensor itself.
    if (node.primitive == ir::parameter_row())
      results[i] = parameters[static_cast<size_t>(node.attributes.index)];
    else
      results[i] = alias_as_complex(results[i]);
  }
  return results;
}

}  // namespace

Results run(const Executable& executable, std::span<const Tensor> parameters,
            std::span<const Scalar> numbers, std::span<const int64_t> integers,
            std::span<const Tensor> outputs) {
  std::shared_ptr<const SmallRun> small;
  return run_again(small, executable, parameters, numbers, integers, outputs);
}

std::shared_ptr<const RunShape> shape_of_run(const Executable& executable,
                                             std::span<const Tensor> parameters,
                                             std::span<const int64_t> integers) {
  constexpr size_t kRecentShapes = 2048;
  static thread_local RecentCache<RunShape, kRecentShapes> recent;
  const auto key = run_key(executable, parameters, integers, {});
  auto& slot = recent.find({key.data(), key.size()});
  if (slot.value != nullptr) return slot.value;
  RunShape shape;
  if (executable.is_complex) {
    // Views of complex numbers are left to the run; the rest has memory of its own.
    for (size_t i = 0; i < executable.plan.results.size(); ++i)
      shape.runs_at_once |= is_alias(executable, i);
    SmallVector<const int64_t*, 6> sizes;
    for (const Tensor& parameter : parameters) sizes.push_back(parameter.sizes().data());
    for (const ir::NodeId result : executable.program.results) {
      const ir::Type& type = executable.program.nodes[static_cast<size_t>(result)].type;
      Ints extents;
      for (const ir::Dim& extent : type.shape)
        extents.push_back(extent.evaluate({sizes.data(), integers.data()}));
      const TensorInfo info{type.dtype, extents, contiguous_strides(extents)};
      shape.results.push_back(
          {RunShape::Place::Kind::Block, static_cast<int>(shape.blocks.size()), info, 0});
      shape.blocks.push_back({-1, info});
    }
  } else {
    shape = ShapeFinder(executable, parameters, integers).find();
  }
  slot.value = std::make_shared<const RunShape>(std::move(shape));
  return slot.value;
}

Results run_in_blocks(const Executable& executable, const RunShape& shape,
                      std::span<const Tensor> blocks, std::span<const Tensor> parameters,
                      std::span<const Scalar> numbers, std::span<const int64_t> integers,
                      std::span<const Tensor> outputs) {
  if (executable.is_complex) {  // every result has a block
    SmallVector<Tensor, 4> places;
    for (size_t i = 0; i < blocks.size(); ++i)
      places.push_back(i < outputs.size() && outputs[i].defined() ? outputs[i] : blocks[i]);
    return run_complex(executable, parameters, numbers, integers, {places.data(), places.size()});
  }
  Run run(executable, parameters, numbers, integers, outputs, nullptr);
  run.place(shape, blocks);
  return run.run();
}

RunSink* run_sink() { return sink_of_thread; }
void set_run_sink(RunSink* sink) { sink_of_thread = sink; }

Results run_again(std::shared_ptr<const SmallRun>& small, const Executable& executable,
                  std::span<const Tensor> parameters, std::span<const Scalar> numbers,
                  std::span<const int64_t> integers, std::span<const Tensor> outputs) {
  if (sink_of_thread != nullptr) [[unlikely]] {
    Results results;
    if (sink_of_thread->take(executable, parameters, numbers, integers, outputs, results))
      return results;
  }
  if (small != nullptr) return small->run(parameters, numbers, outputs);
  if (executable.is_complex) [[unlikely]]
    return run_complex(executable, parameters, numbers, integers, outputs);
  constexpr size_t kRecentRuns = 512;
  static thread_local RecentCache<SmallRun, kRecentRuns> recent;
  const auto key = run_key(executable, parameters, integers, outputs);
  if (key.empty()) return Run(executable, parameters, numbers, integers, outputs, nullptr).run();
  auto& slot = recent.find({key.data(), key.size()});
  if (slot.value == nullptr) {
    // Runs of the body of a scan use the table, too.
    const auto record = std::make_shared<SmallRun>();
    Results results = Run(executable, parameters, numbers, integers, outputs, record.get()).run();
    recent.find({key.data(), key.size()}).value = record;
    return results;
  }
  if (!slot.value->possible)
    return Run(executable, parameters, numbers, integers, outputs, nullptr).run();
  small = slot.value;
  return small->run(parameters, numbers, outputs);
}

}  // namespace flambeau
