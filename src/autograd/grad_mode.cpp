#include "autograd/grad_mode.h"

#include <atomic>

namespace flambeau {
namespace {

// Read by every call: plain words in the thread's static block.
thread_local constinit bool grad_mode = true;
thread_local constinit bool inference_mode = false;
std::atomic<bool> anomaly_mode = false;
std::atomic<bool> anomaly_nan = true;

}  // namespace

AnomalyReports anomaly_reports;

bool grad_enabled() { return grad_mode; }
void set_grad_enabled(bool enabled) { grad_mode = enabled; }
bool inference_mode_enabled() { return inference_mode; }
void set_inference_mode(bool enabled) { inference_mode = enabled; }
bool anomaly_enabled() { return anomaly_mode; }
bool anomaly_checks_nan() { return anomaly_nan; }
void set_anomaly_enabled(bool enabled, bool check_nan) {
  anomaly_mode = enabled;
  anomaly_nan = check_nan;
}

}  // namespace flambeau
