#include "autograd/engine.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <queue>
#include <unordered_map>
#include <unordered_set>

#include "autograd/forward.h"
#include "autograd/grad_mode.h"
#include "autograd/program_node.h"
#include "base/error.h"
#include "eager/copy.h"
#include "prim/build.h"
#include "tensor/element.h"

namespace flambeau {
namespace {

/// The sizes of a gradient without the batch's axis.
Ints member_sizes(const Tensor& gradient) {
  const size_t skipped = gradient_batch() < 0 ? 0 : 1;
  return {gradient.sizes().begin() + skipped, gradient.sizes().end()};
}

/// `gradient` summed over the axes along which `sizes` was stretched, in `dtype`.
Tensor fit(const Tensor& gradient, const OutputInfo& wanted, FunctionRef<std::string()> name) {
  const Ints sizes = member_sizes(gradient);
  if (sizes == wanted.sizes && gradient.dtype() == wanted.dtype) return gradient;
  const size_t rank = sizes.size();
  bool fits = rank >= wanted.sizes.size();
  const size_t extra = fits ? rank - wanted.sizes.size() : 0;
  for (size_t axis = 0; fits && axis < wanted.sizes.size(); ++axis)
    fits = wanted.sizes[axis] == sizes[extra + axis] || wanted.sizes[axis] == 1;
  check(fits, [&] {
    return concat(name(), ": returned an invalid gradient - got ", list_text(sizes),
                  " but expected shape compatible with ", list_text(wanted.sizes));
  });
  ir::Builder builder;
  ir::Shape shape;
  Ints leading;
  Ints stretched;
  for (size_t axis = 0; axis < rank; ++axis) {
    shape.push_back(ir::Dim(sizes[axis]));
    if (axis < extra)
      leading.push_back(static_cast<int64_t>(axis));
    else if (wanted.sizes[axis - extra] == 1 && sizes[axis] != 1)
      stretched.push_back(static_cast<int64_t>(axis - extra));
  }
  ir::Expr value = builder.parameter(gradient.dtype(), shape);
  value = prim::convert(value, compute_dtype(gradient.dtype()));
  if (!leading.empty()) value = prim::sum(value, {leading.data(), leading.size()}, false);
  if (!stretched.empty()) value = prim::sum(value, {stretched.data(), stretched.size()}, true);
  value = prim::convert(value, wanted.dtype);
  constexpr bool kBatched = true;
  return run_on_gradients(make_executable(builder.finish({&value, 1})), {&gradient, 1},
                          {&kBatched, 1}, {}, {},
                          [] { return std::string("SumToSizeBackward0"); })[0];
}

bool has_nan(const Tensor& tensor) {
  if (!is_inexact(tensor.dtype())) return false;
  const Tensor dense = row_major(tensor);
  const auto* bytes = static_cast<const char*>(dense.data_ptr());
  for (int64_t i = 0; i < dense.numel(); ++i) {
    const Scalar value =
        load_element(bytes + i * static_cast<int64_t>(size_of(dense.dtype())), dense.dtype());
    if (std::isnan(value.to_double()) || std::isnan(value.imag())) return true;
  }
  return false;
}

/// True if sums of gradients are values of their own.
bool recorded_on_tape() { return grad_enabled() || carries_tangents() || gradient_batch() >= 0; }

/// True if the gradient and its memory are the engine's alone, so that a sum may be written there.
bool is_nobody_elses(const Tensor& gradient) {
  return gradient.impl()->use_count() == 1 && gradient.impl()->wrapper() == nullptr &&
         gradient->storage->owners() == 1 && gradient->storage->wrapper() == nullptr &&
         !gradient->storage->is_exported() && !gradient->storage->read_only() &&
         gradient.is_contiguous();
}

/// Numbers of nodes in the order in which they are met.
class NodeNumbers {
 public:
  NodeNumbers() : slots_(kFewest) {}

  /// The node's number; -1 if it was not met.
  int find(const Node* node) const { return slots_[place_of(node)].number; }
  /// The node's number, and whether this is the first time.
  std::pair<int, bool> meet(const Node* node) {
    Slot& slot = slots_[place_of(node)];
    if (slot.node != nullptr) return {slot.number, false};
    slot = {node, count_};
    if (2 * static_cast<size_t>(++count_) > slots_.size()) grow();
    return {count_ - 1, true};
  }

 private:
  struct Slot {
    const Node* node = nullptr;
    int number = -1;
  };
  static constexpr size_t kFewest = 64;

