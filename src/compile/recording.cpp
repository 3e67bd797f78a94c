#include "compile/recording.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "eager/executable_hash.h"

namespace flambeau::compiler {

float Recording::memory_budget() const {
  float least = 1;
  for (const Entry& entry : entries) least = std::min(least, entry.options.memory_budget);
  return least;
}

void Recording::clear() {
  entries.clear();
  operands.clear();
  numbers.clear();
  integers.clear();
  windows.clear();
  slots.clear();
  storages.clear();
  ended.clear();
  fresh_bytes = 0;
  is_whole = true;
}

std::vector<bool> Recording::seen() const {
  std::vector<bool> seen;
  for (const Ref<Storage>& storage : storages) seen.push_back(is_seen(*storage));
  return seen;
}

bool Recording::claim(std::span<const Tensor> tensors, std::span<const Tensor> more,
                      PendingWork& owner) {
  const size_t before = slots.size();
  for (const std::span<const Tensor> list : {tensors, more})
    for (const Tensor& tensor : list) {
      if (!tensor.defined() || tensor->storage->pending() == &owner) continue;
      tensor->storage->set_pending(&owner, static_cast<int>(slots.size()));
      if (tensor->storage->pending() != &owner) {
        for (size_t slot = before; slot < slots.size(); ++slot)
          storages[slot]->set_pending(nullptr, 0);
        slots.resize(before);
        storages.resize(before);
        return false;
      }
      slots.emplace_back();
      storages.push_back(tensor->storage);
      if (!tensor->storage->is_deferred()) fresh_bytes += tensor->storage->bytes();
    }
  return true;
}

int32_t Recording::window_of(const Tensor& tensor, PendingWork& owner) {
  const Storage& storage = *tensor->storage;
  check<InternalError>(storage.pending() == &owner || claim({&tensor, 1}, {}, owner), [] {
    return std::string("compile: a tensor was recorded by another thread meanwhile");
  });
  const int32_t slot = storage.pending_slot();
  Slot& known = slots[static_cast<size_t>(slot)];
  for (const int32_t window : known.windows) {
    const Window& w = windows[static_cast<size_t>(window)];
    if (w.offset == tensor->offset && w.info.dtype == tensor.dtype() &&
        w.info.sizes == tensor.sizes() && w.info.strides == tensor.strides())
      return window;
  }
  const auto window = static_cast<int32_t>(windows.size());
  windows.push_back({slot, tensor.info(), tensor->offset});
  known.windows.push_back(window);
  return window;
}

void Recording::note_writes(const Entry& entry) {
  for_written(entry, [&](size_t slot) {
    slots[slot].written = true;
    slots[slot].options = entry.options;
  });
}

Options Recording::inherited(const Entry& entry) const {
  for (const int32_t window : operands_of(entry.parameters))
    if (const Options& options = slots[slot_of(window)].options; options != Options{})
      return options;
  return {};
}

void Recording::add(const Executable& program, std::shared_ptr<const RunShape> shape,
                    std::span<const Tensor> parameters, std::span<const Scalar> call_numbers,
                    std::span<const int64_t> call_integers, std::span<const Tensor> blocks,
                    std::span<const Tensor> results, std::span<const bool> given,
                    const Options* options, PendingWork& owner) {
  Entry entry;
  entry.program = share(program);
  entry.label = RunLabel::current();
  entry.line = Ref<SourceLine>(SourceLine::current());
  const auto operands_for = [&](const auto& list, const auto& operand_of) {
    const auto begin = static_cast<int32_t>(operands.size());
    for (size_t i = 0; i < list.size(); ++i) operands.push_back(operand_of(i));
    return Range{begin, static_cast<int32_t>(operands.size())};
  };
  const auto append = [](auto& values, const auto& list) {
    const auto begin = static_cast<int32_t>(values.size());
    values.insert(values.end(), list.begin(), list.end());
    return Range{begin, static_cast<int32_t>(values.size())};
  };
  entry.parameters =
      operands_for(parameters, [&](size_t i) { return window_of(parameters[i], owner); });
  entry.blocks = operands_for(
      blocks, [&](size_t i) { return blocks[i].defined() ? window_of(blocks[i], owner) : -1; });
  entry.outputs =
      operands_for(results, [&](size_t i) { return given[i] ? window_of(results[i], owner) : -1; });
  entry.results = operands_for(results, [&](size_t i) {
    if (given[i]) return operands[static_cast<size_t>(entry.outputs.begin) + i];
    const bool in_block = shape->results[i].kind == RunShape::Place::Kind::Block;
    return in_block ? window_of(results[i], owner) : -1;
  });
  entry.numbers = append(numbers, call_numbers);
  entry.integers = append(integers, call_integers);
  entry.shape = std::move(shape);
  entry.inherited = inherited(entry);
  entry.options = options == nullptr ? entry.inherited : *options;
  note_writes(entry);
  entries.push_back(std::move(entry));
}

bool Recording::writes(const Entry& entry, const std::vector<bool>& wanted) const {
  bool any = false;
  for_written(entry, [&](size_t slot) { any = any || wanted[slot]; });
  return any;
}

Recording::Slice Recording::slice_of(int32_t slot) const {
  Slice slice{std::vector<bool>(entries.size(), false), std::vector<bool>(slots.size(), false),
              std::vector<bool>(slots.size(), false)};
  slice.slots[static_cast<size_t>(slot)] = true;
  for (size_t i = entries.size(); i-- > 0;) {
    const Entry& entry = entries[i];
    if (!writes(entry, slice.slots)) continue;
    slice.entries[i] = true;
    ++slice.count;
    for (const int32_t window : operands_of(entry.parameters)) slice.slots[slot_of(window)] = true;
    for_written(entry, [&](size_t s) { slice.written[s] = slice.slots[s] = true; });
  }
  return slice;
}

bool Recording::take_slice(int32_t slot, Recording& slice, Recording& before, PendingWork& owner) {
  const Slice wanted = slice_of(slot);
  if (wanted.count == entries.size()) return false;
  std::vector<bool> stays(slots.size(), false);
  for (size_t i = 0; i < entries.size(); ++i) {
    if (wanted.entries[i]) continue;
    if (writes(entries[i], wanted.written)) return false;
    for (const int32_t window : operands_of(entries[i].parameters)) {
      if (wanted.written[slot_of(window)]) return false;
      stays[slot_of(window)] = true;
    }
    for_written(entries[i], [&](size_t s) { stays[s] = true; });
  }
  if (is_whole) {
    before = first(entries.size());
    for (Entry& entry : before.entries) entry.line = {};
  }
  slice = take(wanted.entries);
  is_whole = false;
  drop_entries(wanted.entries);
  std::vector<size_t> gone;
  for (size_t s = 0; s < slots.size(); ++s)
    if (wanted.slots[s] && !stays[s]) gone.push_back(s);
  for (const size_t s : gone) storages[s]->set_pending(&owner, kRunning);
  drop_slots(gone, owner);
  return true;
}

void Recording::drop_entries(const std::vector<bool>& dropped) {
  size_t kept = 0;
  const auto move_down = [](auto& values, Range& range, size_t& end) {
    const auto from = values.begin() + range.begin;
    std::move(from, from + range.size(), values.begin() + static_cast<ptrdiff_t>(end));
    const auto begin = static_cast<int32_t>(end);
    range = {begin, begin + range.size()};
    end += static_cast<size_t>(range.size());
  };
  size_t operand_end = 0;
  size_t number_end = 0;
  size_t integer_end = 0;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (dropped[i]) continue;
    Entry& entry = entries[i];
    for (Range* range : {&entry.parameters, &entry.blocks, &entry.outputs, &entry.results})
      move_down(operands, *range, operand_end);
    move_down(numbers, entry.numbers, number_end);
    move_down(integers, entry.integers, integer_end);
    if (kept != i) entries[kept] = std::move(entry);
    ++kept;
  }
  entries.resize(kept);
  operands.resize(operand_end);
  numbers.resize(number_end);
  integers.resize(integer_end);
}

