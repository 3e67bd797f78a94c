#pragma once
// Regions of a known program that run on a worker while what comes behind them is recorded again
// (architecture, section 8: overlap).

#include <atomic>
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
  };
  std::vector<Start> starts;  ///< per region, as far as they may start early and are worth it
  /// Entries that the program drops, ascending. Nobody sees what those write that are recorded when
  /// a region starts: they may have read what is gone then.
  std::vector<size_t> dropped;
};
EarlyPlan early_plan_of(const Recording& recording, const Program& program,
                        const BoundProgram& bound);

/// FLAMBEAU_EARLY. ValueError for another value.
enum class EarlyWay : uint8_t { Worker, Here, Never };
EarlyWay early_way();

/// The first regions of a program, which run in order on a worker of the pool while their owner
/// goes on.
class EarlyRegions final : private BesideWork {
 public:
  /// What they are of must live until finish(). The storages and numbers that a region needs need
  /// not be there before it starts.
  void begin(const Recording& recording, const Program& program, const BoundProgram& bound,
             const Frame& frame);
  /// One more may run.
  void start(int64_t cost);
  size_t started() const { return started_.load(std::memory_order_relaxed); }
  /// No worker is at it afterwards. Those that have not begun run now if `all`. How many have
  /// happened: where one fails, it and those behind it have not.
  size_t finish(bool all) noexcept;

 private:
  void run_beside() noexcept override;
  bool run_next() noexcept;

  const Recording* recording_ = nullptr;
  const Program* program_ = nullptr;
  const BoundProgram* bound_ = nullptr;
  Frame frame_{};
  // Apart: what the owner writes, and what the worker does.
  alignas(64) std::atomic<size_t> started_{0};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<size_t> done_{0};
  std::atomic<bool> failed_{false};
  std::atomic<bool> away_{false};  ///< offered to the pool, or run by it
};

}  // namespace flambeau::compiler
