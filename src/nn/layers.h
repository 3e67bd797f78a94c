#pragma once
// The layers that networks are made of. Each draws its initial values when it is made.

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
  explicit LayerNorm(Ints shape, double eps = 1e-5);
  explicit LayerNorm(int64_t width, double eps = 1e-5) : LayerNorm(Ints{width}, eps) {}
  Tensor forward(const Tensor& input) override;
  Tensor weight;
  Tensor bias;

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

class GELU final : public Layer {
 public:
  Tensor forward(const Tensor& input) override;
};
class ReLU final : public Layer {
 public:
  Tensor forward(const Tensor& input) override;
};

/// One layer after the other, named "0", "1", ...
class Sequential final : public Layer {
 public:
  explicit Sequential(std::vector<std::shared_ptr<Layer>> layers);
  Tensor forward(const Tensor& input) override;

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
};

/// Children named "0", "1", ...
template <class Child>
class ModuleList final : public Module {
 public:
  void push_back(std::shared_ptr<Child> child) {
    items_.push_back(register_module(std::to_string(items_.size()), std::move(child)));
  }
  size_t size() const { return items_.size(); }
  Child& operator[](size_t i) const { return *items_[i]; }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<std::shared_ptr<Child>> items_;
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
