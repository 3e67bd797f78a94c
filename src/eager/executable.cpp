#include "eager/executable.h"

#include <mutex>
#include <unordered_map>

#include "base/error.h"
#include "base/settings.h"
#include "eager/block_scan.h"
#include "eager/copy.h"
#include "lower/plan.h"
#include "ops/registry.h"
#include "runtime/contraction_launch.h"
#include "runtime/launch.h"

namespace flambeau {

using lower::AliasStep;
using lower::AxisIndex;
using lower::ContractStep;
using lower::KernelStep;
using lower::PlannedValue;
using lower::ScanStep;

class Executable {
 public:
  explicit Executable(ir::Program p) : program(std::move(p)), plan(lower::make_plan(program)) {
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
  lower::Plan plan;
  std::vector<std::unique_ptr<LaunchTemplate>> launches;           // per step
  std::vector<std::unique_ptr<ContractionTemplate>> contractions;  // per step
  std::vector<std::shared_ptr<const Executable>> bodies;           // per step
};

namespace {

/// One run: the memory of each planned value.
class Run {
 public:
  Run(const Executable& executable, std::span<const Tensor> parameters,
      std::span<const Scalar> numbers, std::span<const int64_t> integers,
      std::span<const Tensor> outputs)
      : executable_(executable), numbers_(numbers), outputs_(outputs) {
    const lower::Plan& plan = executable.plan;
    values_.resize(plan.values.size());
    for (const Tensor& parameter : parameters) sizes_.push_back(parameter.sizes().data());
    bindings_ = {sizes_.data(), integers.data()};
    for (size_t v = 0; v < plan.values.size(); ++v)
      if (plan.values[v].parameter >= 0)
        values_[v] = parameters[static_cast<size_t>(plan.values[v].parameter)];
    place_outputs(parameters);
  }

  Results run() {
    const lower::Plan& plan = executable_.plan;
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
    Results results;
    for (size_t i = 0; i < plan.results.size(); ++i) {
      const Tensor& value = values_[static_cast<size_t>(plan.results[i])];
      if (i < outputs_.size() && outputs_[i].defined()) {
        if (!value.is_same(outputs_[i])) copy_elements(value, outputs_[i]);
        results.push_back(outputs_[i]);
      } else {
        results.push_back(value);
      }
    }
    return results;
  }

 private:
  /// Lets kernels write straight to the given outputs, where that cannot disturb what is read.
  void place_outputs(std::span<const Tensor> parameters) {
    const lower::Plan& plan = executable_.plan;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (!outputs_[i].defined()) continue;
      const auto v = static_cast<size_t>(plan.results[i]);
      const PlannedValue& planned = plan.values[v];
      if (planned.parameter >= 0 || planned.alias_of >= 0 || values_[v].defined()) continue;
      bool safe = true;
      for (size_t p = 0; p < parameters.size(); ++p) {
        const Tensor& t = parameters[p];
        if (!(t->storage == outputs_[i]->storage)) continue;
        safe &= plan.overwritable[p] && t->offset == outputs_[i]->offset &&
                t.dtype() == outputs_[i].dtype() && t.sizes() == outputs_[i].sizes() &&
                t.strides() == outputs_[i].strides();
      }
      if (safe) values_[v] = outputs_[i];
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
    if (!value.defined()) value = Tensor::empty(evaluate(planned.shape), planned.dtype);
    return value;
  }

  void launch(const lower::KernelTemplate& kernel, const LaunchTemplate& launch_template) {
    SmallVector<LaunchBuffer, 6> buffers;
    for (const int v : kernel.buffer_values) {
      const Tensor& value = ensure(v);
      buffers.push_back({value.data_ptr(), value.strides().data()});
    }
    launch_template.launch({buffers.data(), buffers.size()}, bindings_, numbers_);
  }

  void contract(const ContractStep& step, const ContractionTemplate& contraction) {
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
    SmallVector<Tensor, 8> operands;
    SmallVector<Tensor, 4> results;
    for (const int v : step.operands) operands.push_back(ensure(v));
    for (const int v : step.results) results.push_back(ensure(v));
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
        const Tensor copy = Tensor::empty(value.sizes(), value.dtype());
        copy_elements(value, copy);
        result = copy.alias(sizes, contiguous_strides(sizes), copy->offset);
      }
      return;
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
  }

  const Executable& executable_;
  std::span<const Scalar> numbers_;
  std::span<const Tensor> outputs_;
  SmallVector<const int64_t*, 6> sizes_;
  ir::DimBindings bindings_;
  SmallVector<Tensor, 6> values_;
};

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

bool is_alias(const Executable& executable, size_t result) {
  const PlannedValue& value =
      executable.plan.values[static_cast<size_t>(executable.plan.results[result])];
  return value.parameter >= 0 || value.alias_of >= 0;
}

Results run(const Executable& executable, std::span<const Tensor> parameters,
            std::span<const Scalar> numbers, std::span<const int64_t> integers,
            std::span<const Tensor> outputs) {
  return Run(executable, parameters, numbers, integers, outputs).run();
}

}  // namespace flambeau
