#pragma once
// Optimisers: each step is one fused update over all parameters, the Python package's operation.

#include "nn/state.h"

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
  /// The state of each parameter under its number and the options as a parameter group, as the
  /// Python package's optimisers have it: {"state": {0: {...}}, "param_groups": [{...}]}.
  nn::State state_dict() const;
  /// Takes what state_dict() gave, in C++ or in Python: state, options and learning rate.
  /// ValueError for what does not fit, before anything is changed.
  void load_state_dict(const nn::State& state);

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
  /// A copy of state[name] for parameter `position`. ValueError if it is missing or has another
  /// shape or dtype.
  Tensor loaded(const nn::State& state, size_t position, const char* name) const;

  /// The state of parameter `position`; nothing before its first step.
  virtual nn::State parameter_state(size_t position) const = 0;
  /// The options but the learning rate and the parameters, with Python's names.
  virtual nn::State::Dict options() const = 0;
  /// Takes over the states of all parameters (nothing for those without) and the options.
  virtual void load(const std::vector<nn::State>& states, const nn::State& options) = 0;

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

 protected:
  nn::State parameter_state(size_t position) const override;
  nn::State::Dict options() const override;
  void load(const std::vector<nn::State>& states, const nn::State& options) override;

 private:
  void update(const Updated& some, const TensorList& buffers, bool first) const;
  SGDOptions options_;
  TensorList buffers_;  // undefined until the parameter's first step
};

struct AdamOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;
};

/// Adam (Kingma & Ba 2015), PyTorch's formulas; the weight decay is added to the gradient.
class Adam : public Optimizer {
 public:
  Adam(TensorList parameters, const AdamOptions& options)
      : Adam(std::move(parameters), options, false) {}
  void step() override;

 protected:
  Adam(TensorList parameters, const AdamOptions& options, bool decoupled);
  nn::State parameter_state(size_t position) const override;
  nn::State::Dict options() const override;
  void load(const std::vector<nn::State>& states, const nn::State& options) override;

 private:
  struct Moments {
    Tensor exp_avg;
    Tensor exp_avg_sq;
    Tensor step;  // a 0-dim float32: steps that were made
  };
  AdamOptions options_;
  bool decoupled_;
  std::vector<Moments> states_;
};

struct AdamWOptions {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;
};

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
class AdamW final : public Adam {
 public:
  AdamW(TensorList parameters, const AdamWOptions& o)
      : Adam(std::move(parameters), {o.lr, o.beta1, o.beta2, o.eps, o.weight_decay}, true) {}
};

}  // namespace flambeau::optim
