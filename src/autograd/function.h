#pragma once
// Functions whose backward the user writes: what torch.autograd.Function and autograd::Function
// (function_template.h) are made of.

#include <span>
#include <typeinfo>

#include "autograd/saved_tensor.h"

namespace flambeau {

/// What a forward says of tensors.
struct FunctionMarks {
  TensorList to_save;             ///< kept for the backward; undefined ones stay undefined
  TensorList dirty;               ///< inputs that it wrote in place
  TensorList non_differentiable;  ///< outputs without gradient
  bool materialize = true;        ///< backward gets zeros where there is no gradient
};

/// The node of such a function.
class FunctionNode : public Node {
 public:
  TensorList apply(const TensorList& gradients) final;
  void release() override;

  /// Before the forward runs. `arguments` has an undefined tensor for each that is no tensor.
  /// Returns whether the call is recorded: the forward runs without grad mode in any case.
  bool begin(std::span<const Tensor> arguments);
  /// After it ran: turns what it returned (undefined: no tensor) into what the caller gets, with
  /// this node as history if the call is recorded. RuntimeError where the marks contradict it.
  TensorList finish(std::span<const Tensor> arguments, TensorList outputs,
                    const FunctionMarks& marks, bool recorded);
  /// What was kept, with histories; RuntimeError if it was released or written.
  TensorList saved_tensors();
  /// Whether argument `i` is a tensor that requires a gradient.
  bool needs_input_grad(size_t i) const { return i < needs_.size() && needs_[i]; }
  size_t argument_count() const { return needs_.size(); }
  SavedTensors& saved() { return saved_; }

 protected:
  /// One gradient per argument of the forward, from one per output; on both sides undefined where
  /// there is none.
  virtual TensorList backward(const TensorList& gradients) = 0;
  /// The tangent of each output, from those of the arguments (undefined: none).
  virtual TensorList jvp(const TensorList& tangents);
  /// Told of a mark_dirty of something that is no input: harmless, but surely not meant.
  virtual void warn(const char* /*text*/) {}

 private:
  void add_outputs(const TensorList& outputs);
  Tensor finish_output(const Tensor& output, int number, bool is_input, bool is_dirty,
                       bool differentiable, size_t output_count, std::span<const Tensor> arguments);

  SavedTensors saved_;
  std::mutex mutex_;                     // guards saved_
  std::vector<bool> is_tensor_, needs_;  // per argument
  std::vector<bool> is_tensor_output_;
  bool materialize_ = true;
  TensorList tangents_;  // of the arguments, if any has one, until forward has run
};

/// The unqualified name of a class.
std::string function_name(const std::type_info& type);

}  // namespace flambeau