void Recording::drop_slots(std::span<const size_t> gone, PendingWork& owner) {
  // What is last takes the place of what goes, so that the others keep their numbers.
  std::vector<size_t> gone_windows;
  for (size_t i = gone.size(); i-- > 0;) {
    const size_t slot = gone[i];
    gone_windows.insert(gone_windows.end(), slots[slot].windows.begin(), slots[slot].windows.end());
    if (slot + 1 != slots.size()) {
      slots[slot] = std::move(slots.back());
      storages[slot] = std::move(storages.back());
      storages[slot]->set_pending(&owner, static_cast<int>(slot));
      for (const int32_t window : slots[slot].windows)
        windows[static_cast<size_t>(window)].slot = static_cast<int32_t>(slot);
    }
    slots.pop_back();
    storages.pop_back();
  }
  std::sort(gone_windows.begin(), gone_windows.end());
  std::vector<int32_t> before(windows.size());  // per window: its number until now
  std::iota(before.begin(), before.end(), 0);
  std::vector<int32_t> now = before;
  for (size_t i = gone_windows.size(); i-- > 0;) {
    const size_t window = gone_windows[i];
    if (window + 1 != windows.size()) {
      windows[window] = std::move(windows.back());
      before[window] = before.back();
    }
    windows.pop_back();
    before.pop_back();
  }
  for (size_t i = 0; i < before.size(); ++i)
    now[static_cast<size_t>(before[i])] = static_cast<int32_t>(i);
  for (int32_t& operand : operands)
    if (operand >= 0) operand = now[static_cast<size_t>(operand)];
  for (Slot& slot : slots)
    for (int32_t& window : slot.windows) window = now[static_cast<size_t>(window)];
}

