#include "optim/lr_scheduler.h"

#include <cmath>
#include <numbers>

namespace flambeau::optim {

LambdaLR::LambdaLR(Optimizer& optimizer, std::function<double(int64_t)> factor)
    : optimizer_(optimizer), factor_(std::move(factor)), base_(optimizer.lr) {
  set_steps(0);
}

void LambdaLR::step() { set_steps(steps_ + 1); }

void LambdaLR::set_steps(int64_t steps) {
  steps_ = steps;
  optimizer_.lr = base_ * factor_(steps);
}

CosineAnnealingLR::CosineAnnealingLR(Optimizer& optimizer, int64_t period, double low)
    : optimizer_(optimizer), period_(period), low_(low), base_(optimizer.lr) {}

void CosineAnnealingLR::step() {
  constexpr double kPi = std::numbers::pi;
  const auto t = static_cast<double>(++steps_);
  const auto period = static_cast<double>(period_);
  if ((steps_ - 1 - period_) % (2 * period_) == 0) {
    optimizer_.lr += (base_ - low_) * (1 - std::cos(kPi / period)) / 2;
    return;
  }
  const double ratio = (1 + std::cos(kPi * t / period)) / (1 + std::cos(kPi * (t - 1) / period));
  optimizer_.lr = ratio * (optimizer_.lr - low_) + low_;
}

}  // namespace flambeau::optim