  /// Where the node is, or would be. At least half of the slots are free.
  size_t place_of(const Node* node) const {
    constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;
    const auto key = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(node));
    size_t place = (key * kGolden >> 32) & (slots_.size() - 1);
    while (slots_[place].node != nullptr && slots_[place].node != node)
      place = (place + 1) & (slots_.size() - 1);
    return place;
  }
  void grow() {
    SmallVector<Slot, kFewest> before(2 * slots_.size());
    std::swap(before, slots_);
    for (const Slot& slot : before)
      if (slot.node != nullptr) slots_[place_of(slot.node)] = slot;
  }

  SmallVector<Slot, kFewest> slots_;  // a power of two
  int count_ = 0;
};

class Engine;
/// What runs on this thread, innermost.
thread_local constinit Engine* running = nullptr;
std::atomic<int64_t> next_task{0};

class Engine {
 public:
  explicit Engine(const BackwardOptions& options)
      : options_(options), id_(next_task++), outer_(running) {
    constexpr size_t kFew = 32;  // a small model has no more
    tasks_.reserve(kFew);
    targets_.reserve(2 * kFew);
    running = this;
  }
  ~Engine() { running = outer_; }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  TensorList run(std::span<const Tensor> roots, std::span<const Tensor> gradients) {
    if (options_.batched) find_batch(roots, gradients);
    for (size_t i = 0; i < options_.inputs.size(); ++i) add_input(i);
    std::vector<std::pair<Edge, Tensor>> starts;
    for (size_t i = 0; i < roots.size(); ++i) {
      const Edge edge = requires_grad(roots[i]) ? gradient_edge(roots[i]) : Edge{};
      check(edge.node != nullptr, [&] {
        return concat("backward: element ", i,
                      " of tensors does not require grad and does not have a grad_fn");
      });
      starts.emplace_back(edge,
                          root_gradient(roots[i], i < gradients.size() ? gradients[i] : Tensor()));
    }
    for (const auto& [edge, gradient] : starts) discover(edge.node);
    for (const auto& [edge, gradient] : starts)
      deliver(task(numbers_.find(edge.node.get())), edge, gradient);
    // A root that no other root leads to is ready at once.
    for (const auto& [edge, gradient] : starts) {
      const int number = numbers_.find(edge.node.get());
      if (task(number).waiting == 0) push(number, edge.node);
    }
    while (!ready_.empty()) {
      const Ready next = ready_.top();
      ready_.pop();
      current_ = next.node;
      step(task(next.number), *next.node);
      current_ = nullptr;
    }
    // NOLINTNEXTLINE(modernize-loop-convert): callbacks may queue more
    for (size_t i = 0; i < callbacks_.size(); ++i) {
      const std::function<void()> callback = std::move(callbacks_[i]);
      callback();
    }
    return results();
  }

  int64_t id() const { return id_; }
  int64_t batch() const { return batch_; }
  bool runs_all() const { return options_.inputs.empty(); }
  const std::shared_ptr<Node>& current() const { return current_; }
  void queue(std::function<void()> callback) { callbacks_.push_back(std::move(callback)); }
  bool executes(const Node& node) const {
    const int number = numbers_.find(&node);
    return number >= 0 && (tasks_[static_cast<size_t>(number)].runs || captures_.contains(&node));
  }

 private:
  /// What is to be done with a node.
  struct Task {
    size_t targets;      ///< where the tasks at its edges begin among targets_
    int waiting = 0;     ///< edges into this node that have not delivered
    bool needed = true;  ///< leads to a wanted input, or is one, or everything is wanted
    bool runs = true;    ///< needed for more than its own gradient
    bool queued = false;
    TensorList buffer{};
  };
  struct Capture {
    size_t input;
    int index;
  };
  struct Ready {
    int number;
    std::shared_ptr<Node> node;
    friend bool operator<(const Ready& a, const Ready& b) {
      return a.node->sequence < b.node->sequence;
    }
  };

  void find_batch(std::span<const Tensor> roots, std::span<const Tensor> gradients) {
    for (size_t i = 0; i < roots.size(); ++i) {
      const bool given = i < gradients.size() && gradients[i].defined();
      check(given && gradients[i].dim() == roots[i].dim() + 1 &&
                (batch_ < 0 || gradients[i].sizes()[0] == batch_),
            [&] {
              return concat(
                  "grad: with is_grads_batched=True each of grad_outputs needs one more axis in "
                  "front, of the same extent; output ",
                  i, " has shape ", list_text(roots[i].sizes()), " and its gradient ",
                  given ? list_text(gradients[i].sizes()) : "None");
            });
      batch_ = gradients[i].sizes()[0];
    }
  }

