#pragma once
// Launches whose extents and strides are known, on any memory and with any numbers.

#include <span>

#include "base/scalar.h"
#include "base/small_vector.h"
#include "ir/loop_program.h"

namespace flambeau {

/// Calls of one kernel, cut into chunks that shape and cost fix.
struct BoundLaunch {
  /// Rows and columns of a tile, where chunks are walked in tiles.
  static constexpr int64_t kTile = 32;

  /// A pointer of the kernel: so many bytes into a buffer of the launch.
  struct Pointer {
    int buffer;
    int64_t offset;
  };
  /// A slot that a number of the call goes to.
  struct Number {
    size_t slot;
    int number;
  };
  /// A loop around the kernel's own two.
  struct Walk {
    int64_t extent;
    SmallVector<int64_t, 8> bytes;   ///< that each pointer moves by in one step
    SmallVector<int64_t, 2> shifts;  ///< that each of `offset_slots` grows by
  };
  ir::KernelFunction function = nullptr;
  SmallVector<Pointer, 6> pointers;
  SmallVector<int64_t, 12> slots;
  SmallVector<Number, 2> numbers;
  SmallVector<int, 2> offset_slots;
  /// The slot that says whether the kernel's stores go past the caches; -1 where they never do, as
  /// there is room for all that it touches.
  int past_caches = -1;
  SmallVector<Walk, 1> walks;  ///< outermost first
  // The kernel's loops, and how much of them a chunk has.
  int64_t rows = 1, columns = 1;
  int64_t row_step = 1, column_step = 1;
  bool tiled = false;    ///< a chunk is walked in small tiles
  bool is_copy = false;  ///< between equal places of its buffers: of one memory it is done already
  int64_t walk_count = 1;
  int64_t walks_together = 1;  ///< that a chunk has; more than 1 only where each is one piece
  int64_t cost = 0;            ///< of all chunks, in nanoseconds

  int64_t column_chunks() const { return (columns + column_step - 1) / column_step; }
  int64_t pieces() const { return (rows + row_step - 1) / row_step * column_chunks(); }
  int64_t chunks() const { return (walk_count + walks_together - 1) / walks_together * pieces(); }
  /// Writes the kernel's pointers, given the addresses of the launch's buffers.
  void place(void* const* buffers, void** places) const {
    for (const Pointer& pointer : pointers) {
      void* const base = buffers[pointer.buffer];
      // A tensor without elements has no memory to be offset in.
      *places++ = base == nullptr ? nullptr : static_cast<char*>(base) + pointer.offset;
    }
  }
  /// What a call of the kernel brings, with its pointers, into slots that have all else.
  void fill_slots(std::span<const Scalar> call_numbers, void* const* places,
                  int64_t* call_slots) const;
  /// Of these only what depends on the pointers.
  void fill_past_caches(void* const* places, int64_t* call_slots) const;
  void run_chunk(int64_t chunk, void* const* places, const int64_t* call_slots) const;
  /// Runs it all.
  void run(void* const* buffers, std::span<const Scalar> call_numbers) const;

 private:
  void run_piece(int64_t piece, void* const* places, const int64_t* call_slots) const;
};

/// A launch of a group: its pointers and slots begin at these of the group's.
struct LaunchMember {
  const BoundLaunch* launch;
  size_t places;
  size_t slots;
};

/// How launches that do not touch what another of them writes are shared out as one parallel
/// region.
class LaunchTasks {
 public:
  explicit LaunchTasks(std::span<const LaunchMember> members);
  /// Runs the same members on this memory, with these slots.
  void run(std::span<const LaunchMember> members, void* const* places, const int64_t* slots) const;

 private:
  /// Chunks of a launch, or all chunks of some launches after one another.
  struct Task {
    size_t first;
    size_t count;
    int64_t chunk;
  };
  SmallVector<Task, 32> tasks_;
  int64_t cost_ = 0;
};

/// Launches that do not touch what another of them writes; they must live until it has run.
class LaunchGroup {
 public:
  /// As BoundLaunch::run() is given them.
  void add(const BoundLaunch& launch, void* const* buffers, std::span<const Scalar> call_numbers);
  /// Runs all of them as one parallel region.
  void run() const;

 private:
  SmallVector<LaunchMember, 16> members_;
  SmallVector<void*, 64> places_;
  SmallVector<int64_t, 64> slots_;
};

}  // namespace flambeau
