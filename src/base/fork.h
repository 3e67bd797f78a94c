#pragma once
// What the library does around fork(), so that the child, which has only the thread that forked,
// finds no lock taken and no work half done by threads that it does not have.

namespace flambeau {

/// What one part does: before the fork, and after it in each process. Null for nothing.
struct ForkHandlers {
  /// Work that must not be left to the child: before all else, while other threads still run.
  void (*finish)() = nullptr;
  void (*before)() = nullptr;
  void (*in_parent)() = nullptr;
  void (*in_child)() = nullptr;
};
/// Adds handlers for the rest of the process. `before` runs in the reverse order of these calls.
void on_fork(const ForkHandlers& handlers);

/// A fork waits until no other thread is between these, before any handler runs. Inside, a thread
/// may take locks and wait for others that are inside, but not for one that is about to fork (which
/// holds Python's lock). Calls nest.
void enter_fork_shield();
void leave_fork_shield();

/// A mutex that a child never finds taken: who holds it is inside the shield. For the locks of the
/// process and of what outlives a call.
template <class Mutex>
class ForkSafe {
 public:
  void lock() {
    enter_fork_shield();
    mutex_.lock();
  }
  bool try_lock() {
    enter_fork_shield();
    const bool taken = mutex_.try_lock();
    if (!taken) leave_fork_shield();
    return taken;
  }
  void unlock() {
    mutex_.unlock();
    leave_fork_shield();
  }
  void lock_shared() {
    enter_fork_shield();
    mutex_.lock_shared();
  }
  void unlock_shared() {
    mutex_.unlock_shared();
    leave_fork_shield();
  }

 private:
  Mutex mutex_;
};

}  // namespace flambeau
