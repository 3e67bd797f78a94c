#pragma once
// Learning-rate schedules. Each sets the optimiser's rate when it is made and at every step().

#include <functional>

#include "optim/optimizer.h"

namespace flambeau::optim {

/// The initial rate times factor(number of steps so far).
class LambdaLR {
 public:
  LambdaLR(Optimizer& optimizer, std::function<double(int64_t)> factor);
  void step();
  int64_t steps() const { return steps_; }
  /// As if `steps` steps had been made.
  void set_steps(int64_t steps);
  /// What the Python package's LambdaLR holds; the factor is not part of it.
  nn::State state_dict() const;
  void load_state_dict(const nn::State& state);

 private:
  Optimizer& optimizer_;
  std::function<double(int64_t)> factor_;
  double base_;
  int64_t steps_ = 0;
};

/// low + (initial - low) * (1 + cos(pi * t / period)) / 2, by PyTorch's recurrence (Loshchilov &
/// Hutter 2017).
class CosineAnnealingLR {
 public:
  CosineAnnealingLR(Optimizer& optimizer, int64_t period, double low = 0);
  void step();
  int64_t steps() const { return steps_; }

 private:
  Optimizer& optimizer_;
  int64_t period_;
  double low_;
  double base_;
  int64_t steps_ = 0;
};

}  // namespace flambeau::optim
