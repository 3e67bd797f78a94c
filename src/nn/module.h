#pragma once
// Module: the base class of networks. Names, order and initial values are those of the Python
// package, so that both read each other's checkpoints and give the same losses.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace flambeau::nn {

using NamedTensors = std::map<std::string, Tensor>;

/// Derive from it, register parameters and children in the constructor, and give it a function
/// `forward`. Modules are held by shared_ptr; a child lives as long as its parent.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// The parameters of this module and its children, in order of registration, with names like
  /// "blocks.0.mlp.weight".
  std::vector<std::pair<std::string, Tensor>> named_parameters() const;
  TensorList parameters() const;
  std::vector<std::pair<std::string, Tensor>> named_buffers() const;
  const std::vector<std::pair<std::string, std::shared_ptr<Module>>>& named_children() const {
    return children_;
  }

  /// Training or evaluation mode, for this module and all below (Dropout differs).
  void train(bool on = true);
  void eval() { train(false); }
  bool is_training() const { return training_; }
  /// Forgets the gradients of all parameters.
  void zero_grad() const;

  /// Parameters and buffers by name; they share memory with the module.
  NamedTensors state_dict() const;
  /// Copies values into parameters and buffers. RuntimeError, before anything is copied, that lists
  /// missing and unexpected names and shapes that differ.
  void load_state_dict(const NamedTensors& state) const;

 protected:
  /// Registers a tensor that is trained; gives it back.
  Tensor register_parameter(const std::string& name, Tensor tensor);
  Tensor register_buffer(const std::string& name, Tensor tensor);
  /// Registers a child; gives it back.
  template <class Child>
  std::shared_ptr<Child> register_module(const std::string& name, std::shared_ptr<Child> child) {
    check_name(name);
    children_.emplace_back(name, child);
    return child;
  }
  /// Makes a child from its constructor's arguments and registers it.
  template <class Child, class... Args>
  std::shared_ptr<Child> add(const std::string& name, Args&&... args) {
    return register_module(name, std::make_shared<Child>(std::forward<Args>(args)...));
  }

 private:
  using Named = std::vector<std::pair<std::string, Tensor>>;
  void check_name(const std::string& name) const;
  void collect(const std::string& prefix, Named Module::* member, Named& result) const;

  Named parameters_;
  Named buffers_;
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> children_;
  bool training_ = true;
};

/// A module of one tensor in, one tensor out.
class Layer : public Module {
 public:
  virtual Tensor forward(const Tensor& input) = 0;
  Tensor operator()(const Tensor& input) { return forward(input); }
};

/// Computes the gradients of `loss`, a tensor of one element, and adds them to the leaves' grads.
void backward(const Tensor& loss);

}  // namespace flambeau::nn
