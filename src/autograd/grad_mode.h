#pragma once
// Per thread: whether calls are recorded on the tape.

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
