#include "eager/executable.h"

#include <array>

#include "base/bounded_cache.h"
#include "base/error.h"
#include "base/recent_cache.h"
#include "base/settings.h"
#include "eager/ask_kernels.h"
#include "eager/block_scan.h"
#include "eager/bound_run.h"
#include "eager/copy.h"
#include "eager/executable_hash.h"
#include "eager/host_program.h"
#include "eager/run_shape.h"
#include "ir/complex.h"
#include "lower/overwrite.h"
#include "lower/plan.h"
#include "lower/tables.h"
#include "ops/registry.h"
#include "runtime/compiler.h"
#include "runtime/contraction_launch.h"

namespace flambeau {

using lower::AliasStep;
using lower::AxisIndex;
using lower::ContractStep;
using lower::KernelStep;
using lower::PlannedValue;
using lower::ScanStep;

class Executable : public std::enable_shared_from_this<Executable> {
 public:
  explicit Executable(ir::Program p)
      : program(std::move(p)),
        hash(program.hash()),
        is_complex(ir::has_complex(program)),
        plan(lower::make_plan(is_complex ? ir::split_complex(program) : program)),
        tables(lower::find_tables(plan)) {
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

  /// Values of the plan are the parameters, then the results.
  explicit Executable(std::shared_ptr<const HostProgram> called)
      : hash(called->hash()), is_complex(false), host(std::move(called)) {
    const auto add = [&](const TensorInfo& info, int parameter, int& slot) {
      ir::Shape shape;
      for (int axis = 0; axis < info.dim(); ++axis)
        shape.push_back(parameter >= 0 ? ir::Dim::size(parameter, axis) : ir::Dim::integer(slot++));
      plan.values.push_back({.dtype = info.dtype, .shape = shape, .parameter = parameter});
      if (parameter >= 0) program.parameters.push_back({info.dtype, shape});
    };
    int slot = host->integer_count();
    for (const TensorInfo& info : host->inputs())
      add(info, static_cast<int>(program.parameters.size()), slot);
    for (const TensorInfo& info : host->results()) {
      plan.results.push_back(static_cast<int>(plan.values.size()));
      add(info, -1, slot);
    }
    plan.overwritable.resize(program.parameters.size(), false);
  }

  ir::Program program;
  Hash128 hash;
  bool is_complex;  ///< the plan is of the program with complex values split
  lower::Plan plan;
  lower::Tables tables;
  std::vector<std::unique_ptr<LaunchTemplate>> launches;           // per step
  std::vector<std::unique_ptr<ContractionTemplate>> contractions;  // per step
  std::vector<std::shared_ptr<const Executable>> bodies;           // per step
  /// What it runs instead of a plan's steps; `program` has parameters alone then.
  std::shared_ptr<const HostProgram> host;
};

namespace {

/// True if kernels may write result `i` to its output while they read the parameters.
bool is_safe_output(const lower::Plan& plan, std::span<const Tensor> parameters, size_t i,
                    const Tensor& output) {
  for (size_t p = 0; p < parameters.size(); ++p) {
    const Tensor& t = parameters[p];
    if (!(t->storage == output->storage)) continue;
    if (t->offset != output->offset || t.dtype() != output.dtype() || t.sizes() != output.sizes() ||
        t.strides() != output.strides() || !lower::may_take_place(plan, p, i))
      return false;
  }
  return true;
}

bool is_same_window(const Tensor& a, const Tensor& b) {
  return a.is_same(b) ||
         (a->storage == b->storage && a->offset == b->offset && a.dtype() == b.dtype() &&
          a.sizes() == b.sizes() && a.strides() == b.strides());
}

/// One run: the memory of each planned value. Notes what it does in `record`, if given.
class Run {
 public:
  Run(const Executable& executable, std::span<const Tensor> parameters,
      std::span<const Scalar> numbers, std::span<const int64_t> integers, std::span<Tensor> results,
      BoundRun* record)
      : executable_(executable),
        numbers_(numbers),
        results_(results),
        record_(record),
        made_places_(parameters.size() + results.size()) {
    const lower::Plan& plan = executable.plan;
    values_.resize(plan.values.size());
    places_.resize(plan.values.size(), -1);
    for (const Tensor& parameter : parameters) sizes_.push_back(parameter.sizes().data());
    bindings_ = {sizes_.data(), integers.data()};
    for (size_t v = 0; v < plan.values.size(); ++v)
      if (const int p = plan.values[v].parameter; p >= 0) {
        values_[v] = parameters[static_cast<size_t>(p)];
        places_[v] = p;
      }
    place_results(parameters);
    if (record_ != nullptr && executable.tables.any()) reserve_tables();
  }

