#include "autograd/recompute.h"

#include <algorithm>
#include <vector>

#include "autograd/forward.h"
#include "eager/recipe.h"
#include "eager/run_at_once.h"
#include "lower/plan.h"

namespace flambeau {
namespace {

/// Smaller values are not worth the time.
constexpr size_t kMinBytes = size_t{1} << 20;
/// Inputs that the node does not save may be kept for this part of the result.
constexpr size_t kKeptPart = 16;
/// Cost of an element, in primitives, above which a kernel is not cheap.
constexpr int kMaxCost = 50;
/// Saved values that are looked at again; older ones keep their memory.
constexpr size_t kCandidates = 16;

/// A call without its tape.
class RepeatedCall final : public Recomputation {
 public:
  RepeatedCall(const PreparedCall& prepared, const Executable& program)
      : plan_(prepared.plan), program_(program), numbers_(prepared.numbers) {
    for (const Tensor& input : prepared.inputs) {
      inputs_.push_back(input.window(input.info(), input->offset));
      sources_.push_back(input->storage.get());
    }
  }

  Ref<Storage> compute() const override {
    const RunAtOnce now;
    Tensor result = Tensor::empty_strided(plan_->results[0].sizes, plan_->results[0].strides,
                                          plan_->results[0].dtype);
    run(program_, {inputs_.data(), inputs_.size()}, {numbers_.data(), numbers_.size()},
        {plan_->integers.data(), plan_->integers.size()}, {&result, 1});
    return result->storage;
  }
  std::span<const Storage* const> sources() const override {
    return {sources_.data(), sources_.size()};
  }

 private:
  std::shared_ptr<const CallPlan> plan_;  // keeps the program alive
  const Executable& program_;
  SmallVector<Scalar, 2> numbers_;
  SmallVector<Tensor, 4> inputs_;  // without their histories
  SmallVector<const Storage*, 4> sources_;
};

bool is_cheap(const Executable& program) {
  const lower::Plan& plan = plan_of(program);
  if (plan.steps.size() != 1) return false;
  const auto* step = std::get_if<lower::KernelStep>(&plan.steps[0]);
  return step != nullptr && step->kernel->cost <= kMaxCost;
}

/// Bytes that only a recomputation of the call would keep.
size_t bytes_kept(const PreparedCall& prepared, const ProgramNode& node) {
  size_t bytes = 0;
  for (size_t i = 0; i < prepared.inputs.size(); ++i) {
    const Derivative::Source source{Derivative::Source::Kind::Input, static_cast<int>(i)};
    const auto& sources = node.derivative->sources;
    const bool saved = std::find(sources.begin(), sources.end(), source) != sources.end();
    if (!saved) bytes += prepared.inputs[i]->storage->bytes();
  }
  return bytes;
}

/// What this thread's nodes have saved lately.
struct Candidates {
  struct Entry {
    std::weak_ptr<ProgramNode> node;
    size_t index = 0;
  };
  std::vector<Entry> entries = std::vector<Entry>(kCandidates);
  size_t next = 0;

  void review() {
    for (Entry& entry : entries) {
      const std::shared_ptr<ProgramNode> node = entry.node.lock();
      if (node == nullptr || node->give_up_memory(entry.index)) entry = {};
    }
  }
};
thread_local Candidates candidates;

}  // namespace

void note_recomputation(const PreparedCall& prepared, const ProgramNode& node,
                        const Results& results) {
  if (results.size() != 1 || results[0]->storage->bytes() < kMinBytes) return;
  if (!prepared.outputs.empty() || prepared.op->kernel != nullptr || run_sink() != nullptr ||
      !saved_tensor_hooks().empty() || carries_tangents())
    return;
  const auto& recipe = static_cast<const CallRecipe&>(*prepared.plan->recipe);
  const size_t bytes = results[0]->storage->bytes();
  if (!is_cheap(*recipe.forward()) || bytes_kept(prepared, node) > bytes / kKeptPart) return;
  results[0]->storage->set_recomputation(
      std::make_shared<const RepeatedCall>(prepared, *recipe.forward()));
}

void note_saved(const std::shared_ptr<ProgramNode>& node) {
  for (size_t i = 0; i < node->saved.size(); ++i) {
    if (!node->saved[i].is_derived()) continue;
    candidates.review();
    candidates.entries[candidates.next++ % kCandidates] = {node, i};
  }
}

}  // namespace flambeau
