#pragma once
// The layers that networks are made of. Each draws its initial values when it is made.

#include <optional>

#include "nn/activation.h"
#include "nn/containers.h"
#include "nn/module.h"

namespace flambeau::nn {

/// y = x @ weight.T + bias; weight is [out, in].
class Linear final : public Layer {
 public:
  Linear(int64_t in_features, int64_t out_features, bool bias = true);
  Tensor forward(const Tensor& input) override;
  Tensor weight;
  Tensor bias;  ///< undefined without
};

/// Rows of `weight` [count, width] by index.
class Embedding final : public Layer {
 public:
  Embedding(int64_t count, int64_t width);
  Tensor forward(const Tensor& input) override;
  Tensor weight;
};

/// (x - mean) / sqrt(var + eps) * weight + bias over the last axes (Ba et al. 2016).
class LayerNorm final : public Layer {
 public:
  explicit LayerNorm(Ints shape, double eps = 1e-5, bool bias = true);
  explicit LayerNorm(int64_t width, double eps = 1e-5, bool bias = true)
      : LayerNorm(Ints{width}, eps, bias) {}
  Tensor forward(const Tensor& input) override;
  Tensor weight;
  Tensor bias;  ///< undefined without

 private:
  Ints shape_;
  double eps_;
};

/// In training, zeroes elements with probability p and scales the others by 1 / (1 - p).
class Dropout final : public Layer {
 public:
  /// ValueError unless 0 <= p <= 1.
  explicit Dropout(double p = 0.5);
  Tensor forward(const Tensor& input) override;

 private:
  double p_;
};

/// x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang & Sennrich 2019); eps is the
/// dtype's epsilon unless given.
class RMSNorm final : public Layer {
 public:
  explicit RMSNorm(int64_t width, std::optional<double> eps = std::nullopt);
  Tensor forward(const Tensor& input) override;
  Tensor weight;

 private:
  int64_t width_;
  std::optional<double> eps_;
};

/// Merges the axes from `first` to `last`.
class Flatten final : public Layer {
 public:
  explicit Flatten(int64_t first = 1, int64_t last = -1) : first_(first), last_(last) {}
  Tensor forward(const Tensor& input) override;

 private:
  int64_t first_;
  int64_t last_;
};

/// Multi-head attention in which position t sees positions up to t; [batch, time, width] in and
/// out. One Linear makes queries, keys and values.
class CausalSelfAttention final : public Layer {
 public:
  /// ValueError if width is no multiple of heads.
  CausalSelfAttention(int64_t width, int64_t heads, double dropout = 0);
  Tensor forward(const Tensor& input) override;

 private:
  int64_t heads_;
  double dropout_;
  std::shared_ptr<Linear> qkv_;
  std::shared_ptr<Linear> out_;
};

}  // namespace flambeau::nn