  /// Gives the memory of values.
  void place(const RunShape& shape, std::span<const Tensor> blocks) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      Tensor& value = values_[static_cast<size_t>(shape.blocks[i].value)];
      if (!value.defined()) value = blocks[i];
    }
  }

  /// Where a kernel is missing, asks for those of the steps behind it before it says so.
  void run() {
    const lower::Plan& plan = executable_.plan;
    if (executable_.host != nullptr) call_host(*executable_.host);
    run_steps();
    if (!asks_) keep_from_results();
    for (size_t i = 0; i < plan.results.size(); ++i) {
      const auto v = static_cast<size_t>(plan.results[i]);
      if (record_ != nullptr) record_->results.push_back(place_of_result(i));
      if (!results_[i].defined()) {
        results_[i] = values_[v];
      } else if (!values_[v].is_same(results_[i])) {
        if (is_same_window(values_[v], results_[i])) continue;
        try {
          copy(values_[v], places_[v], results_[i], place_of_given(i));
        } catch (const KernelMissing&) {
          begin_to_ask();
        }
      }
    }
    if (!found_) throw KernelMissing();
  }

  /// Asks for the kernels that run() needs; false if one is missing. Results have no memory.
  bool ask() {
    asks_.emplace();
    run_steps();
    for (size_t i = 0; i < results_.size(); ++i)
      if (!results_[i].defined())
        results_[i] = values_[static_cast<size_t>(executable_.plan.results[i])];
    return found_;
  }

 private:
  void begin_to_ask() {
    found_ = false;
    if (!asks_) asks_.emplace();
  }
  int place_of_given(size_t result) const {
    return static_cast<int>(made_places_ - results_.size() + result);
  }
  void copy(const Tensor& from, int from_place, const Tensor& to, int to_place) {
    if (asks_) return static_cast<void>(bind_copy(from, to));
    if (record_ == nullptr) return copy_elements(from, to);
    void* const memory[] = {const_cast<void*>(from.readable_data_ptr()), to.data_ptr()};
    for (BoundLaunch& launch : bind_copy(from, to).launches) {
      launch.run(memory, {});
      for (BoundLaunch::Pointer& pointer : launch.pointers)
        pointer.buffer = pointer.buffer == 0 ? from_place : to_place;
      record_->steps.push_back({BoundRun::Step::Kind::Launch, record_->launches.size()});
      record_->launches.push_back(std::move(launch));
    }
  }

  /// From here on steps that make tables are not recorded, if there is room for them.
  void reserve_tables() {
    size_t bytes = 0;
    for (size_t v = 0; v < values_.size(); ++v) {
      if (!executable_.tables.values[v]) continue;
      size_t of_value = size_of(executable_.plan.values[v].dtype);
      for (const int64_t extent : evaluate(executable_.plan.values[v].shape))
        of_value *= static_cast<size_t>(extent);
      bytes += of_value;
    }
    record_->of_tables = KeptBytes(bytes);
    keeps_tables_ = static_cast<bool>(record_->of_tables);
  }
  bool is_of_tables(size_t step) const { return keeps_tables_ && executable_.tables.steps[step]; }
  void keep_tables(size_t step) {
    for (const int v : lower::written_by(executable_.plan.steps[step])) {
      const Tensor& value = values_[static_cast<size_t>(v)];
      int& place = places_[static_cast<size_t>(v)];
      if (executable_.tables.values[static_cast<size_t>(v)] && place < 0)
        place = note({.info = value.info(), .table = value});
    }
  }

  void run_steps() {
    const lower::Plan& plan = executable_.plan;
    for (size_t i = 0; i < plan.steps.size(); ++i) {
      BoundRun* const record = record_;
      if (is_of_tables(i)) record_ = nullptr;
      try {
        step(i);
      } catch (const KernelMissing&) {
        begin_to_ask();
      }
      if (is_of_tables(i)) {
        record_ = record;
        keep_tables(i);
      }
      for (size_t v = 0; v < values_.size(); ++v)
        if (plan.values[v].last_use == static_cast<int>(i) && plan.values[v].parameter < 0) drop(v);
    }
  }

