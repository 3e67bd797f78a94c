#include "lower/tables.h"

#include <algorithm>

#include "lower/template_builder.h"

namespace flambeau::lower {
namespace {

/// Core operations for an element from which it is better read than computed.
constexpr int kCostlyElement = 32;

bool is_costly(const KernelTemplate& kernel) {
  std::vector<DType> dtypes(static_cast<size_t>(kernel.value_count));
  int operations = 0;
  for (const Section& section : kernel.sections) {
    for (const ir::Statement& s : section.body) {
      if (s.result >= 0) dtypes[static_cast<size_t>(s.result)] = s.dtype;
      if (s.kind != ir::StatementKind::Compute) continue;
      SmallVector<DType, 4> of_arguments;
      for (const ValueId a : s.arguments) of_arguments.push_back(dtypes[static_cast<size_t>(a)]);
      operations += core_operations(*s.primitive, s.dtype, s.attributes,
                                    {of_arguments.data(), of_arguments.size()});
    }
    if (section.result >= 0) dtypes[static_cast<size_t>(section.result)] = section.dtype;
  }
  return operations >= kCostlyElement;
}

/// Whether a step that makes a table takes long for its elements.
bool is_costly(const Step& step) {
  const auto* kernel = std::get_if<KernelStep>(&step);
  return kernel == nullptr ? std::holds_alternative<ContractStep>(step)
                           : is_costly(*kernel->kernel);
}

/// What a step does to the values of the plan.
struct Effects {
  SmallVector<int, 8> reads;
  SmallVector<int, 8> writes;
  bool is_fixed = true;  ///< the same values make the same
};

void add_kernel(const KernelTemplate& kernel, Effects& effects) {
  for (const Access& access : kernel.accesses) {
    if (access.buffer < 0) continue;
    const int value = kernel.buffer_values[static_cast<size_t>(access.buffer)];
    if (value >= 0) (access.is_store ? effects.writes : effects.reads).push_back(value);
  }
  for (const SlotSource& slot : kernel.slots) effects.is_fixed &= slot.number < 0;
}

Effects effects_of(const Step& step) {
  Effects effects;
  if (const auto* kernel = std::get_if<KernelStep>(&step)) {
    add_kernel(*kernel->kernel, effects);
  } else if (const auto* contract = std::get_if<ContractStep>(&step)) {
    if (contract->epilogue != nullptr) add_kernel(*contract->epilogue, effects);
    effects.reads.push_back(contract->a.value);
    effects.reads.push_back(contract->b.value);
    effects.writes.push_back(contract->result);
  } else if (const auto* alias = std::get_if<AliasStep>(&step)) {
    effects.reads.push_back(alias->value);
    effects.writes.push_back(alias->result);
  } else {
    const ScanStep& scan = std::get<ScanStep>(step);
    effects.reads.append(scan.operands.begin(), scan.operands.end());
    effects.writes.append(scan.results.begin(), scan.results.end());
    effects.is_fixed = false;
  }
  return effects;
}

}  // namespace

SmallVector<int, 8> written_by(const Step& step) { return effects_of(step).writes; }

bool Tables::any() const { return std::find(values.begin(), values.end(), true) != values.end(); }

Tables find_tables(const Plan& plan) {
  const size_t count = plan.values.size();
  std::vector<Effects> effects;
  for (const Step& step : plan.steps) effects.push_back(effects_of(step));
  const auto all = [](const std::vector<bool>& flags, const auto& values) {
    return std::all_of(values.begin(), values.end(),
                       [&](int v) { return flags[static_cast<size_t>(v)]; });
  };

  // Of all values, those that anything changeable goes into are none, in whichever step.
  std::vector<bool> fixed(count, true);
  for (size_t v = 0; v < count; ++v) fixed[v] = plan.values[v].parameter < 0;
  for (const int result : plan.results)
    for (int v = result; v >= 0; v = plan.values[static_cast<size_t>(v)].alias_of)
      fixed[static_cast<size_t>(v)] = false;
  for (bool changed = true; changed;) {
    changed = false;
    for (const Effects& e : effects) {
      if (e.is_fixed && all(fixed, e.reads) && all(fixed, e.writes)) continue;
      for (const int v : e.writes) {
        changed |= fixed[static_cast<size_t>(v)];
        fixed[static_cast<size_t>(v)] = false;
      }
    }
  }

  std::vector<bool> costly(count, false);
  for (size_t s = 0; s < effects.size(); ++s) {
    const Effects& e = effects[s];
    if (e.writes.empty() || !all(fixed, e.writes)) continue;
    const auto is_set = [&](int v) { return costly[static_cast<size_t>(v)]; };
    if (!std::any_of(e.reads.begin(), e.reads.end(), is_set) && !is_costly(plan.steps[s])) continue;
    for (const int v : e.writes) costly[static_cast<size_t>(v)] = true;
  }

  // Steps that make tables, and those that only they need.
  Tables tables;
  tables.steps.resize(effects.size(), false);
  tables.values.resize(count, false);
  std::vector<bool> needed(count, false);  // by a step of every run
  for (size_t s = effects.size(); s-- > 0;) {
    const Effects& e = effects[s];
    const bool any_needed = std::any_of(e.writes.begin(), e.writes.end(),
                                        [&](int v) { return needed[static_cast<size_t>(v)]; });
    tables.steps[s] =
        !e.writes.empty() && all(fixed, e.writes) && (all(costly, e.writes) || !any_needed);
    if (tables.steps[s]) continue;
    for (const int v : e.reads) needed[static_cast<size_t>(v)] = true;
  }
  for (size_t s = 0; s < effects.size(); ++s)
    for (const int v : effects[s].writes)
      if (tables.steps[s] && needed[static_cast<size_t>(v)])
        tables.values[static_cast<size_t>(v)] = true;
  return tables;
}

}  // namespace flambeau::lower
