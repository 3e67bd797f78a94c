#include "compile/recording.h"

#include <algorithm>

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
}

bool Recording::is_seen(size_t slot) const {
  const Storage& storage = *storages[slot];
  return storage.owners() > 0 || storage.wrapper() != nullptr;
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

template <class IsWritten>
void Recording::add_written(std::span<const Tensor> tensors, const IsWritten& is_written,
                            Range& range, PendingWork& owner) {
  range.begin = static_cast<int32_t>(operands.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!is_written(i)) {
      operands.push_back(-1);
      continue;
    }
    const int32_t window = window_of(tensors[i], owner);
    operands.push_back(window);
    slots[slot_of(window)].written = true;
  }
  range.end = static_cast<int32_t>(operands.size());
}

void Recording::add(const Executable& program, std::shared_ptr<const RunShape> shape,
                    std::span<const Tensor> parameters, std::span<const Scalar> call_numbers,
                    std::span<const int64_t> call_integers, std::span<const Tensor> blocks,
                    std::span<const Tensor> outputs, std::span<const Tensor> results,
                    PendingWork& owner) {
  Entry entry{share(program), std::move(shape), RunLabel::current(), {}, {}, {}, {}, {}, {}, {}};
  entry.parameters.begin = static_cast<int32_t>(operands.size());
  for (const Tensor& parameter : parameters) operands.push_back(window_of(parameter, owner));
  entry.parameters.end = static_cast<int32_t>(operands.size());
  const auto is_output = [&](size_t i) { return i < outputs.size() && outputs[i].defined(); };
  const auto is_written = [&](size_t i) {
    return is_output(i) || entry.shape->results[i].kind == RunShape::Place::Kind::Block;
  };
  add_written(blocks, [&](size_t i) { return blocks[i].defined(); }, entry.blocks, owner);
  add_written(outputs, is_output, entry.outputs, owner);
  add_written(results, is_written, entry.results, owner);
  entry.numbers.begin = static_cast<int32_t>(numbers.size());
  numbers.insert(numbers.end(), call_numbers.begin(), call_numbers.end());
  entry.numbers.end = static_cast<int32_t>(numbers.size());
  entry.integers.begin = static_cast<int32_t>(integers.size());
  integers.insert(integers.end(), call_integers.begin(), call_integers.end());
  entry.integers.end = static_cast<int32_t>(integers.size());
  entry.line = Ref<SourceLine>(SourceLine::current());
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

bool Recording::take_slice(int32_t slot, Recording& slice) {
  const Slice wanted = slice_of(slot);
  if (wanted.count == entries.size()) return false;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (wanted.entries[i]) continue;
    if (writes(entries[i], wanted.written)) return false;
    for (const int32_t window : operands_of(entries[i].parameters))
      if (wanted.written[slot_of(window)]) return false;
  }
  slice = take(wanted.entries);
  return true;
}

Recording Recording::take(const std::vector<bool>& inside) {
  Recording taken;
  Recording rest;
  const Map unknown{std::vector<int32_t>(windows.size(), -1),
                    std::vector<int32_t>(slots.size(), -1)};
  Map to_taken = unknown;
  Map to_rest = unknown;
  for (size_t i = 0; i < entries.size(); ++i)
    inside[i] ? taken.add_from(*this, std::move(entries[i]), to_taken)
              : rest.add_from(*this, std::move(entries[i]), to_rest);
  *this = std::move(rest);
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
  for_written(entry, [&](size_t slot) { slots[slot].written = true; });
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