  void step(size_t i) {
    const lower::Step& step = executable_.plan.steps[i];
    if (const auto* kernel = std::get_if<KernelStep>(&step))
      launch(*kernel, *executable_.launches[i]);
    else if (const auto* contract = std::get_if<ContractStep>(&step))
      this->contract(*contract, *executable_.contractions[i]);
    else if (const auto* scan = std::get_if<ScanStep>(&step))
      this->scan(*scan, *executable_.bodies[i]);
    else
      alias(std::get<AliasStep>(step));
  }

  /// The place of result `i`. One that is kept in a given result of another shape is a window of
  /// it.
  int place_of_result(size_t i) {
    const Tensor& value = values_[static_cast<size_t>(executable_.plan.results[i])];
    const int place = places_[static_cast<size_t>(executable_.plan.results[i])];
    const auto first = static_cast<int>(made_places_ - results_.size());
    if (results_[i].defined() || place < first || static_cast<size_t>(place) >= made_places_)
      return place;
    const Tensor& given = results_[static_cast<size_t>(place - first)];
    return value.sizes() == given.sizes() ? place
                                          : note({.info = value.info(), .window_of = place});
  }

  void not_bound() {
    if (record_ == nullptr) return;
    *record_ = BoundRun();
    record_->possible = false;
    record_ = nullptr;
  }

  /// Lets kernels write straight to the given results, where that cannot disturb what is read.
  void place_results(std::span<const Tensor> parameters) {
    const lower::Plan& plan = executable_.plan;
    for (size_t i = 0; i < results_.size(); ++i) {
      if (!results_[i].defined()) continue;
      const int holder = reshaped_from(plan.results[i]);
      if (holder < 0) {
        if (results_[i].is_contiguous() && is_safe_output(plan, parameters, i, results_[i]))
          copied_results_.push_back(i);
        continue;
      }
      const auto v = static_cast<size_t>(holder);
      if (plan.values[v].parameter >= 0 || values_[v].defined()) continue;
      if (!is_safe_output(plan, parameters, i, results_[i])) continue;
      if (holder == plan.results[i]) {
        values_[v] = results_[i];
      } else {
        if (!results_[i].is_contiguous()) continue;
        const Ints sizes = evaluate(plan.values[v].shape);
        values_[v] = results_[i].alias(sizes, contiguous_strides(sizes), results_[i]->offset);
      }
      places_[v] = static_cast<int>(parameters.size() + i);
    }
  }

  /// The value of which `v` is the same elements in row-major order under another shape: itself, or
  /// through reshapes. -1 for other windows.
  int reshaped_from(int v) const {
    const lower::Plan& plan = executable_.plan;
    while (plan.values[static_cast<size_t>(v)].alias_of >= 0) {
      const auto makes = [&](const lower::Step& step) {
        const auto* alias = std::get_if<AliasStep>(&step);
        return alias != nullptr && alias->result == v;
      };
      const auto step = std::find_if(plan.steps.begin(), plan.steps.end(), makes);
      if (step == plan.steps.end() || !std::get<AliasStep>(*step).reshape) return -1;
      v = std::get<AliasStep>(*step).value;
    }
    return v;
  }

  /// Copies values that are parameters, or windows of them, where a result is to be written there.
  void keep_from_results() {
    const lower::Plan& plan = executable_.plan;
    for (size_t i = 0; i < results_.size(); ++i) {
      Tensor& value = values_[static_cast<size_t>(plan.results[i])];
      if (!results_[i].defined() || is_same_window(value, results_[i])) continue;
      const bool is_written = std::any_of(results_.begin(), results_.end(), [&](const Tensor& r) {
        return r.defined() && r->storage == value->storage;
      });
      if (!is_written) continue;
      Tensor copy = Tensor::empty(value.sizes(), value.dtype());
      copy_elements(value, copy);
      value = std::move(copy);
      not_bound();
    }
  }

  void drop(size_t v) {
    values_[v] = Tensor();
    const auto place = static_cast<size_t>(places_[v]);
    if (record_ != nullptr && places_[v] >= 0 && place >= made_places_)
      record_->steps.push_back({BoundRun::Step::Kind::Drop, place - made_places_});
  }

