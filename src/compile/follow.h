#pragma once
// Recordings that repeat one that ran: as long as each run is the next one of a known recording, it
// is compared with that instead of recorded. At the end the program is known without a look-up.

#include <atomic>
#include <deque>
#include <memory>

#include "compile/early.h"

namespace flambeau::compiler {

/// What a thread records while it repeats itself. Under its recorder's lock.
class Follower {
 public:
  /// True if the run is the next one of a known recording: it is noted, and the results that are
  /// not defined are given. Else nothing happens.
  bool follow(const PlanRun& run, const Options* options, PendingWork& owner);
  /// The runs noted so far, but those of a tail.
  size_t size() const { return size_; }
  bool is_following() const { return size_ > 0; }
  /// True if one of them writes the storage of the slot.
  bool writes(int32_t slot) const;
  /// True if they are a whole known recording: what ended it is expected.
  bool is_at_end() const { return size_ > 0 && size_ == now_.known->recording.entries.size(); }
  /// True if they are one whose program is known, and the same results live.
  bool is_complete() const;

  /// What is noted and has not run yet, as a recording; nothing is noted any more.
  Recording depart(PendingWork& owner);
  /// The user's, per run.
  using Lines = std::vector<Ref<SourceLine>>;
  /// Runs what is_complete(), as execute() does. `done` and `lines` get what it held; `done` is the
  /// whole recording if it fails.
  void run(Recording& done, Lines& lines, PendingWork& owner, OnFailure on_failure);
  /// Where it is_complete() and the storage of `slot` has its final contents, somebody may read
  /// that although the last regions are still to run: if they are short, a worker is left to run
  /// them, while other runs are noted. They are the tail, there is one at most; its storages are
  /// marked as running, but for the one of `slot`. False, and nothing happens, where that cannot
  /// be.
  bool leave_tail(int32_t slot, PendingWork& owner);
  bool has_tail() const { return has_tail_.load(std::memory_order_acquire); }
  /// True if all of it has run.
  bool is_tail_over() const { return has_tail() && tail_.early->is_over(); }
  /// Ends it, as run() does.
  void end_tail(Recording& done, Lines& lines);
  /// `recording`, which has no lines any more, has run and may come again; `ready` is its program,
  /// or none if it ran in parts. It becomes one that is forgotten, for its arrays.
  void remember(Recording& recording, ReadyProgram ready);

 private:
  struct Known {
    Recording recording;  ///< without storages and lines
    ReadyProgram ready;
    std::vector<int32_t> first_writes;            ///< per slot: the first run that writes it
    uint64_t epoch = 0;                           ///< of the cache that the program is from
    std::shared_ptr<const BoundProgram> plan_of;  ///< that the plan is of
    EarlyPlan plan;
    int patience = 1;             ///< it runs early once it was followed to its end so often
    int penalty = kLeastPenalty;  ///< the patience after it was left when regions had run early
  };
  static constexpr int kLeastPenalty = 4;
  static constexpr int kMostPenalty = 1024;
  bool is_next(const Known& known, const PlanRun& run, const Options* options, PendingWork& owner);
  /// What is noted of runs that follow `known`. Arrays are as a Recording has them.
  struct Noted {
    std::shared_ptr<Known> known{};
    std::vector<Ref<Storage>> storages{};
    std::vector<Scalar> numbers{};
    Lines lines{};
    std::unique_ptr<EarlyRegions> early = std::make_unique<EarlyRegions>();
  };
  void begin_running(PendingWork& owner);
  void run(Noted& noted, Recording& done, Lines& lines, OnFailure on_failure);
  void unclaim(const Storage& storage, PendingWork& owner) const;
  bool claims_as(const Recording& recording, int32_t window, const Tensor& tensor,
                 PendingWork& owner);
  bool numbers_as(const Recording& recording, const Entry& entry, const PlanRun& run,
                  const PendingWork& owner) const;
  bool claim_given(const Recording& recording, const PlanRun& run, PendingWork& owner) const;
  /// True if the run is the next one of `known`: its storages are claimed. Else none are.
  bool claims_next(const Known& known, const PlanRun& run, const Options* options,
                   PendingWork& owner);
  static Recording recording_of(const Known& known, Lines& lines);
  void begin_following(std::shared_ptr<Known> known);
  /// Regions whose runs are all noted start.
  void start_early();
  /// Of next_start_, after begin() or a start.
  void find_next_start();
  bool is_region_ready();
  /// What is noted, of which the first `done` regions have run, without their runs.
  Recording left_of(Recording recording, size_t done, PendingWork& owner) const;

  std::deque<std::shared_ptr<Known>> recent_;  // the last one first
  Noted now_;
  Noted tail_;
  std::atomic<bool> has_tail_{false};
  size_t size_ = 0;
  bool may_start_ = false;  // regions of now_.known, early
  size_t next_start_ = 0;   // of them, the next one may start when so many runs are noted
  size_t unseen_ = 0;       // so many of the runs that its program drops are no longer of use
};

}  // namespace flambeau::compiler
