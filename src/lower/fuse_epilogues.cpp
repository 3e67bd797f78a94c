#include "lower/fuse_epilogues.h"

#include <algorithm>
#include <optional>

#include "lower/overwrite.h"

namespace flambeau::lower {
namespace {

/// The one kernel step that reads `value`, which step `producer` makes; nullopt if anything else
/// does, or several do.
std::optional<size_t> only_reader(const Plan& plan, int value, size_t producer) {
  if (std::find(plan.results.begin(), plan.results.end(), value) != plan.results.end())
    return std::nullopt;
  const auto reads = [&](const auto& values) {
    return std::find(values.begin(), values.end(), value) != values.end();
  };
  std::optional<size_t> reader;
  for (size_t i = producer + 1; i < plan.steps.size(); ++i) {
    if (const auto* kernel = std::get_if<KernelStep>(&plan.steps[i])) {
      if (!reads(kernel->kernel->buffer_values)) continue;
      if (reader) return std::nullopt;
      reader = i;
    } else if (const auto* contract = std::get_if<ContractStep>(&plan.steps[i])) {
      if (contract->a.value == value || contract->b.value == value) return std::nullopt;
    } else if (const auto* scan = std::get_if<ScanStep>(&plan.steps[i])) {
      if (reads(scan->operands)) return std::nullopt;
    } else if (std::get<AliasStep>(plan.steps[i]).value == value) {
      return std::nullopt;
    }
  }
  return reader;
}

/// The product's buffer if `kernel` can be the epilogue of `contract`, step number `step`; else -1.
int epilogue_buffer(const Plan& plan, std::span<const size_t> producer,
                    const KernelTemplate& kernel, const ContractStep& contract, size_t step) {
  const PlannedValue& product = plan.values[static_cast<size_t>(contract.result)];
  if (product.dtype != DType::Float32 && product.dtype != DType::Float64) return -1;
  if (kernel.has_reduced() || !(extents_of(product.shape) == kernel.kept)) return -1;
  int buffer = -1;
  int stores = 0;
  for (size_t b = 0; b < kernel.buffers.size(); ++b) {
    const int value = kernel.buffer_values[b];
    if (value == contract.result) {
      buffer = static_cast<int>(b);
    } else if (kernel.buffers[b].is_output) {
      ++stores;
    } else if (plan.values[static_cast<size_t>(value)].parameter < 0 &&
               producer[static_cast<size_t>(value)] >= step) {
      return -1;
    }
  }
  for (const Access& access : kernel.accesses) {
    if (access.buffer < 0) return -1;
    for (const AxisIndex& axis : access.axes)
      if (!axis.dynamic.empty()) return -1;
    const bool identity = access.axes == loops_of(product.shape);
    if ((access.buffer == buffer || access.is_store) && !identity) return -1;
  }
  for (const Section& section : kernel.sections)
    for (const ir::Statement& s : section.body)
      if (s.mask >= 0) return -1;
  return stores == 1 ? buffer : -1;
}

}  // namespace

void fuse_epilogues(Plan& plan, std::span<const size_t> producer) {
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    auto* contract = std::get_if<ContractStep>(&plan.steps[i]);
    if (contract == nullptr) continue;
    const std::optional<size_t> reader = only_reader(plan, contract->result, i);
    if (!reader) continue;
    const KernelStep kernel = std::get<KernelStep>(plan.steps[*reader]);
    const int buffer = epilogue_buffer(plan, producer, *kernel.kernel, *contract, i);
    if (buffer < 0) continue;
    contract->product_buffer = buffer;
    contract->epilogue = kernel.kernel;
    for (size_t b = 0; b < kernel.kernel->buffers.size(); ++b)
      if (kernel.kernel->buffers[b].is_output) contract->result = kernel.kernel->buffer_values[b];
    plan.steps.erase(plan.steps.begin() + static_cast<ptrdiff_t>(*reader));
  }
}

}  // namespace flambeau::lower