  /// Notes what was made; its place.
  int note(BoundRun::Made made) {
    if (record_ == nullptr) return -1;
    record_->steps.push_back({BoundRun::Step::Kind::Make, record_->made.size()});
    record_->made.push_back(std::move(made));
    return static_cast<int>(made_places_ + record_->made.size() - 1);
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
      places_[static_cast<size_t>(v)] = note({.info = value.info()});
    }
    return value;
  }

  /// Its memory. Steps write no parameter but as a result, and no window.
  void* memory_of(int v) {
    const Tensor& value = ensure(v);
    if (asks_) return nullptr;
    const PlannedValue& planned = executable_.plan.values[static_cast<size_t>(v)];
    const bool reads = planned.parameter >= 0 || planned.alias_of >= 0;
    return reads ? const_cast<void*>(value.readable_data_ptr()) : value.data_ptr();
  }

  void launch(const KernelStep& step, const LaunchTemplate& launch_template) {
    const lower::KernelTemplate& kernel = *step.kernel;
    SmallVector<const int64_t*, 8> strides;
    SmallVector<void*, 8> memory;
    SmallVector<int, 8> places;
    for (const int v : kernel.buffer_values) {
      strides.push_back(ensure(v).strides().data());
      memory.push_back(memory_of(v));
      places.push_back(places_[static_cast<size_t>(v)]);
    }
    const bool is_copy = step.is_copy && ensure(kernel.buffer_values[0]).strides() ==
                                             ensure(kernel.buffer_values[1]).strides();
    BoundLaunches bound = launch_template.bind({strides.data(), strides.size()}, bindings_);
    if (asks_) return;
    Tensor scratch;
    if (bound.scratch_bytes > 0) {
      scratch = Tensor::empty({static_cast<int64_t>(bound.scratch_bytes)}, DType::UInt8);
      memory.push_back(scratch.data_ptr());
      places.push_back(note({.info = scratch.info()}));
    }
    for (BoundLaunch& launch : bound.launches) {
      launch.is_copy = is_copy;
      launch.run(memory.data(), numbers_);
      if (record_ == nullptr) continue;
      for (BoundLaunch::Pointer& pointer : launch.pointers)
        pointer.buffer = places[static_cast<size_t>(pointer.buffer)];
      record_->steps.push_back({BoundRun::Step::Kind::Launch, record_->launches.size()});
      record_->launches.push_back(std::move(launch));
    }
    if (scratch.defined() && record_ != nullptr)
      record_->steps.push_back({BoundRun::Step::Kind::Drop, record_->made.size() - 1});
  }

  void contract(const ContractStep& step, const ContractionTemplate& contraction) {
    SmallVector<const int64_t*, 6> epilogue;
    SmallVector<void*, 8> memory(3);
    SmallVector<int, 8> places(3);
    if (step.epilogue != nullptr) {
      for (size_t b = 0; b < step.epilogue->buffers.size(); ++b) {
        // The product is never in memory.
        if (static_cast<int>(b) == step.product_buffer) {
          epilogue.push_back(nullptr);
          memory.push_back(nullptr);
          places.push_back(-1);
          continue;
        }
        const int v = step.epilogue->buffer_values[b];
        epilogue.push_back(ensure(v).strides().data());
        memory.push_back(memory_of(v));
        places.push_back(places_[static_cast<size_t>(v)]);
      }
    }
    const std::array<int, 3> values = {step.a.value, step.b.value, step.result};
    std::array<const int64_t*, 3> strides{};
    for (size_t i = 0; i < values.size(); ++i) {
      strides[i] = ensure(values[i]).strides().data();
      memory[i] = memory_of(values[i]);
      places[i] = places_[static_cast<size_t>(values[i])];
    }
    BoundContraction bound = contraction.bind(strides[0], strides[1], strides[2],
                                              {epilogue.data(), epilogue.size()}, bindings_);
    if (CompileLater::is_on()) bound.load();
    if (asks_) return;
    bound.run(memory.data(), numbers_);
    if (record_ == nullptr) return;
    const auto to_place = [&](BoundContraction::Place& place) {
      place.buffer = places[static_cast<size_t>(place.buffer)];
    };
    to_place(bound.a);
    to_place(bound.b);
    to_place(bound.out);
    for (BoundContraction::Place& operand : bound.operands) to_place(operand);
    record_->steps.push_back({BoundRun::Step::Kind::Contract, record_->contractions.size()});
    record_->contractions.push_back(std::move(bound));
  }

