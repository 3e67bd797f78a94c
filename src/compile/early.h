#pragma once
// Regions of a known program that run on a worker while what comes behind them is recorded again
// (architecture, section 8: overlap).

#include <atomic>
#include <string_view>
#include <vector>

#include "compile/execute.h"
#include "runtime/thread_pool.h"

namespace flambeau::compiler {

/// When the first regions of a program may run although the recording goes on, and may yet take
/// another way: as soon as it is certain that nobody will ask for a value that they do without.
struct EarlyPlan {
  struct Start {
    size_t runs = 0;                   ///< so many of the recording are there
    SmallVector<int32_t, 4> unseen{};  ///< nobody sees these slots
    int64_t cost = 0;                  ///< of the region, in nanoseconds
    size_t given = 0;                  ///< addresses of parameters and results before it
  };
  std::vector<Start> starts;      ///< per region, as far as they may start early and are worth it
  size_t given = 0;               ///< addresses of parameters and results of these
  std::vector<size_t> last_uses;  ///< per slot: the regions up to the last one that touches it
  /// Entries that the program drops, ascending. Nobody sees what those write that are recorded when
  /// a region starts: they may have read what is gone then.
  std::vector<size_t> dropped;
};
EarlyPlan early_plan_of(const Recording& recording, const Program& program,
                        const BoundProgram& bound);

/// On a worker; where they start, on the thread itself; not before somebody asks for what they
/// write; or not at all.
enum class EarlyWay : uint8_t { Worker, Here, Late, Never };
/// "worker", "here", "late" or "never"; ValueError for another name.
EarlyWay early_way_of(std::string_view name);
/// FLAMBEAU_EARLY at first.
EarlyWay early_way();
void set_early_way(EarlyWay way);  ///< for tests: while nothing is recorded
/// Whether there is somebody to run regions early.
bool may_run_early();

/// The first regions of a program, which run in order on a worker of the pool while their owner
/// goes on.
class EarlyRegions final : private BesideWork {
 public:
  /// What they are of must live until finish(). The storages and numbers that a region needs need
  /// not be there before it starts, nor are the storages used afterwards. None runs before
  /// `before`, if there is one, is over.
  void begin(const Recording& recording, const Program& program, const BoundProgram& bound,
             const EarlyPlan& plan, const Frame& frame, const EarlyRegions* before = nullptr);
  /// One more may run. False, and it does not, if it has no memory, or would take too much, or
  /// touches what is computed again at times.
  bool start();
  size_t started() const { return started_.load(std::memory_order_relaxed); }
  /// What these have written is there.
  size_t done() const { return done_.load(std::memory_order_acquire); }
  /// No more will start. False if nobody is at those that have not run; `needed` have.
  bool close(size_t needed);
  /// No worker is at it afterwards. Those that have not begun run now if `all`. How many have
  /// happened: where one fails, it and those behind it have not.
  size_t finish(bool all) noexcept;
  /// What those took that started since begin() or forget_taken(), or failed to.
  std::span<const Frame::Taken> taken() const { return taken_; }
  void forget_taken();
  /// Nothing of what they are of will run any more: all has, or its owner has said so.
  bool is_over() const { return over_.load(std::memory_order_acquire); }
  void set_over() { over_.store(true, std::memory_order_release); }

 private:
  void run_beside() noexcept override;
  bool run_next() noexcept;
  /// Of a region.
  std::span<void*> given(size_t region);

  const Recording* recording_ = nullptr;
  const Program* program_ = nullptr;
  const BoundProgram* bound_ = nullptr;
  const EarlyPlan* plan_ = nullptr;
  Frame frame_{};
  // The thread that owns the storages asks for their memory: what lies beside that is written
  // often. The worker reads these side by side, and writes none.
  std::vector<void*> given_;         ///< of those that have started
  std::vector<Frame::Taken> taken_;  ///< memory for results, by those that have started
  size_t taken_bytes_ = 0;
  const EarlyRegions* before_ = nullptr;  ///< for whoever runs regions
  // Apart: what the owner writes, what the worker does, and what either does rarely.
  alignas(64) std::atomic<size_t> started_{0};
  std::atomic<bool> stop_{false};
  std::atomic<bool> closed_{false};
  alignas(64) std::atomic<size_t> done_{0};
  alignas(64) std::atomic<bool> failed_{false};
  std::atomic<bool> over_{false};
  std::atomic<bool> away_{false};  ///< offered to the pool, or run by it
};

}  // namespace flambeau::compiler
