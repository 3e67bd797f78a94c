#pragma once
// Optimisers: each step is one fused update over all parameters, the Python package's operation.

#include <map>
#include <string>

#include "tensor/tensor.h"

namespace flambeau::optim {

class Optimizer {
 public:
  /// ValueError for an empty list.
  Optimizer(TensorList parameters, double lr);
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Updates every parameter that has a gradient.
  virtual void step() = 0;
  /// Forgets the gradients.
  void zero_grad() const;
  /// The state as tensors, "3.exp_avg" for parameter 3, and back. RuntimeError for names and
  /// shapes that do not fit; the learning rate is not part of it.
  virtual std::map<std::string, Tensor> state_dict() const = 0;
  virtual void load_state_dict(const std::map<std::string, Tensor>& state) = 0;

  const TensorList& parameters() const { return parameters_; }
  double lr;

 protected:
  /// The positions of the parameters that have a gradient, and the gradients.
  struct Updated {
    std::vector<size_t> positions;
    TensorList parameters;
    TensorList gradients;
  };
  Updated updated() const;
  /// state[name] as a tensor of parameter `position`'s shape, copied; undefined if there is none.
  Tensor loaded(const std::map<std::string, Tensor>& state, size_t position,
                const char* name) const;

 private:
  TensorList parameters_;
};

struct SGDOptions {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
};

/// Stochastic gradient descent, PyTorch's formulas.
class SGD final : public Optimizer {
 public:
  SGD(TensorList parameters, const SGDOptions& options);
  void step() override;
  std::map<std::string, Tensor> state_dict() const override;
  void load_state_dict(const std::map<std::string, Tensor>& state) override;

 private:
  void update(const Updated& some, const TensorList& buffers, bool first) const;
  SGDOptions options_;
  TensorList buffers_;  // undefined until the parameter's first step
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
};

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019), PyTorch's formulas.
class AdamW final : public Optimizer {
 public:
  AdamW(TensorList parameters, const AdamWOptions& options);
  void step() override;
  std::map<std::string, Tensor> state_dict() const override;
  void load_state_dict(const std::map<std::string, Tensor>& state) override;

 private:
  struct State {
    Tensor exp_avg;
    Tensor exp_avg_sq;
    double steps = 0;
  };
  AdamWOptions options_;
  std::vector<State> states_;
};

}  // namespace flambeau::optim