  void scan(const ScanStep& step, const Executable& body) {
    not_bound();
    SmallVector<Tensor, 8> operands;
    SmallVector<Tensor, 4> results;
    for (const int v : step.operands) operands.push_back(ensure(v));
    for (const int v : step.results) results.push_back(ensure(v));
    const std::span<const Tensor> read{operands.data(), operands.size()};
    const std::span<const Tensor> written{results.data(), results.size()};
    if (!asks_) {
      // The scan's tasks take memory as it is.
      for (const Tensor& operand : operands) static_cast<void>(operand.readable_data_ptr());
      for (const Tensor& result : results) static_cast<void>(result.data_ptr());
      try {
        return run_block_scan(step.form, step.by_rows, body, read, written);
      } catch (const KernelMissing&) {
        begin_to_ask();
      }
    }
    if (!has_kernels_of_scan(step.form, step.by_rows, body, read, written)) throw KernelMissing();
  }

  void call_host(const HostProgram& host) {
    not_bound();
    SmallVector<Tensor, 4> inputs;
    SmallVector<Tensor, 4> outputs;
    for (size_t v = 0; v < values_.size(); ++v)
      if (executable_.plan.values[v].parameter >= 0) inputs.push_back(values_[v]);
    for (const int v : executable_.plan.results) outputs.push_back(ensure(v));
    host.run({inputs.data(), inputs.size()}, numbers_, bindings_.integers,
             {outputs.data(), outputs.size()});
  }