  Tensor root_gradient(const Tensor& root, Tensor gradient) {
    if (!gradient.defined()) {
      check(root.numel() == 1, [] {
        return std::string("backward: grad can be implicitly created only for scalar outputs");
      });
      check(!is_complex(root.dtype()), [&] {
        return concat(
            "backward: grad can be implicitly created only for real scalar outputs but got ",
            info(root.dtype()).name);
      });
      return filled(root.sizes(), root.dtype(), 1);
    }
    check(member_sizes(gradient) == root.sizes(), [&] {
      return concat("backward: mismatch in shape: the gradient has shape ",
                    list_text(member_sizes(gradient)), " and the output has shape ",
                    list_text(root.sizes()));
    });
    return fit(gradient, {root.sizes(), root.dtype()}, [] { return std::string("backward"); });
  }

  /// What is computed for input `i`: its gradient, or that it is added to the tensor's `grad`.
  void add_input(size_t i) {
    const Tensor& input = options_.inputs[i];
    check(requires_grad(input), [&] {
      return std::string(options_.accumulate
                             ? "backward: one of the inputs does not require grad"
                             : "grad: one of the differentiated Tensors does not require grad");
    });
    const Edge edge = gradient_edge(input);
    captured_.resize(options_.inputs.size());
    if (edge.node == nullptr) return;
    keep_.push_back(edge.node);
    if (options_.accumulate) {
      wanted_.insert(edge.node.get());
      retain_grad(input);
    } else {
      captures_[edge.node.get()].push_back({i, edge.index});
    }
  }

  Task& task(int number) { return tasks_[static_cast<size_t>(number)]; }
  /// Of an edge that leads to a node.
  Task& target(const Task& from, size_t edge) { return task(targets_[from.targets + edge]); }

  /// The task of the node, and whether this is the first time that it is met.
  std::pair<int, bool> meet(const Node& node) {
    const auto met = numbers_.meet(&node);
    if (met.second) {
      tasks_.push_back({.targets = targets_.size()});
      targets_.resize(targets_.size() + node.edges.size(), -1);
    }
    return met;
  }

  /// Counts the edges into every node that can be reached, and finds which nodes are needed.
  void discover(const std::shared_ptr<Node>& root) {
    struct Visit {
      const Node* node;
      int number;
      size_t next = 0;
    };
    std::vector<Visit> stack;
    const auto enter = [&](const Node& node) {
      const auto [number, is_new] = meet(node);
      if (is_new) stack.push_back({&node, number});
      return number;
    };
    enter(*root);
    while (!stack.empty()) {
      const auto [node, number, next] = stack.back();
      if (next == node->edges.size()) {
        Task& done = task(number);
        done.runs = options_.inputs.empty() || wanted_.contains(node);
        for (size_t i = 0; i < node->edges.size(); ++i)
          if (node->edges[i].node != nullptr) done.runs |= target(done, i).needed;
        done.needed = done.runs || captures_.contains(node);
        stack.pop_back();
        continue;
      }
      ++stack.back().next;
      if (node->edges[next].node == nullptr) continue;
      const int child = enter(*node->edges[next].node);
      targets_[task(number).targets + next] = child;
      ++task(child).waiting;
    }
  }

  void push(int number, const std::shared_ptr<Node>& node) {
    if (std::exchange(task(number).queued, true)) return;
    ready_.push({number, node});
  }

  void deliver(Task& to, const Edge& edge, const Tensor& gradient) {
    to.buffer.resize(std::max(edge.node->outputs.size(), static_cast<size_t>(edge.index) + 1));
    if (!gradient.defined()) return;
    Tensor& slot = to.buffer[static_cast<size_t>(edge.index)];
    if (!slot.defined()) {
      slot = gradient;
      return;
    }
    const RunLabel label("accumulated gradient");
    const bool into_slot = is_nobody_elses(slot);
    if (recorded_on_tape() || !(into_slot || is_nobody_elses(gradient))) {
      slot = add_gradients(slot, gradient);
      return;
    }
    const Tensor place = into_slot ? slot : gradient;
    sum_gradients(slot, gradient, place);
    slot = place;
  }

  void run_tensor_hooks(Node& node, TensorList& buffer) {
    const auto apply = [&](const GradHook& hook, size_t output) {
      if (output >= buffer.size() || !buffer[output].defined()) return;
      const Tensor replaced = each_member({buffer[output]}, [&](const TensorList& gradients) {
        const Tensor result = hook(gradients[0]);
        return TensorList{result.defined() || batch_ < 0 ? result : gradients[0]};
      })[0];
      if (replaced.defined()) buffer[output] = replaced;
    };
    for (const auto& [output, hook] : node.tensor_hooks.snapshot())
      apply(hook, static_cast<size_t>(output));
    for (const auto& [output, hook] : node.retain_hooks.snapshot())
      apply(hook, static_cast<size_t>(output));
    if (auto* leaf = dynamic_cast<AccumulateGrad*>(&node))
      for (const GradHook& hook : autograd_meta(leaf->variable).leaf_hooks.snapshot())
        apply(hook, 0);
  }

