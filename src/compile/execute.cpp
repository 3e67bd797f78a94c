#include "compile/execute.h"

namespace flambeau::compile {
namespace {

class Execution {
 public:
  explicit Execution(Recording& recording) : recording_(recording) {}

  void run() {
    find_needed();
    find_last_uses();
    size_t next = 0;
    try {
      for (; next < recording_.entries.size(); ++next) {
        if (needed_[next]) run(recording_.entries[next]);
        for (const int32_t slot : last_uses_[next]) let_go(slot);
      }
    } catch (...) {
      for (; next < recording_.entries.size(); ++next)
        if (needed_[next]) fail_outputs(recording_.entries[next]);
      for (size_t slot = 0; slot < recording_.slots.size(); ++slot)
        if (recording_.slots[slot].storage) let_go(static_cast<int32_t>(slot));
      throw;
    }
  }

 private:
  int32_t slot_of(int32_t window) const {
    return recording_.windows[static_cast<size_t>(window)].slot;
  }

  /// True if somebody but the recording holds the storage.
  static bool is_seen(const Storage& storage) {
    return storage.owners() > 0 || storage.wrapper() != nullptr;
  }

  template <class Visit>
  void for_written(const Entry& entry, const Visit& visit) const {
    for (const Range range : {entry.blocks, entry.outputs})
      for (const int32_t window : recording_.operands_of(range))
        if (window >= 0) visit(slot_of(window));
  }

  /// A run is needed if it writes what is seen or what a needed run reads.
  void find_needed() {
    std::vector<bool> wanted(recording_.slots.size());
    for (size_t i = 0; i < wanted.size(); ++i)
      wanted[i] = is_seen(*recording_.slots[i].storage);
    needed_.assign(recording_.entries.size(), false);
    for (size_t i = recording_.entries.size(); i-- > 0;) {
      const Entry& entry = recording_.entries[i];
      bool needed = false;
      for_written(entry, [&](int32_t slot) { needed |= wanted[static_cast<size_t>(slot)]; });
      needed_[i] = needed;
      if (!needed) continue;
      for (const int32_t window : recording_.operands_of(entry.parameters))
        wanted[static_cast<size_t>(slot_of(window))] = true;
    }
  }

  void find_last_uses() {
    last_uses_.resize(recording_.entries.size());
    std::vector<bool> seen(recording_.slots.size(), false);
    for (size_t i = recording_.entries.size(); i-- > 0;) {
      const Entry& entry = recording_.entries[i];
      const auto note = [&](int32_t slot) {
        if (seen[static_cast<size_t>(slot)]) return;
        seen[static_cast<size_t>(slot)] = true;
        last_uses_[i].push_back(slot);
      };
      for (const int32_t window : recording_.operands_of(entry.parameters)) note(slot_of(window));
      for_written(entry, note);
    }
  }

  SmallVector<Tensor, 6> tensors(Range range) const {
    SmallVector<Tensor, 6> list;
    for (const int32_t window : recording_.operands_of(range))
      list.push_back(window >= 0 ? recording_.tensor(window) : Tensor());
    return list;
  }

  void run(const Entry& entry) {
    const auto parameters = tensors(entry.parameters);
    const auto blocks = tensors(entry.blocks);
    const auto outputs = tensors(entry.outputs);
    run_in_blocks(*entry.program, *entry.shape, {blocks.data(), blocks.size()},
                  {parameters.data(), parameters.size()},
                  {recording_.numbers.data() + entry.numbers.begin,
                   static_cast<size_t>(entry.numbers.size())},
                  {recording_.integers.data() + entry.integers.begin,
                   static_cast<size_t>(entry.integers.size())},
                  {outputs.data(), outputs.size()});
  }

  /// No run touches the slot any more: others may.
  void let_go(int32_t slot) {
    Ref<Storage>& storage = recording_.slots[static_cast<size_t>(slot)].storage;
    storage->set_pending(nullptr, 0);
    storage = nullptr;
  }

  void fail_outputs(const Entry& entry) {
    for_written(entry, [&](int32_t slot) {
      if (const Ref<Storage>& storage = recording_.slots[static_cast<size_t>(slot)].storage)
        if (storage->is_deferred()) storage->fail();
    });
  }

  Recording& recording_;
  std::vector<bool> needed_;                        // per entry
  std::vector<SmallVector<int32_t, 4>> last_uses_;  // per entry: slots
};

}  // namespace

void execute(Recording& recording) { Execution(recording).run(); }

}  // namespace flambeau::compile
