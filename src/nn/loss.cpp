#include "nn/loss.h"

#include "flambeau/functions.h"

namespace flambeau::nn {

Tensor CrossEntropyLoss::operator()(const Tensor& input, const Tensor& target) const {
  return cross_entropy(input, target, weight, std::nullopt, ignore_index, std::nullopt, reduction,
                       label_smoothing);
}
Tensor NLLLoss::operator()(const Tensor& input, const Tensor& target) const {
  return nll_loss(input, target, weight, std::nullopt, ignore_index, std::nullopt, reduction);
}
Tensor MSELoss::operator()(const Tensor& input, const Tensor& target) const {
  return mse_loss(input, target, std::nullopt, std::nullopt, reduction);
}
Tensor L1Loss::operator()(const Tensor& input, const Tensor& target) const {
  return l1_loss(input, target, std::nullopt, std::nullopt, reduction);
}
Tensor HuberLoss::operator()(const Tensor& input, const Tensor& target) const {
  return huber_loss(input, target, reduction, delta);
}
Tensor SmoothL1Loss::operator()(const Tensor& input, const Tensor& target) const {
  return smooth_l1_loss(input, target, std::nullopt, std::nullopt, reduction, beta);
}
Tensor BCELoss::operator()(const Tensor& input, const Tensor& target) const {
  return binary_cross_entropy(input, target, weight, std::nullopt, std::nullopt, reduction);
}
Tensor BCEWithLogitsLoss::operator()(const Tensor& input, const Tensor& target) const {
  return binary_cross_entropy_with_logits(input, target, weight, std::nullopt, std::nullopt,
                                          reduction, pos_weight);
}
Tensor KLDivLoss::operator()(const Tensor& input, const Tensor& target) const {
  return kl_div(input, target, std::nullopt, std::nullopt, reduction, log_target);
}

}  // namespace flambeau::nn