  void alias(const AliasStep& step) {
    const Tensor& value = ensure(step.value);
    const Ints sizes = evaluate(executable_.plan.values[static_cast<size_t>(step.result)].shape);
    Tensor& result = values_[static_cast<size_t>(step.result)];
    if (step.reshape) {
      if (const std::optional<Ints> strides = ops::view_strides(value.info(), sizes)) {
        result = value.alias(sizes, *strides, value->offset);
      } else {
        return copy_to(step, value, sizes);
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

  /// A reshape that no strides can be: its result has memory of its own.
  void copy_to(const AliasStep& step, const Tensor& value, const Ints& sizes) {
    Tensor& result = values_[static_cast<size_t>(step.result)];
    int& place = places_[static_cast<size_t>(step.result)];
    for (const size_t i : copied_results_) {
      if (result.defined() || executable_.plan.results[i] != step.result) continue;
      result = results_[i];
      place = place_of_given(i);
    }
    if (!result.defined()) {
      result = Tensor::empty(sizes, value.dtype());
      place = note({.info = result.info()});
    }
    const Tensor target =
        result.alias(value.sizes(), contiguous_strides(value.sizes()), result->offset);
    copy(value, places_[static_cast<size_t>(step.value)], target, place);
  }

  void note_window(const AliasStep& step, const Tensor& value, const Tensor& result) {
    places_[static_cast<size_t>(step.result)] =
        note({.info = result.info(),
              .window_of = places_[static_cast<size_t>(step.value)],
              .offset = result->offset - value->offset});
  }

  const Executable& executable_;
  std::span<const Scalar> numbers_;
  std::span<Tensor> results_;
  SmallVector<const int64_t*, 6> sizes_;
  ir::DimBindings bindings_;
  SmallVector<Tensor, 6> values_;
  BoundRun* record_;
  SmallVector<int, 6> places_;  // per value: its place in the record, -1 if it has none
  size_t made_places_;          // where places of what is made begin
  bool keeps_tables_ = false;
  SmallVector<size_t, 2> copied_results_;  // given ones that reshapes may copy to
  /// Set: kernels are asked for, and nothing is made or run any more.
  std::optional<WithoutMemory> asks_;
  bool found_ = true;  // no kernel was missing
};

/// True if kernels may write every given result to its place.
bool are_safe(const lower::Plan& plan, std::span<const Tensor> parameters,
              std::span<const Tensor> results) {
  for (size_t i = 0; i < results.size(); ++i)
    if (results[i].defined() && !is_safe_output(plan, parameters, i, results[i])) return false;
  return true;
}

/// All that decides a run with safe results but memory and numbers.
SmallVector<int64_t, 64> run_key(const Executable& executable, std::span<const Tensor> parameters,
                                 std::span<const int64_t> integers,
                                 std::span<const Tensor> results) {
  SmallVector<int64_t, 64> key;
  // Not its address, where another may be by now.
  key.push_back(static_cast<int64_t>(executable.hash.low));
  key.push_back(static_cast<int64_t>(executable.hash.high));
  for (const Tensor& parameter : parameters) {
    key.append(parameter.sizes().begin(), parameter.sizes().end());
    key.append(parameter.strides().begin(), parameter.strides().end());
  }
  // Calls of other operations may share the program and pass more integers than it reads.
  key.push_back(static_cast<int64_t>(integers.size()));
  key.append(integers.begin(), integers.end());
  for (const Tensor& result : results) {
    key.push_back(result.defined() ? 1 : 0);
    if (result.defined()) key.append(result.strides().begin(), result.strides().end());
  }
  return key;
}

}  // namespace

std::shared_ptr<const Executable> make_executable(ir::Program program) {
  constexpr size_t kMaxExecutables = 4096;
  static auto* const cache =
      new BoundedCache<Hash128, std::shared_ptr<const Executable>>(kMaxExecutables);
  const Hash128 hash = program.hash();
  if (auto known = cache->find(hash)) return *std::move(known);
  if (bool_setting("FLAMBEAU_CHECK")) ir::verify(program);
  return cache->add(hash, std::make_shared<const Executable>(std::move(program)));
}

std::shared_ptr<const Executable> make_executable(std::shared_ptr<const HostProgram> program) {
  return std::make_shared<const Executable>(std::move(program));
}

const ir::Program& program_of(const Executable& executable) { return executable.program; }
const HostProgram* host_program_of(const Executable& executable) { return executable.host.get(); }
const Hash128& hash_of(const Executable& executable) { return executable.hash; }
std::shared_ptr<const Executable> share(const Executable& executable) {
  return executable.shared_from_this();
}
const lower::Plan& plan_of(const Executable& executable) { return executable.plan; }

bool is_alias(const Executable& executable, size_t result) {
  const PlannedValue& value =
      executable.plan.values[static_cast<size_t>(executable.plan.results[result])];
  return value.parameter >= 0 || value.alias_of >= 0;
}

namespace {

thread_local constinit RunSink* sink_of_thread = nullptr;

/// Runs a plan as the geometry decides, or in the general way.
void run_plan(std::shared_ptr<const BoundRun>& bound, const Executable& executable,
              std::span<const Tensor> parameters, std::span<const Scalar> numbers,
              std::span<const int64_t> integers, std::span<Tensor> results) {
  if (!are_safe(executable.plan, parameters, results))
    return Run(executable, parameters, numbers, integers, results, nullptr).run();
  if (bound == nullptr) {
    constexpr size_t kRecentRuns = 512;
    static thread_local RecentCache<BoundRun, kRecentRuns> recent;
    const auto key = run_key(executable, parameters, integers, results);
    bound = recent.find({key.data(), key.size()}).value;
    if (bound == nullptr) {
      const auto record = std::make_shared<BoundRun>();
      record->owner = executable.shared_from_this();
      Run(executable, parameters, numbers, integers, results, record.get()).run();
      // Found anew: runs of the body of a scan use the table, too.
      recent.find({key.data(), key.size()}).value = bound = record;
      return;
    }
  }
  if (!bound->possible)
    return Run(executable, parameters, numbers, integers, results, nullptr).run();
  bound->run(parameters, numbers, results);
}

/// The same of a program with complex values, on the same memory seen as reals.
void run_complex(std::shared_ptr<const BoundRun>& bound, const Executable& executable,
                 std::span<const Tensor> parameters, std::span<const Scalar> numbers,
                 std::span<const int64_t> integers, std::span<Tensor> results) {
  const auto as_reals = [](std::span<const Tensor> tensors) {
    SmallVector<Tensor, 4> reals;
    for (const Tensor& tensor : tensors)
      reals.push_back(tensor.defined() && is_complex(tensor.dtype()) ? alias_as_real(tensor)
                                                                     : tensor);
    return reals;
  };
  const SmallVector<Tensor, 4> reals = as_reals(parameters);
  SmallVector<Tensor, 4> made = as_reals(results);
  run_plan(bound, executable, {reals.data(), reals.size()}, numbers, integers,
           {made.data(), made.size()});
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].defined()) continue;
    const ir::Node& node =
        executable.program.nodes[static_cast<size_t>(executable.program.results[i])];
    // A result that is a parameter is that tensor itself.
    if (!is_complex(node.type.dtype))
      results[i] = made[i];
    else if (node.primitive == ir::parameter_row())
      results[i] = parameters[static_cast<size_t>(node.attributes.index)];
    else
      results[i] = alias_as_complex(made[i]);
  }
}

}  // namespace

