#pragma once
// Functions with a backward of their own, in C++:
//
//   struct Cube : autograd::Function<Cube> {
//     static Tensor forward(AutogradContext* ctx, const Tensor& x) {
//       ctx->save_for_backward({x});
//       return mul(x, mul(x, x));
//     }
//     static TensorList backward(AutogradContext* ctx, const TensorList& gradients) {
//       const Tensor x = ctx->get_saved_variables()[0];
//       return {mul(gradients[0], mul(mul(x, x), 3))};
//     }
//   };
//   const Tensor y = Cube::apply(x);
//
// `forward` takes a context and any arguments, and returns a Tensor or a TensorList. It runs
// without grad mode. `backward` gets one gradient per output and returns one per argument of
// `forward`; undefined tensors stand for those that have none.

#include <any>
#include <concepts>
#include <string>
#include <type_traits>
#include <unordered_map>

#include "autograd/forward.h"
#include "autograd/function.h"
#include "autograd/grad_mode.h"

namespace flambeau::autograd {

/// What `forward` leaves for `backward`.
class AutogradContext {
 public:
  /// Inputs and outputs that backward reads; in-place writes of them are found by their versions.
  void save_for_backward(TensorList tensors) { marks_.to_save = std::move(tensors); }
  TensorList get_saved_variables() const { return node_->saved_tensors(); }
  /// Inputs that forward wrote in place; it must return them.
  void mark_dirty(TensorList inputs) { marks_.dirty = std::move(inputs); }
  void mark_non_differentiable(TensorList outputs) {
    marks_.non_differentiable = std::move(outputs);
  }
  /// Whether backward gets zeros (the default) or undefined tensors where there is no gradient.
  void set_materialize_grads(bool value) { marks_.materialize = value; }
  bool needs_input_grad(size_t argument) const { return node_->needs_input_grad(argument); }
  /// What is no tensor.
  std::unordered_map<std::string, std::any> saved_data;

 private:
  template <class>
  friend class Function;
  FunctionNode* node_ = nullptr;
  FunctionMarks marks_;
};

template <class Derived>
class Function {
 public:
  template <class... Arguments>
  static auto apply(Arguments&&... arguments) {
    const auto node = std::make_shared<FunctionOf>();
    node->context.node_ = node.get();
    const Tensor tensors[] = {tensor_of(arguments)..., Tensor()};
    const std::span<const Tensor> inputs(tensors, sizeof...(arguments));
    const bool recorded = node->begin(inputs);
    using Result =
        decltype(Derived::forward(&node->context, std::forward<Arguments>(arguments)...));
    TensorList outputs;
    {
      const GradModeGuard no_grad(false);
      const NoTangentsGuard no_tangents;
      Result result = Derived::forward(&node->context, std::forward<Arguments>(arguments)...);
      if constexpr (std::same_as<std::remove_cvref_t<Result>, Tensor>)
        outputs.push_back(std::move(result));
      else
        outputs = TensorList(result.begin(), result.end());
    }
    outputs = node->finish(inputs, std::move(outputs), node->context.marks_, recorded);
    node->context.marks_ = {};
    if constexpr (std::same_as<std::remove_cvref_t<Result>, Tensor>)
      return outputs[0];
    else
      return outputs;
  }

 private:
  Function() = default;
  friend Derived;

  class FunctionOf final : public FunctionNode {
   public:
    AutogradContext context;
    std::string name() const override { return function_name(typeid(Derived)) + "Backward"; }

   private:
    TensorList backward(const TensorList& gradients) override {
      return Derived::backward(&context, gradients);
    }
  };

  template <class Argument>
  static Tensor tensor_of(const Argument& argument) {
    if constexpr (std::same_as<Argument, Tensor>)
      return argument;
    else
      return {};
  }
};

}  // namespace flambeau::autograd