Recording Recording::first(size_t count) const {
  Recording start;
  if (count == 0) return start;
  const auto begin_of = [](const auto& values, auto& copy, int32_t end) {
    copy.assign(values.begin(), values.begin() + end);
  };
  begin_of(entries, start.entries, static_cast<int32_t>(count));
  const Entry& last = start.entries.back();
  begin_of(operands, start.operands, last.results.end);
  begin_of(integers, start.integers, last.integers.end);
  begin_of(windows, start.windows,
           1 + *std::max_element(start.operands.begin(), start.operands.end()));
  for (size_t window = 0; window < start.windows.size(); ++window) {
    const size_t slot = start.slot_of(static_cast<int32_t>(window));
    if (slot >= start.slots.size()) start.slots.resize(slot + 1);
    start.slots[slot].windows.push_back(static_cast<int32_t>(window));
  }
  for (const Entry& entry : start.entries) start.note_writes(entry);
  return start;
}

Recording Recording::take(const std::vector<bool>& inside) {
  Recording taken;
  taken.is_whole = false;
  Map map{std::vector<int32_t>(windows.size(), -1), std::vector<int32_t>(slots.size(), -1)};
  for (size_t i = 0; i < entries.size(); ++i)
    if (inside[i]) taken.add_from(*this, std::move(entries[i]), map);
  return taken;
}

void Recording::add_from(const Recording& other, Entry entry, Map& map) {
  const auto add_operands = [&](Range& range) {
    const int32_t begin = static_cast<int32_t>(operands.size());
    for (const int32_t window : other.operands_of(range)) {
      if (window < 0) {
        operands.push_back(window);
        continue;
      }
      int32_t& here = map.windows[static_cast<size_t>(window)];
      if (here < 0) {
        Window moved = other.windows[static_cast<size_t>(window)];
        int32_t& slot = map.slots[static_cast<size_t>(moved.slot)];
        if (slot < 0) {
          slot = static_cast<int32_t>(slots.size());
          slots.emplace_back();
          storages.push_back(other.storages[static_cast<size_t>(moved.slot)]);
        }
        moved.slot = slot;
        here = static_cast<int32_t>(windows.size());
        slots[static_cast<size_t>(slot)].windows.push_back(here);
        windows.push_back(std::move(moved));
      }
      operands.push_back(here);
    }
    range = {begin, static_cast<int32_t>(operands.size())};
  };
  for (Range* range : {&entry.parameters, &entry.blocks, &entry.outputs, &entry.results})
    add_operands(*range);
  note_writes(entry);
  const auto move_values = [](const auto& from, auto& to, Range& range) {
    const auto begin = static_cast<int32_t>(to.size());
    to.insert(to.end(), from.begin() + range.begin, from.begin() + range.end);
    range = {begin, static_cast<int32_t>(to.size())};
  };
  move_values(other.numbers, numbers, entry.numbers);
  move_values(other.integers, integers, entry.integers);
  entries.push_back(std::move(entry));
}

void Recording::mark(PendingWork& owner) const {
  for (size_t i = 0; i < storages.size(); ++i)
    storages[i]->set_pending(&owner, static_cast<int>(i));
}

void Recording::mark_running(PendingWork& owner) const {
  for (const Ref<Storage>& storage : storages) storage->set_pending(&owner, kRunning);
}

Tensor Recording::tensor(int32_t window) const {
  const Window& w = windows[static_cast<size_t>(window)];
  return Tensor(make_ref<TensorImpl>(storages[static_cast<size_t>(w.slot)], w.info, w.offset));
}

}  // namespace flambeau::compiler
