#pragma once
// The node of a call or of a program: its backward is a program too.

#include "autograd/saved_tensor.h"
#include "base/function_ref.h"
#include "eager/dispatch.h"

namespace flambeau {

class ProgramNode final : public Node {
 public:
  /// `name` lives for ever (lasting_name).
  explicit ProgramNode(const std::string& name) : name_(name) {}
  TensorList apply(const TensorList& gradients) override;
  Tensor apply_onto(const TensorList& gradients, const Tensor& sum, bool in_place) override;
  std::string name() const override { return name_; }
  bool takes_batches() const override { return true; }
  void release() override;
  /// Gives up the memory of saved tensor number `index` if nothing else holds it (and it can be
  /// computed again). False if it may be tried again later.
  bool give_up_memory(size_t index);

  std::shared_ptr<const void> owner;  ///< keeps `derivative` and `integers` alive
  const Derivative* derivative = nullptr;
  /// Per source, cotangents' entries being empty; none where all are cotangents.
  SavedTensors saved;
  SmallVector<Scalar, 2> numbers;
  std::span<const int64_t> integers;

 private:
  const std::shared_ptr<const Executable>& backward() const;
  /// The backward's parameters; which of them have the axis of a batch of gradients.
  void gather(const TensorList& gradients, SmallVector<Tensor, 6>& parameters,
              SmallVector<bool, 8>& batched);

  const std::string& name_;
  std::mutex mutex_;  // guards `saved` once the node is on the tape
};

/// The same text, kept for ever.
const std::string& lasting_name(std::string name);

/// run(), recorded on the tape if grad mode is on and a parameter requires grad. `name` is asked
/// for where that is so.
Results run_recorded(const std::shared_ptr<const Executable>& program,
                     std::span<const Tensor> parameters, std::span<const Scalar> numbers,
                     std::span<const int64_t> integers, FunctionRef<std::string()> name);

/// The same for a program of gradients: the parameters that `batched` names have the batch's axis
/// in front where there is a gradient_batch(), and then so do all results.
Results run_on_gradients(const std::shared_ptr<const Executable>& program,
                         std::span<const Tensor> parameters, std::span<const bool> batched,
                         std::span<const Scalar> numbers, std::span<const int64_t> integers,
                         FunctionRef<std::string()> name);

/// `gradient` in the sizes and dtype of `present`, which an earlier backward of the same tensor may
/// have left in others: broadcast and converted as `present += gradient` would be, or RuntimeError.
Tensor as_addend(const Tensor& gradient, const Tensor& present);
/// Elementwise sum of two tensors of one type; recorded in grad mode.
Tensor add_gradients(const Tensor& a, const Tensor& b);
/// The same written to `place`, which is `a` or `b` and nobody else's; not recorded.
void sum_gradients(const Tensor& a, const Tensor& b, const Tensor& place);
/// a += b, not recorded; counts as a write of `a`.
void add_in_place(const Tensor& a, const Tensor& b);
/// Zeros (or ones) of a type.
Tensor filled(const Ints& sizes, DType dtype, double value);
/// A row-major copy that shares nothing; not recorded.
Tensor clone_data(const Tensor& tensor);
/// The same with these strides.
Tensor clone_data(const Tensor& tensor, const Ints& strides);

/// How a view is made from the tensor before it in its chain.
struct ViewStep {
  std::shared_ptr<const CallPlan> plan;       ///< of the call that made the view
  std::shared_ptr<const Executable> forward;  ///< of the base, with the integers of the backward
  const Derivative* derivative = nullptr;
  SmallVector<Scalar, 2> numbers;
  std::span<const int64_t> backward_integers;
  TensorInfo result;
  const std::string* name = nullptr;  ///< of its node; lives for ever
};

/// What the view sees of a tensor like its base; and such a tensor with that part replaced.
/// Recorded in grad mode.
Tensor view_part(const ViewSteps& steps, Tensor base);
Tensor with_view_part(const ViewSteps& steps, const Tensor& base, const Tensor& part);

/// The edge for a view's gradient: nodes that map it to `base_edge`, one per step.
Edge chain_edge(const ViewSteps& steps, Edge base_edge);

/// `node` wrote `written` in place and gave it as its output number `output`. `self_edge` is the
/// edge of `node` for what it was before, or -1. Of a view, this becomes history of its base.
void rebase_history(const Tensor& written, const std::shared_ptr<Node>& node, int output,
                    int self_edge);

/// What happens to the base's gradient when a view of it was written in place by a call whose node
/// is `written`: the region is taken out, handed to `written`, and its gradient put in its place.
class CopySlices final : public Node {
 public:
  CopySlices(std::shared_ptr<const ViewSteps> steps, std::shared_ptr<Node> written, int self_edge);
  TensorList apply(const TensorList& gradients) override;
  std::string name() const override { return "torch::autograd::CopySlices"; }
  bool takes_batches() const override { return written_->takes_batches(); }
  void release() override { written_->release(); }

 private:
  std::shared_ptr<const ViewSteps> steps_;
  std::shared_ptr<Node> written_;
  int self_edge_;  // which edge of `written` is the view itself; -1: none
};

}  // namespace flambeau