Results run(const Executable& executable, std::span<const Tensor> parameters,
            std::span<const Scalar> numbers, std::span<const int64_t> integers,
            std::span<const Tensor> outputs) {
  Results results(outputs.begin(), outputs.end());
  results.resize(executable.plan.results.size());
  std::shared_ptr<const BoundRun> bound;
  run_into(bound, executable, parameters, numbers, integers, {results.data(), results.size()});
  return results;
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
    shape = find_shape(executable.plan, parameters, integers);
  }
  slot.value = std::make_shared<const RunShape>(std::move(shape));
  return slot.value;
}

bool runs_without_memory(std::span<const Tensor> parameters, std::span<const Tensor> results) {
  if (WithoutMemory::current()) return true;
  for (const Tensor& parameter : parameters)
    if (parameter.is_meta()) return true;
  for (const Tensor& result : results)
    if (result.defined() && result.is_meta()) return true;
  return false;
}

Results run_in_blocks(const Executable& executable, const RunShape& shape,
                      std::span<const Tensor> blocks, std::span<const Tensor> parameters,
                      std::span<const Scalar> numbers, std::span<const int64_t> integers,
                      std::span<const Tensor> outputs) {
  Results results(outputs.begin(), outputs.end());
  results.resize(executable.plan.results.size());
  if (executable.is_complex) {  // every result has a block
    for (size_t i = 0; i < blocks.size(); ++i)
      if (!results[i].defined()) results[i] = blocks[i];
    std::shared_ptr<const BoundRun> bound;
    run_complex(bound, executable, parameters, numbers, integers, {results.data(), results.size()});
    return results;
  }
  Run run(executable, parameters, numbers, integers, {results.data(), results.size()}, nullptr);
  run.place(shape, blocks);
  run.run();
  return results;
}

Results ask_for_kernels(const Executable& executable, std::span<const Tensor> parameters,
                        std::span<const int64_t> integers, std::span<const Tensor> outputs,
                        bool& found) {
  Results results(outputs.begin(), outputs.end());
  results.resize(executable.plan.results.size());
  found &=
      Run(executable, parameters, {}, integers, {results.data(), results.size()}, nullptr).ask();
  return results;
}

namespace {

/// What a run gives, without the values.
void run_shapes(const Executable& executable, std::span<const Tensor> parameters,
                std::span<const int64_t> integers, std::span<Tensor> results) {
  for (const Tensor& result : results)
    if (result.defined() && !result.is_meta())  // nothing to write there
      for (const Tensor& parameter : parameters) static_cast<void>(parameter.readable_data_ptr());
  const WithoutMemory shapes_alone;
  const std::shared_ptr<const RunShape> shape = shape_of_run(executable, parameters, integers);
  SmallVector<Tensor, 4> blocks;
  blocks.resize(shape->blocks.size());
  Results placed = place_results(*shape, parameters, results, {blocks.data(), blocks.size()});
  std::move(placed.begin(), placed.end(), results.begin());
}

}  // namespace

thread_local constinit std::string_view RunLabel::innermost;

RunSink* run_sink() { return sink_of_thread; }
void set_run_sink(RunSink* sink) { sink_of_thread = sink; }

void run_into(std::shared_ptr<const BoundRun>& bound, const Executable& executable,
              std::span<const Tensor> parameters, std::span<const Scalar> numbers,
              std::span<const int64_t> integers, std::span<Tensor> results) {
  if (runs_without_memory(parameters, results)) [[unlikely]]
    return run_shapes(executable, parameters, integers, results);
  if (sink_of_thread != nullptr) [[unlikely]] {
    Results taken;
    if (sink_of_thread->take(executable, parameters, numbers, integers, results, taken)) {
      std::move(taken.begin(), taken.end(), results.begin());
      return;
    }
  }
  if (executable.is_complex) [[unlikely]]
    return run_complex(bound, executable, parameters, numbers, integers, results);
  run_plan(bound, executable, parameters, numbers, integers, results);
}

}  // namespace flambeau
