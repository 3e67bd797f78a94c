#pragma once
// Per thread: whether calls are recorded on the tape. Anomaly mode is for all threads.

#include <functional>
#include <string>

namespace flambeau {

bool grad_enabled();
void set_grad_enabled(bool enabled);

/// In inference mode nothing is recorded and new tensors are inference tensors, which can never
/// take part in a recording.
bool inference_mode_enabled();
void set_inference_mode(bool enabled);

/// Whether calls keep where they were made, and backward checks for NaN.
bool anomaly_enabled();
bool anomaly_checks_nan();
void set_anomaly_enabled(bool enabled, bool check_nan = true);

/// How anomaly mode knows the user's lines, and tells of an error in backward. A front end sets
/// them before any thread runs; both may be empty.
struct AnomalyReports {
  std::function<std::string()> where;            ///< the lines that are running on this thread
  std::function<void(const std::string&)> warn;  ///< an error is about to be thrown
};
extern AnomalyReports anomaly_reports;

/// Sets grad mode for a scope.
class GradModeGuard {
 public:
  explicit GradModeGuard(bool enabled) : previous_(grad_enabled()) { set_grad_enabled(enabled); }
  ~GradModeGuard() { set_grad_enabled(previous_); }
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool previous_;
};

}  // namespace flambeau
