#pragma once
// Runs of programs that were asked for and have not happened: what compile() makes one program of.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compile/source_line.h"
#include "eager/executable.h"

namespace flambeau::compiler {

/// What a program may make of its runs.
enum class Numerics : uint8_t {
  Exact,  ///< the bits of the runs one by one
  Fast,   ///< it is rewritten by prim::relax
};

/// How the runs of a compiled function become a program.
struct Options {
  Numerics numerics = Numerics::Exact;
  /// Below 1, values are computed again until the program takes at most this part of the memory
  /// that it would take if all were kept, however long that takes; see recompute.h.
  float memory_budget = 1;
  /// The runs happen one by one, as those of a program whose kernels are not compiled yet.
  bool one_by_one = false;
  bool operator==(const Options&) const = default;
};

/// Elements [begin, end) of one of a recording's arrays.
struct Range {
  int32_t begin = 0;
  int32_t end = 0;
  int32_t size() const { return end - begin; }
};

/// A tensor of the recording: where it lies in which storage.
struct Window {
  int32_t slot;
  TensorInfo info;
  int64_t offset;  ///< in elements
};

/// A storage that the recording touches.
struct Slot {
  bool written = false;
  Options options{};                  ///< of the last run that wrote it
  SmallVector<int32_t, 2> windows{};  ///< those on it
};

/// One run. Ranges count in the arrays of the recording.
struct Entry {
  std::shared_ptr<const Executable> program;
  std::shared_ptr<const RunShape> shape;
  std::string_view label = {};  ///< what it is for: RunLabel
  Range parameters = {};        ///< of `operands`
  Range blocks = {};   ///< of `operands`: the memory of each block of `shape`; -1: not needed
  Range outputs = {};  ///< of `operands`: one per result, -1 for none
  Range results =
      {};  ///< of `operands`: where each result is written, -1 for windows of parameters
  Range numbers = {};
  Range integers = {};
  Options options = {};
  Options inherited = {};     ///< the options if no compiled function asks for it: see inherited()
  Ref<SourceLine> line = {};  ///< that asked for it; null where it is not known
};

/// True if somebody but pending work holds the storage.
inline bool is_seen(const Storage& storage) {
  return storage.owners() > 0 || storage.wrapper() != nullptr;
}

class Recording {
 public:
  std::vector<Entry> entries;
  std::vector<int32_t> operands;  ///< windows
  std::vector<Scalar> numbers;
  std::vector<int64_t> integers;
  std::vector<Window> windows;
  std::vector<Slot> slots;
  std::vector<Ref<Storage>> storages;  ///< per slot
  std::string ended = {};              ///< why it runs, for reports; empty: nobody asked
  size_t fresh_bytes = 0;              ///< of storages with memory, added since this was set to 0
  bool is_whole = true;                ///< no runs were taken out of it, or it out of others

  /// Per slot: somebody else holds the storage. Other threads may let go of it at any time.
  std::vector<bool> seen() const;
  bool empty() const { return entries.empty(); }
  /// True if not even storages are claimed.
  bool is_unused() const { return entries.empty() && storages.empty(); }
  /// The least of its runs.
  float memory_budget() const;
  /// Forgets all but the memory of the arrays.
  void clear();
  /// Adds the tensors' storages, which become pending in `owner`. False, and nothing, if one of
  /// them is pending elsewhere.
  bool claim(std::span<const Tensor> tensors, std::span<const Tensor> more, PendingWork& owner);
  /// The window that `tensor` is; adds its storage, which becomes pending in `owner` unless it is.
  int32_t window_of(const Tensor& tensor, PendingWork& owner);
  /// Adds a run that writes `blocks` (undefined ones are none) and those of `results`, which the
  /// caller gets, that are `given`. Without `options`, it has those that its parameters bring.
  void add(const Executable& program, std::shared_ptr<const RunShape> shape,
           std::span<const Tensor> parameters, std::span<const Scalar> call_numbers,
           std::span<const int64_t> call_integers, std::span<const Tensor> blocks,
           std::span<const Tensor> results, std::span<const bool> given, const Options* options,
           PendingWork& owner);

  /// What it was when it held `count` runs, but for their storages and numbers.
  Recording first(size_t count) const;
  /// Moves the runs that `inside` names to a recording of their own; what is left of this one is
  /// good for nothing but the other runs. Storages are marked as before.
  Recording take(const std::vector<bool>& inside);
  /// The runs that the memory of `slot` depends on, and what they touch.
  struct Slice {
    std::vector<bool> entries;
    std::vector<bool> slots;
    std::vector<bool> written;
    size_t count = 0;  ///< of entries
  };
  Slice slice_of(int32_t slot) const;
  /// Moves the runs that the memory of `slot` depends on to `slice` (an empty recording). False,
  /// and nothing happens, if they share with other runs anything that one of them writes, or if
  /// they are all there is. Storages that the other runs do not touch are marked as kRunning. If
  /// this is whole, `before` becomes what it was, but for storages, numbers and lines.
  bool take_slice(int32_t slot, Recording& slice, Recording& before, PendingWork& owner);
  /// Marks all storages as pending in `owner`.
  void mark(PendingWork& owner) const;
  /// Says of all storages, which are pending in `owner`, that a run lets go of them.
  void mark_running(PendingWork& owner) const;
  /// The pending_slot() of such storages. A run leaves others to the recording that goes on.
  static constexpr int kRunning = -1;

  /// The tensor of window `window`.
  Tensor tensor(int32_t window) const;
  std::span<const int32_t> operands_of(Range range) const {
    return {operands.data() + range.begin, static_cast<size_t>(range.size())};
  }
  size_t slot_of(int32_t window) const {
    return static_cast<size_t>(windows[static_cast<size_t>(window)].slot);
  }
  /// Calls visit(slot) for the storage of each window that the entry writes.
  template <class Visit>
  void for_written(const Entry& entry, const Visit& visit) const {
    for (const Range range : {entry.blocks, entry.results})
      for (const int32_t window : operands_of(range))
        if (window >= 0) visit(slot_of(window));
  }

  /// Calls visit(slot) for what the entry reads, then for what it writes.
  template <class Visit>
  void for_touched(const Entry& entry, const Visit& visit) const {
    for (const int32_t window : operands_of(entry.parameters)) visit(slot_of(window));
    for_written(entry, visit);
  }

 private:
  /// Adds an entry of another recording; `map` says what its windows and slots are here (-1: not
  /// known yet).
  struct Map {
    std::vector<int32_t> windows;
    std::vector<int32_t> slots;
  };
  /// Says of what the entry writes that it does.
  void note_writes(const Entry& entry);
  /// The options of the first parameter that a run with other options than the default wrote: what
  /// follows from a compiled function's results is computed as they are, and nothing else is.
  Options inherited(const Entry& entry) const;
  void add_from(const Recording& other, Entry entry, Map& map);
  bool writes(const Entry& entry, const std::vector<bool>& wanted) const;
  void drop_entries(const std::vector<bool>& dropped);
  /// Forgets storages that no run touches: their numbers, ascending.
  void drop_slots(std::span<const size_t> gone, PendingWork& owner);
};

}  // namespace flambeau::compiler
