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
    out << 'w' << number << ": " << info(window.info.dtype).ir_name << list_text(window.info.sizes);
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

RegionReport report_of(const Recording& recording, const Region& region) {
  RegionReport report;
  for (const int32_t number : region.entries)
    report.ops.emplace_back(recording.entries[static_cast<size_t>(number)].label);
  report.apart = region.apart;
  const std::shared_ptr<const Executable> shared = region.facts ? form_of(region) : region.program;
  const Executable& form = *shared;
  report.program = flambeau::program_of(form).text();
  report.steps = lower::text_of(plan_of(form));
  const Cost cost = cost_of(recording, region, form);
  report.launches = cost.launches;
  report.bytes = cost.bytes;
  report.merged = region.facts.has_value();
  return report;
}

std::string text_of(const Recording& recording) {
  std::ostringstream out;
  for (const Entry& entry : recording.entries) {
    out << (entry.label.empty() ? "run" : entry.label) << '(';
    write_windows(out, recording, entry.parameters);
    out << ") -> ";
    write_windows(out, recording, entry.results);
    out << '\n';
  }
  return out.str();
}

}  // namespace flambeau::compiler