  void step(Task& task, Node& node) {
    TensorList buffer = std::move(task.buffer);
    buffer.resize(std::max(buffer.size(), node.outputs.size()));
    TensorList outputs;  // none if it does not run, or has added its only one already
    // As in PyTorch, a gradient that is asked for is seen by the tensor's hooks only if the node
    // runs for nothing else.
    if (task.needed && !task.runs) run_tensor_hooks(node, buffer);
    const auto captures = captures_.find(&node);
    if (captures != captures_.end())
      for (const Capture& capture : captures->second)
        captured_[capture.input] = buffer[static_cast<size_t>(capture.index)];
    if (task.runs) {
      run_tensor_hooks(node, buffer);
      for (const NodePreHook& hook : node.pre_hooks.snapshot()) {
        TensorList replaced = each_member(buffer, hook);
        if (!replaced.empty()) buffer = std::move(replaced);
      }
      if (!apply_onto(task, node, buffer)) outputs = apply(node, buffer);
    }
    for (size_t i = 0; i < node.edges.size(); ++i) {
      const Edge& edge = node.edges[i];
      if (edge.node == nullptr) continue;
      Task& next = target(task, i);
      if (next.needed) {
        Tensor gradient = i < outputs.size() ? std::move(outputs[i]) : Tensor();
        if (gradient.defined() && static_cast<size_t>(edge.index) < edge.node->outputs.size())
          gradient = fit(gradient, edge.node->outputs[static_cast<size_t>(edge.index)],
                         [&] { return node.name(); });
        deliver(next, edge, gradient);
      }
      if (--next.waiting == 0) push(targets_[task.targets + i], edge.node);
    }
  }

  /// True if the node added its only gradient to what is at its edge already, and is done.
  bool apply_onto(const Task& task, Node& node, const TensorList& buffer) {
    if (node.edges.size() != 1 || batch_ >= 0 || anomaly_enabled() ||
        !node.post_hooks.snapshot().empty())
      return false;
    const Edge& edge = node.edges[0];
    if (edge.node == nullptr) return false;
    Task& next = target(task, 0);
    const auto index = static_cast<size_t>(edge.index);
    if (!next.needed || index >= next.buffer.size() || !next.buffer[index].defined()) return false;
    Tensor& slot = next.buffer[index];
    Tensor sum = node.apply_onto(buffer, slot, !recorded_on_tape() && is_nobody_elses(slot));
    if (!sum.defined()) return false;
    slot = std::move(sum);
    if (!options_.retain_graph) node.release();
    return true;
  }

  TensorList apply(Node& node, const TensorList& buffer) {
    if (!anomaly_enabled()) return run_node(node, buffer);
    try {
      TensorList outputs = run_node(node, buffer);
      if (anomaly_checks_nan())
        for (size_t i = 0; i < outputs.size(); ++i)
          check(!outputs[i].defined() || !has_nan(outputs[i]), [&] {
            return concat("backward: function '", node.name(), "' returned nan values in its ", i,
                          "th output.");
          });
      return outputs;
    } catch (...) {
      report(node);
      throw;
    }
  }

  /// Says where the calls were made that led to an error in `node`.
  static void report(const Node& node) {
    if (!anomaly_reports.warn) return;
    std::string text = concat("Error detected in ", node.name(), ". ");
    if (node.anomaly == nullptr) {
      anomaly_reports.warn(
          concat(text,
                 "No forward pass information is available: enable detect anomaly during "
                 "the forward pass too."));
      return;
    }
    text += concat("Traceback of forward call that caused the error:\n", node.anomaly->made_at);
    for (const Node* parent = node.anomaly->parent.get(); parent != nullptr;) {
      text += concat("\nThat call was made by the backward of ", parent->name(), ". ");
      text += parent->anomaly == nullptr
                  ? std::string("No forward pass information is available for it.")
                  : concat("Traceback of its forward call:\n", parent->anomaly->made_at);
      parent = parent->anomaly == nullptr ? nullptr : parent->anomaly->parent.get();
    }
    anomaly_reports.warn(text);
  }

