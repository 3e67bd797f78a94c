#include "eager/executable.h"

#include "base/bounded_cache.h"
#include "base/per_thread.h"
#include "base/recent_cache.h"
#include "base/settings.h"
#include "eager/ask_kernels.h"
#include "eager/bound_run.h"
#include "eager/executable_hash.h"
#include "eager/executable_parts.h"
#include "eager/host_program.h"
#include "eager/plan_run.h"
#include "eager/run_shape.h"
#include "ir/complex.h"

namespace flambeau {

using lower::ContractStep;
using lower::KernelStep;
using lower::PlannedValue;
using lower::ScanStep;

Executable::Executable(ir::Program p)
    : program(std::move(p)),
      hash(program.hash()),
      is_complex(ir::has_complex(program)),
      plan(lower::make_plan(is_complex ? ir::split_complex(program) : program)),
      tables(lower::find_tables(plan)) {
  for (const ir::Type& type : program.parameters)
    for (const ir::Dim& extent : type.shape)
      for_one_shape = for_one_shape || (extent.is_constant() && extent.constant() > 1);
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

Executable::Executable(std::shared_ptr<const HostProgram> called)
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

namespace {

/// How given results lie on the memory of parameters and of each other, where that decides what is
/// copied to its place. Empty where kernels may write each one there.
BoundRun::Overlaps overlaps_of(const lower::Plan& plan, std::span<const Tensor> parameters,
                               std::span<const Tensor> results) {
  BoundRun::Overlaps overlaps;
  bool safe = true;
  for (size_t i = 0; i < results.size(); ++i) {
    const Tensor& result = results[i];
    if (!result.defined()) continue;
    safe = safe && is_safe_output(plan, parameters, i, result);
    const auto add = [&](size_t number, const Tensor& other) {
      if (!other.defined() || !(other->storage == result->storage)) return false;
      overlaps.push_back(static_cast<int64_t>(i));
      overlaps.push_back(static_cast<int64_t>(number));
      overlaps.push_back(result->offset - other->offset);
      return true;
    };
    for (size_t p = 0; p < parameters.size(); ++p) add(p, parameters[p]);
    for (size_t k = 0; k < i; ++k) safe = !add(parameters.size() + k, results[k]) && safe;
  }
  if (safe) overlaps.clear();
  return overlaps;
}

/// All that decides a run but memory, numbers and overlaps.
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
bool is_for_one_shape(const Executable& executable) { return executable.for_one_shape; }
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
  const BoundRun::Overlaps overlaps = overlaps_of(executable.plan, parameters, results);
  if (bound == nullptr || bound->overlaps != overlaps) {
    constexpr size_t kRecentRuns = 512;
    static constinit thread_local PerThread<RecentCache<BoundRun, kRecentRuns>> recent;
    auto key = run_key(executable, parameters, integers, results);
    key.append(overlaps.begin(), overlaps.end());
    bound = recent->find({key.data(), key.size()}).value;
    if (bound == nullptr) {
      const auto record = std::make_shared<BoundRun>();
      record->owner = executable.shared_from_this();
      run_steps({executable, parameters, numbers, integers, results}, record.get());
      record->overlaps = overlaps;
      // Found anew: runs of the body of a scan use the table, too.
      recent->find({key.data(), key.size()}).value = bound = record;
      return;
    }
  }
  if (!bound->possible) return run_steps({executable, parameters, numbers, integers, results});
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
  static constinit thread_local PerThread<RecentCache<RunShape, kRecentShapes>> recent;
  const auto key = run_key(executable, parameters, integers, {});
  auto& slot = recent->find({key.data(), key.size()});
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
  run_steps_in_blocks({executable, parameters, numbers, integers, {results.data(), results.size()}},
                      shape, blocks);
  return results;
}

Results ask_for_kernels(const Executable& executable, std::span<const Tensor> parameters,
                        std::span<const int64_t> integers, std::span<const Tensor> outputs,
                        bool& found) {
  Results results(outputs.begin(), outputs.end());
  results.resize(executable.plan.results.size());
  found &= ask_for_steps({executable, parameters, {}, integers, {results.data(), results.size()}});
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
  place_results(*shape, parameters, results, {blocks.data(), blocks.size()});
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
  if (sink_of_thread != nullptr) [[unlikely]]
    if (sink_of_thread->take({executable, parameters, numbers, integers, results})) return;
  if (executable.is_complex) [[unlikely]]
    return run_complex(bound, executable, parameters, numbers, integers, results);
  run_plan(bound, executable, parameters, numbers, integers, results);
}

}  // namespace flambeau
