#pragma once
// A recording made ready to run: its regions, kept for recordings that differ in nothing but
// numbers, integers and memory.

#include <memory>
#include <mutex>
#include <unordered_map>

#include "base/fork.h"
#include "base/hash.h"
#include "compile/merge.h"

namespace flambeau::compiler {

/// The runs of a program's regions, as far as one geometry of recordings can repeat them.
struct BoundProgram {
  /// Per region: null if it has to be found anew.
  std::vector<std::shared_ptr<const BoundRun>> runs;
};

struct Program {
  /// How many entries, windows, slots, numbers and integers its recordings have.
  std::vector<int32_t> extents;
  Flow flow;
  std::vector<Region> regions;
  /// For one run: the recording may never come again, and passes would cost more than they save.
  /// Where tensors are small all runs are alone; else those of operations for sizes that no
  /// recording had before, as programs of them would be new, too. Made anew where the recording
  /// does come again.
  bool provisional = false;
  std::vector<SmallVector<int32_t, 4>> last_uses;  ///< per region: slots that no later one touches
  std::vector<int32_t> unused;                     ///< slots that no region touches
  /// Per region: slots whose contents no later one reads, though later ones may use the memory for
  /// values of their own.
  std::vector<SmallVector<int32_t, 4>> renewed;
  /// The storage of window `from`, which nothing reads behind region `region`, becomes that of
  /// window `to`, which begins there, if they are alike: the region's program writes where it
  /// reads.
  struct Donation {
    int32_t region, from, to;
  };
  std::vector<Donation> donations;  ///< ascending regions
  /// Where groups of regions end, none of which touches what another of its group writes.
  std::vector<size_t> group_ends;

  /// What keep() was given for a geometry, or null.
  std::shared_ptr<const BoundProgram> find_bound(const Hash128& geometry) const;
  void keep(const Hash128& geometry, std::shared_ptr<const BoundProgram> program) const;

 private:
  mutable ForkSafe<std::mutex> mutex_;
  mutable std::unordered_map<Hash128, std::shared_ptr<const BoundProgram>> bound_;
};

/// The program of `recording`, cached: the key is all but numbers, integers and memory, and what
/// the program takes for granted of the integers holds. It is not provisional if `will_repeat`.
std::shared_ptr<const Program> program_of(const Recording& recording, bool will_repeat);

/// What happened so far in this process.
struct ProgramStats {
  int64_t runs = 0;   ///< recordings that were run
  int64_t made = 0;   ///< programs that were not known before: these cost passes
  int64_t bound = 0;  ///< geometries that were not known before
  /// Regions of several runs: how often one ran as one program, or its runs one by one because its
  /// kernels were not compiled yet.
  int64_t merged = 0;
  int64_t one_by_one = 0;
  int64_t repeated = 0;   ///< runs that were found to repeat a known recording (follow.h)
  int64_t early = 0;      ///< regions that ran while their recording went on (early.h)
  int64_t tails = 0;      ///< runs that ended while later ones were recorded (follow.h)
  int64_t schedules = 0;  ///< runs of a program laid flat (schedule.h)
};
ProgramStats program_stats();
void count_run(bool repeated);
void count_regions(bool merged, int64_t regions = 1);
void count_early(size_t regions);
void count_tail();
void count_schedule();
/// The programs that are cached and not provisional, the least recently used first; and one more,
/// as if it was made here.
struct CachedProgram {
  Hash128 key;
  std::shared_ptr<const Program> program;
};
std::vector<CachedProgram> cached_programs();
void add_program(const Hash128& key, std::shared_ptr<const Program> program);
void forget_programs();    ///< the next recordings are as the first
uint64_t program_epoch();  ///< how often that was

/// All extents, strides, offsets and integers.
Hash128 geometry_of(const Recording& recording);

}  // namespace flambeau::compiler
