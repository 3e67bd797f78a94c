#include "compile/report.h"

#include <atomic>
#include <sstream>
#include <utility>

#include "base/error.h"
#include "base/fork.h"
#include "compile/block_rows.h"
#include "compile/cost.h"
#include "lower/plan.h"

namespace flambeau::compiler {
namespace {

std::atomic<bool> is_on = false;

struct Reports {
  ForkSafe<std::mutex> mutex;
  std::vector<ProgramReport> list;
  static Reports& global() {
    static auto* const reports = new Reports;
    return *reports;
  }
};

std::string_view name_of(const Entry& entry) { return entry.label.empty() ? "run" : entry.label; }

std::string type_text(DType dtype, const Ints& sizes) {
  return concat(info(dtype).ir_name, list_text(sizes));
}

void add_access(std::vector<Access>& list, const Recording& recording, int32_t number) {
  if (number < 0) return;
  const Window& window = recording.windows[static_cast<size_t>(number)];
  const auto size = static_cast<int64_t>(size_of(window.info.dtype));
  const int64_t elements = window.info.numel();
  if (elements == 0) return;
  int64_t first = window.offset;
  int64_t last = window.offset;
  for (size_t axis = 0; axis < window.info.sizes.size(); ++axis) {
    const int64_t way = (window.info.sizes[axis] - 1) * window.info.strides[axis];
    (way < 0 ? first : last) += way;
  }
  list.push_back({window.slot, first * size, (last + 1) * size,
                  static_cast<double>(elements) * static_cast<double>(size)});
}

void write_windows(std::ostringstream& out, const Recording& recording, Range range) {
  const char* separator = "";
  for (const int32_t number : recording.operands_of(range)) {
    out << separator;
    separator = ", ";
    if (number < 0) {
      out << '-';
      continue;
    }
    const Window& window = recording.windows[static_cast<size_t>(number)];
    out << 'w' << number << ": " << type_text(window.info.dtype, window.info.sizes);
    if (!window.info.is_contiguous() || window.offset != 0)
      out << " of m" << window.slot << " by " << list_text(window.info.strides) << " + "
          << window.offset;
  }
}

}  // namespace

void begin_reports() {
  const std::lock_guard lock(Reports::global().mutex);
  Reports::global().list.clear();
  is_on = true;
}

std::vector<ProgramReport> take_reports() {
  const std::lock_guard lock(Reports::global().mutex);
  return std::exchange(Reports::global().list, {});
}

std::vector<ProgramReport> end_reports() {
  is_on = false;
  return take_reports();
}

bool reporting() { return is_on; }

void add_report(ProgramReport report) {
  const std::lock_guard lock(Reports::global().mutex);
  Reports::global().list.push_back(std::move(report));
}

RegionReport report_of(const Recording& recording, const Region& region, const Executable& form) {
  RegionReport report;
  for (const int32_t number : region.entries)
    report.ops.emplace_back(name_of(recording.entries[static_cast<size_t>(number)]));
  report.apart = region.apart;
  report.program = flambeau::program_of(form).text();
  const StepCosts costs = step_costs_of(recording, region, form);
  const lower::Plan& plan = plan_of(form);
  for (size_t i = 0; i < plan.steps.size(); ++i)
    report.steps.push_back({.text = lower::text_of(plan.steps[i]),
                            .launches = costs.steps[i].launches,
                            .bytes = costs.steps[i].bytes});
  for (const StepCosts::Temporary& made : costs.temporaries)
    report.temporaries.push_back(
        {type_text(made.dtype, made.sizes), made.bytes, made.first, made.last});
  const Cost cost = cost_of(recording, region, form);
  report.launches = cost.launches;
  report.bytes = cost.bytes;
  report.merged = region.facts.has_value();
  for (const int32_t window : region.parameters) add_access(report.reads, recording, window);
  for (const int32_t window : region.outputs) add_access(report.writes, recording, window);
  // The memory of a run that is alone may be more than its results.
  if (!region.facts)
    for (const int32_t number : region.entries)
      for (const int32_t window :
           recording.operands_of(recording.entries[static_cast<size_t>(number)].blocks))
        add_access(report.writes, recording, window);
  return report;
}

std::vector<StorageReport> storages_of(const Recording& recording) {
  std::vector<StorageReport> storages(recording.slots.size());
  const auto name = [&](Range range, std::string_view by) {
    for (const int32_t number : recording.operands_of(range)) {
      if (number < 0) continue;
      const Window& window = recording.windows[static_cast<size_t>(number)];
      std::string& text = storages[static_cast<size_t>(window.slot)].text;
      if (text.empty())
        text =
            concat(type_text(window.info.dtype, window.info.sizes), by.empty() ? "" : " of ", by);
    }
  };
  for (const Entry& entry : recording.entries) {
    name(entry.parameters, "");
    name(entry.results, name_of(entry));
    name(entry.blocks, name_of(entry));
  }
  return storages;
}

std::string text_of(const Recording& recording) {
  std::ostringstream out;
  for (const Entry& entry : recording.entries) {
    out << name_of(entry) << '(';
    write_windows(out, recording, entry.parameters);
    out << ") -> ";
    write_windows(out, recording, entry.results);
    out << '\n';
  }
  return out.str();
}

}  // namespace flambeau::compiler
