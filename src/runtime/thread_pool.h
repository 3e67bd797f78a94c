#pragma once
// The pool of threads on which CPU kernels run. There is one; it starts at its first use.
//
// Workers are pinned to distinct cores, spin for a short while after their last work and then
// sleep. Launching a spinning pool takes well under a microsecond; a sleeping worker takes long to
// come (about a millisecond in a virtual machine), so small work does not wake one.

#include <cstdint>

#include "base/function_ref.h"

namespace flambeau {

/// Cost of work whose length is not known: enough to wake every worker.
inline constexpr int64_t kUnknownCost = INT64_MAX;

/// Calls body(chunk, worker) once for every chunk in [0, chunks), on the caller and on workers, and
/// returns when all are done. Each thread begins with a share of consecutive chunks, the same in
/// every call of as many chunks, so that calls over the same memory find it in the cache of the
/// core that they run on; a thread that is done with its share takes chunks from the others'
/// shares. `worker` is in [0, get_num_threads()), differs among the threads that serve one call,
/// and is 0 for the caller. `cost_ns` is an estimate of the whole work on one thread, in
/// nanoseconds.
///
/// A call from inside a chunk, or while another thread uses the pool, runs on the caller alone. An
/// exception thrown by `body` cancels the chunks that have not begun and is rethrown here (the
/// first one, if there are several). A child of fork() gets a pool of its own.
void parallel_for(int64_t chunks, FunctionRef<void(int64_t chunk, int worker)> body,
                  int64_t cost_ns = kUnknownCost);

/// Threads that parallel_for may use, the caller included. At first the value of
/// FLAMBEAU_NUM_THREADS, else the cores that the process may use.
int get_num_threads();

/// Changes it, waiting for work in progress. Throws RuntimeError for a count outside [1, 512] and
/// RuntimeError inside parallel work.
void set_num_threads(int count);

/// True while the calling thread runs a chunk of parallel_for, or work beside its owner's.
bool in_parallel_region();

/// Work that a worker does while its owner's thread goes on.
class BesideWork {
 public:
  /// On a worker. Afterwards the pool does not touch the object.
  virtual void run_beside() noexcept = 0;

 protected:
  ~BesideWork() = default;
};
/// Offers the work to a worker that is awake; one that sleeps is woken once much work, by
/// `cost_ns`, was offered in vain. True if it will run, unless it is withdrawn before it begins.
/// One at a time is on offer. Inside of it parallel_for runs on the worker alone.
bool offer_beside(BesideWork& work, int64_t cost_ns);
/// True if the work was on offer: it does not begin any more.
bool withdraw_beside(BesideWork& work);

}  // namespace flambeau