  /// `function` of the gradients; in a batched backward, of each member, the results stacked.
  template <class Function>
  TensorList each_member(const TensorList& gradients, const Function& function) {
    if (batch_ < 0) return function(gradients);
    check<NotImplementedError>(!grad_enabled(), [] {
      return std::string(
          "grad: is_grads_batched=True with create_graph=True is not supported where gradients "
          "pass hooks or custom functions");
    });
    const int64_t batch = std::exchange(batch_, -1);
    TensorList stacked;
    for (int64_t member = 0; member < batch; ++member) {
      TensorList one;
      for (const Tensor& gradient : gradients)
        one.push_back(gradient.defined() ? member_of(gradient, member) : Tensor());
      const TensorList results = function(one);
      stacked.resize(std::max(stacked.size(), results.size()));
      for (size_t i = 0; i < results.size(); ++i) {
        if (!results[i].defined()) continue;
        if (!stacked[i].defined()) {
          Ints sizes = results[i].sizes();
          sizes.insert(0, batch);
          stacked[i] = filled(sizes, results[i].dtype(), 0);
        }
        copy_elements(results[i], member_of(stacked[i], member));
      }
    }
    batch_ = batch;
    return stacked;
  }

  static Tensor member_of(const Tensor& batch, int64_t member) {
    return batch.alias({batch.sizes().begin() + 1, batch.sizes().end()},
                       {batch.strides().begin() + 1, batch.strides().end()},
                       batch->offset + member * batch.strides()[0]);
  }

  TensorList run_node(Node& node, const TensorList& buffer) {
    TensorList outputs = node.takes_batches()
                             ? node.apply(buffer)
                             : each_member(buffer, [&](const TensorList& gradients) {
                                 return node.apply(gradients);
                               });
    for (const NodePostHook& hook : node.post_hooks.snapshot()) {
      const size_t count = outputs.size();
      TensorList all = outputs;
      all.insert(all.end(), buffer.begin(), buffer.end());
      TensorList replaced = each_member(all, [&](const TensorList& member) {
        const auto middle = member.begin() + static_cast<std::ptrdiff_t>(count);
        return hook({member.begin(), middle}, {middle, member.end()});
      });
      if (!replaced.empty()) outputs = std::move(replaced);
    }
    check(outputs.size() >= node.edges.size(), [&] {
      return concat(node.name(), ": returned an incorrect number of gradients (expected ",
                    node.edges.size(), ", got ", outputs.size(), ")");
    });
    if (!options_.retain_graph) node.release();
    return outputs;
  }

  TensorList results() {
    if (options_.accumulate) return {};
    for (size_t i = 0; i < captured_.size(); ++i) {
      if (captured_[i].defined()) continue;
      check(options_.allow_unused || options_.materialize, [] {
        return std::string(
            "grad: one of the differentiated Tensors appears to not have been used in the graph. "
            "Set allow_unused=True if this is the desired behavior.");
      });
      if (!options_.materialize) continue;
      Ints sizes = options_.inputs[i].sizes();
      if (batch_ >= 0) sizes.insert(0, batch_);
      captured_[i] = filled(sizes, options_.inputs[i].dtype(), 0);
    }
    return captured_;
  }

  const BackwardOptions& options_;
  int64_t id_;
  int64_t batch_ = -1;
  Engine* outer_;
  std::shared_ptr<Node> current_;
  std::vector<std::function<void()>> callbacks_;
  NodeNumbers numbers_;
  std::vector<Task> tasks_;   // by number; they stay where they are once all are found
  std::vector<int> targets_;  // of edges: numbers of tasks
  std::unordered_map<const Node*, std::vector<Capture>> captures_;
  std::unordered_set<const Node*> wanted_;  // whose running is what was asked for
  std::vector<std::shared_ptr<Node>> keep_;
  std::priority_queue<Ready> ready_;
  TensorList captured_;
};

}  // namespace

TensorList run_backward(std::span<const Tensor> roots, std::span<const Tensor> gradients,
                        const BackwardOptions& options) {
  const GradModeGuard guard(options.create_graph);
  return Engine(options).run(roots, gradients);
}

int64_t gradient_batch() { return running == nullptr ? -1 : running->batch(); }

int64_t current_graph_task() { return running == nullptr ? -1 : running->id(); }

std::shared_ptr<Node> current_node() { return running == nullptr ? nullptr : running->current(); }

namespace {

Engine& running_engine(const char* function) {
  check(running != nullptr,
        [&] { return concat(function, ": this may be called only while backward runs"); });
  return *running;
}

}  // namespace

bool runs_whole_graph() { return running_engine("runs_whole_graph").runs_all(); }

bool will_execute(const Node& node) { return running_engine("will_execute").executes(node); }

void queue_callback(std::function<void()> callback) {
  running_engine("queue_callback").queue(std::move(callback));
}

}  // namespace flambeau
