#include "eager/plan_run.h"

#include <array>

#include "base/error.h"
#include "eager/ask_kernels.h"
#include "eager/block_scan.h"
#include "eager/copy.h"
#include "eager/executable_parts.h"
#include "eager/step_times.h"
#include "lower/overwrite.h"
#include "runtime/compiler.h"

namespace flambeau {

using lower::AliasStep;
using lower::AxisIndex;
using lower::ContractStep;
using lower::KernelStep;
using lower::PlannedValue;
using lower::ScanStep;

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

namespace {

bool is_same_window(const Tensor& a, const Tensor& b) {
  return a.is_same(b) ||
         (a->storage == b->storage && a->offset == b->offset && a.dtype() == b.dtype() &&
          a.sizes() == b.sizes() && a.strides() == b.strides());
}

/// One run: the memory of each planned value. Notes what it does in `record`, if given.
class Run {
 public:
  /// `blocks`, if given, are the memory of those of `shape`; undefined ones have none.
  Run(const PlanRun& given, BoundRun* record, const RunShape* shape = nullptr,
      std::span<const Tensor> blocks = {})
      : executable_(given.executable),
        numbers_(given.numbers),
        integers_(given.integers),
        results_(given.results),
        record_(record),
        made_places_(given.parameters.size() + given.results.size()) {
    const lower::Plan& plan = executable_.plan;
    const std::span<const Tensor> parameters = given.parameters;
    values_.resize(plan.values.size());
    places_.resize(plan.values.size(), -1);
    for (const Tensor& parameter : parameters) sizes_.push_back(parameter.sizes().data());
    bindings_ = {sizes_.data(), given.integers.data()};
    for (size_t v = 0; v < plan.values.size(); ++v)
      if (const int p = plan.values[v].parameter; p >= 0) {
        values_[v] = parameters[static_cast<size_t>(p)];
        places_[v] = p;
      }
    // Before results: what a block was made for reads its memory, whatever else is a window of it.
    for (size_t i = 0; i < blocks.size(); ++i)
      values_[static_cast<size_t>(shape->blocks[i].value)] = blocks[i];
    place_results(parameters);
    if (record_ != nullptr && executable_.tables.any()) reserve_tables();
  }

  /// Where a kernel is missing, asks for those of the steps behind it before it says so.
  void run() {
    const lower::Plan& plan = executable_.plan;
    times_ = StepTimes::take(&executable_);
    if (executable_.host != nullptr) call_host(*executable_.host);
    run_steps();
    for (size_t i = 0; i < plan.results.size(); ++i) {
      const auto v = static_cast<size_t>(plan.results[i]);
      if (record_ != nullptr) record_->results.push_back(place_of_result(i));
      if (!results_[i].defined())
        results_[i] = values_[v];
      else
        copy_result(i);
    }
    if (executable_.host != nullptr || copies_) end_step(plan.steps.size());
    if (!found_) throw KernelMissing();
  }

  /// Asks for the kernels that run() needs; false if one is missing.
  bool ask() {
    asks_.emplace();
    run_steps();
    for (size_t i = 0; i < results_.size(); ++i)
      if (results_[i].defined()) copy_result(i);
    return found_;
  }
  /// After it: the results that are not given, without memory.
  void give_results() {
    for (size_t i = 0; i < results_.size(); ++i)
      if (!results_[i].defined())
        results_[i] = values_[static_cast<size_t>(executable_.plan.results[i])];
  }

 private:
  /// Result `i`, which is given, gets its value unless that was computed there.
  void copy_result(size_t i) {
    const auto v = static_cast<size_t>(executable_.plan.results[i]);
    if (is_same_window(values_[v], results_[i])) return;
    copies_ = true;
    try {
      copy(values_[v], places_[v], results_[i], place_of_given(i));
    } catch (const KernelMissing&) {
      begin_to_ask();
    }
  }
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
      const bool may_overwrite =
          i + 1 == plan.steps.size() && std::holds_alternative<KernelStep>(plan.steps[i]);
      if (may_overwrite) keep_from_results();
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
      end_step(i);
      if (may_overwrite) return;
    }
    keep_from_results();
  }

