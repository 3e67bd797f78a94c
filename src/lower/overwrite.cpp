#include "lower/overwrite.h"

#include <algorithm>

namespace flambeau::lower {

SmallVector<AxisIndex, 5> loops_of(const ir::Shape& shape) {
  SmallVector<AxisIndex, 5> axes;
  int next = 0;
  for (const Dim& extent : shape)
    axes.push_back(extent.is_one() ? AxisIndex{} : AxisIndex::loop(next++));
  return axes;
}

SmallVector<Dim, 5> extents_of(const ir::Shape& shape) {
  SmallVector<Dim, 5> extents;
  for (const Dim& extent : shape)
    if (!extent.is_one()) extents.push_back(extent);
  return extents;
}

bool is_whole_space(const KernelTemplate& kernel, const ir::Shape& shape) {
  SmallVector<Dim, 5> extents = kernel.kept;
  extents.append(kernel.reduced.begin(), kernel.reduced.end());
  return extents_of(shape) == extents;
}

namespace {

/// True if a kernel before the last step writes a part of what the last one does.
bool is_made_before_the_end(const Plan& plan) {
  const auto kernel_of = [](const Step& step) -> const KernelTemplate* {
    if (const auto* kernel = std::get_if<KernelStep>(&step)) return kernel->kernel.get();
    const auto* contract = std::get_if<ContractStep>(&step);
    return contract != nullptr ? contract->epilogue.get() : nullptr;
  };
  const KernelTemplate& last = *kernel_of(plan.steps.back());
  const auto writes = [](const KernelTemplate& kernel, int value) {
    return std::any_of(kernel.accesses.begin(), kernel.accesses.end(), [&](const Access& a) {
      return a.is_store && kernel.buffer_values[static_cast<size_t>(a.buffer)] == value;
    });
  };
  for (size_t i = 0; i + 1 < plan.steps.size(); ++i)
    if (const KernelTemplate* kernel = kernel_of(plan.steps[i]); kernel != nullptr)
      for (const int value : last.buffer_values)
        if (writes(last, value) && writes(*kernel, value)) return true;
  return false;
}

/// True if the kernel is done with a row's elements in its last pass, which is where it writes
/// rows: no value of an earlier pass is worth a place for the last one, which would be where the
/// row is written (codegen/share_row_values.h).
bool reads_rows_once(const KernelTemplate& kernel) {
  if (!kernel.has_reduced()) return true;
  if (kernel.sections.back().kind != Section::Kind::Full) return false;
  for (size_t i = 0; i + 1 < kernel.sections.size(); ++i) {
    const Section& section = kernel.sections[i];
    if (section.kind == Section::Kind::Kept) continue;
    if (section.kind != Section::Kind::Reduce) return false;
    for (const ir::Statement& s : section.body)
      if (s.kind == ir::StatementKind::Compute) return false;
  }
  return true;
}

/// Adds the parameter of which the last two steps make a copy and scatter into it.
void find_updated(const Plan& plan, std::vector<bool>& overwritable) {
  const auto* copy = std::get_if<KernelStep>(&plan.steps[plan.steps.size() - 2]);
  const auto* scatter = std::get_if<KernelStep>(&plan.steps.back());
  if (copy == nullptr || !copy->is_copy || scatter == nullptr || plan.results.size() != 1) return;
  const auto has = [](const KernelStep& step, int value) {
    const std::vector<int>& values = step.kernel->buffer_values;
    return std::find(values.begin(), values.end(), value) != values.end();
  };
  if (!has(*copy, plan.results[0])) return;
  for (const int v : copy->kernel->buffer_values) {
    const int parameter = plan.values[static_cast<size_t>(v)].parameter;
    if (parameter < 0) continue;
    // Windows of it are read there as well.
    bool read = false;
    for (size_t other = 0; other < plan.values.size(); ++other) {
      int holder = static_cast<int>(other);
      while (holder >= 0 && holder != v) holder = plan.values[static_cast<size_t>(holder)].alias_of;
      read |= holder == v && has(*scatter, static_cast<int>(other));
    }
    overwritable[static_cast<size_t>(parameter)] = !read;
  }
}

}  // namespace

std::vector<bool> find_overwritable(const Plan& plan, size_t parameter_count) {
  std::vector<bool> overwritable(parameter_count, false);
  if (plan.steps.empty()) return overwritable;
  const auto* step = std::get_if<KernelStep>(&plan.steps.back());
  if (step == nullptr) return overwritable;
  if (plan.steps.size() > 1) find_updated(plan, overwritable);
  if (is_made_before_the_end(plan)) return overwritable;
  const KernelTemplate& kernel = *step->kernel;
  const bool once = reads_rows_once(kernel);
  std::vector<bool> free(parameter_count, true);
  const auto forbid = [&](int value) {
    while (plan.values[static_cast<size_t>(value)].alias_of >= 0)
      value = plan.values[static_cast<size_t>(value)].alias_of;
    const int parameter = plan.values[static_cast<size_t>(value)].parameter;
    if (parameter >= 0) free[static_cast<size_t>(parameter)] = false;
  };
  for (const int result : plan.results) forbid(result);
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    const PlannedValue& value = plan.values[static_cast<size_t>(kernel.buffer_values[b])];
    bool identity = once && value.alias_of < 0 && is_whole_space(kernel, value.shape);
    for (const Access& access : kernel.accesses)
      identity &= access.buffer != static_cast<int>(b) || access.axes == loops_of(value.shape);
    if (!identity) forbid(kernel.buffer_values[b]);
  }
  for (size_t p = 0; p < free.size(); ++p) overwritable[p] = overwritable[p] || free[p];
  return overwritable;
}

bool may_take_place(const Plan& plan, size_t parameter, size_t result) {
  if (plan.steps.empty() || !plan.overwritable[parameter]) return false;
  const KernelTemplate& kernel = *std::get<KernelStep>(plan.steps.back()).kernel;
  const std::vector<int>& values = kernel.buffer_values;
  const auto written = std::find(values.begin(), values.end(), plan.results[result]);
  const bool is_made_here = std::any_of(
      kernel.accesses.begin(), kernel.accesses.end(),
      [&](const Access& a) { return a.is_store && a.buffer == written - values.begin(); });
  if (!is_made_here) return false;
  const auto read = std::find_if(values.begin(), values.end(), [&](int v) {
    return plan.values[static_cast<size_t>(v)].parameter == static_cast<int>(parameter);
  });
  if (read == values.end()) return true;
  // Buffers are in the order in which the kernel comes to them. What is written row by row, rather
  // than element by element, is written between two passes.
  return read < written &&
         is_whole_space(kernel, plan.values[static_cast<size_t>(plan.results[result])].shape);
}

}  // namespace flambeau::lower
