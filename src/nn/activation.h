#pragma once
// Activations as layers; the formulas are those of the functions of the same names.

#include "nn/module.h"

namespace flambeau::nn {

/// A layer that is one function of its input.
template <Tensor (*Function)(const Tensor&)>
class FunctionLayer final : public Layer {
 public:
  Tensor forward(const Tensor& input) override { return Function(input); }
};

namespace activation {
Tensor identity(const Tensor& input);
Tensor gelu(const Tensor& input);
Tensor relu(const Tensor& input);
Tensor silu(const Tensor& input);
Tensor mish(const Tensor& input);
Tensor tanh(const Tensor& input);
Tensor sigmoid(const Tensor& input);
Tensor hardswish(const Tensor& input);
}  // namespace activation

using Identity = FunctionLayer<activation::identity>;
using GELU = FunctionLayer<activation::gelu>;
using ReLU = FunctionLayer<activation::relu>;
using SiLU = FunctionLayer<activation::silu>;
using Mish = FunctionLayer<activation::mish>;
using Tanh = FunctionLayer<activation::tanh>;
using Sigmoid = FunctionLayer<activation::sigmoid>;
using Hardswish = FunctionLayer<activation::hardswish>;

class LeakyReLU final : public Layer {
 public:
  explicit LeakyReLU(double negative_slope = 0.01) : negative_slope_(negative_slope) {}
  Tensor forward(const Tensor& input) override;

 private:
  double negative_slope_;
};

class ELU final : public Layer {
 public:
  explicit ELU(double alpha = 1) : alpha_(alpha) {}
  Tensor forward(const Tensor& input) override;

 private:
  double alpha_;
};

class Softmax final : public Layer {
 public:
  explicit Softmax(int64_t dim) : dim_(dim) {}
  Tensor forward(const Tensor& input) override;

 private:
  int64_t dim_;
};

class LogSoftmax final : public Layer {
 public:
  explicit LogSoftmax(int64_t dim) : dim_(dim) {}
  Tensor forward(const Tensor& input) override;

 private:
  int64_t dim_;
};

}  // namespace flambeau::nn
