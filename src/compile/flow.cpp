#include "compile/flow.h"

#include <algorithm>
#include <utility>

#include "compile/view_form.h"

namespace flambeau::compiler {
namespace {

class FlowFinder {
 public:
  FlowFinder(const Recording& recording, std::vector<bool> seen)
      : recording_(recording), flow_{.seen = std::move(seen)} {}

  Flow find() {
    find_needed();
    flow_.value_of.assign(recording_.operands.size(), Flow::kMemory);
    current_.resize(recording_.slots.size());
    for (size_t i = 0; i < recording_.entries.size(); ++i) {
      if (!flow_.needed[i]) continue;
      const Entry& entry = recording_.entries[i];
      for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) read(o);
      for (int32_t o = entry.results.begin; o < entry.results.end; ++o)
        if (operand(o) >= 0) write(o, entry.results.begin);
    }
    for (size_t slot = 0; slot < current_.size(); ++slot)
      if (flow_.seen[slot]) store_all(slot);
    return std::move(flow_);
  }

 private:
  int32_t operand(int32_t position) const {
    return recording_.operands[static_cast<size_t>(position)];
  }
  size_t slot_of(int32_t window) const { return recording_.slot_of(window); }

  void find_needed() {
    std::vector<bool> wanted = flow_.seen;
    flow_.needed.assign(recording_.entries.size(), false);
    for (size_t i = recording_.entries.size(); i-- > 0;) {
      const Entry& entry = recording_.entries[i];
      bool needed = false;
      for (const int32_t window : recording_.operands_of(entry.results))
        if (window >= 0) needed = needed || wanted[slot_of(window)];
      flow_.needed[i] = needed;
      if (!needed) continue;
      for (const int32_t window : recording_.operands_of(entry.parameters))
        wanted[slot_of(window)] = true;
    }
  }

  void store_all(size_t slot) {
    // What lies before one that is stored is, too.
    const auto& current = current_[slot];
    for (size_t i = current.size(); i-- > 0;) {
      bool& stored = flow_.values[static_cast<size_t>(current[i])].stored;
      if (std::exchange(stored, true)) break;
    }
  }

  void read(int32_t position) {
    const int32_t window = operand(position);
    const auto& current = current_[slot_of(window)];
    if (current.empty()) return;
    const int32_t last = current.back();
    if (is_view(flow_.values[static_cast<size_t>(last)].window, window))
      flow_.value_of[static_cast<size_t>(position)] = last;
    else
      store_all(slot_of(window));
  }

  bool is_view(int32_t base, int32_t view) const {
    const auto& windows = recording_.windows;
    const Window& of_base = windows[static_cast<size_t>(base)];
    return base == view ? !overlaps_itself(of_base.info)
                        : view_form(of_base, windows[static_cast<size_t>(view)]).has_value();
  }

  /// `first`: where the results of the entry begin.
  void write(int32_t position, int32_t first) {
    const int32_t window = operand(position);
    for (int32_t earlier = first; earlier < position; ++earlier) {
      if (operand(earlier) != window) continue;  // two results that are one value
      flow_.value_of[static_cast<size_t>(position)] = flow_.value_of[static_cast<size_t>(earlier)];
      return;
    }
    auto& current = current_[slot_of(window)];
    if (!current.empty()) {
      if (flow_.values[static_cast<size_t>(current.back())].window == window)
        current.pop_back();
      else
        store_all(slot_of(window));
    }
    const auto value = static_cast<int32_t>(flow_.values.size());
    flow_.values.push_back({window});
    flow_.value_of[static_cast<size_t>(position)] = value;
    current.push_back(value);
  }

  const Recording& recording_;
  Flow flow_;
  std::vector<SmallVector<int32_t, 2>> current_;  // per slot: values that memory would hold
};

}  // namespace

Flow flow_of(const Recording& recording, std::vector<bool> seen) {
  return FlowFinder(recording, std::move(seen)).find();
}

}  // namespace flambeau::compiler