  /// What was done since the last one ended is of step `i`.
  void end_step(size_t i) {
    if (times_ != nullptr) times_->add(i);
    if (record_ == nullptr) return;
    for (; noted_ < record_->steps.size(); ++noted_) record_->steps[noted_].planned = i;
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
        if (place_window(parameters, i)) continue;
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

  /// Has what result `i` is a window of in that result's memory, if that is all that the window is
  /// of, as where axes were exchanged.
  bool place_window(std::span<const Tensor> parameters, size_t i) {
    const Tensor& result = results_[i];
    const RunShape shape = find_shape(executable_.plan, parameters, integers_);
    const RunShape::Place& place = shape.results[i];
    if (!is_whole(shape, place) || result.sizes() != place.info.sizes ||
        result.strides() != place.info.strides ||
        !is_safe_output(executable_.plan, parameters, i, result))
      return false;
    const RunShape::Block& block = shape.blocks[static_cast<size_t>(place.source)];
    Tensor& value = values_[static_cast<size_t>(block.value)];
    if (value.defined()) return false;
    value = result.alias(block.info.sizes, block.info.strides, result->offset);
    places_[static_cast<size_t>(block.value)] = static_cast<int>(parameters.size() + i);
    return true;
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

  /// Has memory for the results that are given, and copies values that are parameters, or windows
  /// of them, where one is to be written there. Before a last kernel, which may write in place:
  /// nothing that can fail comes behind it.
  void keep_from_results() {
    const lower::Plan& plan = executable_.plan;
    for (size_t i = 0; i < results_.size(); ++i) {
      Tensor& value = values_[static_cast<size_t>(plan.results[i])];
      if (!results_[i].defined()) continue;
      if (!asks_) static_cast<void>(results_[i].data_ptr());  // it may have no memory yet
      if (!value.defined() || is_same_window(value, results_[i])) continue;
      const bool is_written = std::any_of(results_.begin(), results_.end(), [&](const Tensor& r) {
        return r.defined() && r->storage == value->storage;
      });
      if (!is_written) continue;
      not_bound();
      Tensor kept = Tensor::empty(value.sizes(), value.dtype());
      try {
        copy(value, -1, kept, -1);
      } catch (const KernelMissing&) {
        begin_to_ask();
      }
      value = std::move(kept);
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
        if (record_ != nullptr && is_one_run(step.form, step.by_rows, body, read, written))
          return run_inside(step, body, read, {results.data(), results.size()});
        not_bound();
        return run_block_scan(step.form, step.by_rows, body, read, written);
      } catch (const KernelMissing&) {
        begin_to_ask();
      }
    }
    if (!has_kernels_of_scan(step.form, step.by_rows, body, read, written)) throw KernelMissing();
  }

  /// A scan that is one run of its body, whose steps are noted as if they were the program's.
  void run_inside(const ScanStep& step, const Executable& body, std::span<const Tensor> operands,
                  std::span<Tensor> results) {
    constexpr std::array<int64_t, 2> kFirst{};
    BoundRun inside;
    flambeau::run_steps({body, operands, {}, kFirst, results}, &inside);
    if (!inside.possible) return not_bound();
    SmallVector<int, 12> given;
    for (const int v : step.operands) given.push_back(places_[static_cast<size_t>(v)]);
    for (const int v : step.results) given.push_back(places_[static_cast<size_t>(v)]);
    record_->append(std::move(inside), {given.data(), given.size()}, made_places_);
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
    int64_t offset = value->offset;
    const Ints strides = strides_of_window(step, sizes, value.strides(), bindings_, offset);
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
  std::span<const int64_t> integers_;
  std::span<Tensor> results_;
  SmallVector<const int64_t*, 6> sizes_;
  ir::DimBindings bindings_;
  SmallVector<Tensor, 6> values_;
  BoundRun* record_;
  SmallVector<int, 6> places_;  // per value: its place in the record, -1 if it has none
  size_t made_places_;          // where places of what is made begin
  size_t noted_ = 0;            // steps of the record whose step of the plan is noted
  bool keeps_tables_ = false;
  bool copies_ = false;                    // some result is copied to its place
  StepTimes* times_ = nullptr;             // null: nobody asks
  SmallVector<size_t, 2> copied_results_;  // given ones that reshapes may copy to
  /// Set: kernels are asked for, and nothing is made or run any more.
  std::optional<WithoutMemory> asks_;
  bool found_ = true;  // no kernel was missing
};

}  // namespace

void run_steps(const PlanRun& given, BoundRun* record) {
  // What is written in place is lost to whoever runs it again once the kernels are there.
  const auto is_read = [&](const Tensor& result) {
    return result.defined() &&
           std::any_of(given.parameters.begin(), given.parameters.end(),
                       [&](const Tensor& p) { return p->storage == result->storage; });
  };
  if (CompileLater::is_on() && std::any_of(given.results.begin(), given.results.end(), is_read) &&
      !Run(given, nullptr).ask())
    throw KernelMissing();
  Run(given, record).run();
}

void run_steps_in_blocks(const PlanRun& given, const RunShape& shape,
                         std::span<const Tensor> blocks) {
  Run(given, nullptr, &shape, blocks).run();
}

bool ask_for_steps(const PlanRun& given) {
  Run run(given, nullptr);
  const bool found = run.ask();
  run.give_results();
  return found;
}

}  // namespace flambeau
