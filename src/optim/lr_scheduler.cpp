#include "optim/lr_scheduler.h"

#include <cmath>
#include <numbers>

#include "base/error.h"

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

nn::State LambdaLR::state_dict() const {
  using State = nn::State;
  return State::Dict{{"base_lrs", State::List{base_}},
                     {"last_epoch", steps_},
                     {"_step_count", steps_ + 1},
                     {"_get_lr_called_within_step", false},
                     {"_last_lr", State::List{optimizer_.lr}},
                     {"lr_lambdas", State::List{State()}}};
}
void LambdaLR::load_state_dict(const nn::State& state) {
  const nn::State::List& rates = state["base_lrs"].list();
  check<ValueError>(rates.size() == 1, [&] {
    return concat("LambdaLR: expected one parameter group, found ", rates.size());
  });
  const int64_t steps = state["last_epoch"].to_int();
  base_ = rates[0].to_double();
  set_steps(steps);
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
