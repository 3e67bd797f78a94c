#pragma once
// Losses, with PyTorch's options and formulas. Each is called with input and target.

#include <string>

#include "tensor/tensor.h"

namespace flambeau::nn {

/// -log softmax(input)[target]; target holds classes, or probabilities of classes.
struct CrossEntropyLoss {
  Tensor weight = {};  ///< of each class; undefined: 1
  int64_t ignore_index = -100;
  std::string reduction = "mean";  ///< "none", "mean" or "sum"
  double label_smoothing = 0;
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};
/// -input[target] for log probabilities.
struct NLLLoss {
  Tensor weight = {};
  int64_t ignore_index = -100;
  std::string reduction = "mean";
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};
/// (input - target)^2.
struct MSELoss {
  std::string reduction = "mean";
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};
/// |input - target|.
struct L1Loss {
  std::string reduction = "mean";
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};
/// Half the square of differences below `delta`, linear above.
struct HuberLoss {
  std::string reduction = "mean";
  double delta = 1;
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};
/// HuberLoss divided by `beta`.
struct SmoothL1Loss {
  std::string reduction = "mean";
  double beta = 1;
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};
/// -(target log(input) + (1 - target) log(1 - input)).
struct BCELoss {
  Tensor weight = {};
  std::string reduction = "mean";
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};
/// BCELoss of sigmoid(input), computed without overflow.
struct BCEWithLogitsLoss {
  Tensor weight = {};
  std::string reduction = "mean";
  Tensor pos_weight = {};
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};
/// target * (log(target) - input) for log probabilities `input`.
struct KLDivLoss {
  std::string reduction = "mean";
  bool log_target = false;
  Tensor operator()(const Tensor& input, const Tensor& target) const;
};

}  // namespace flambeau::nn
