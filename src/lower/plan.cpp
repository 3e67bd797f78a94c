#include "lower/plan.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "lower/fuse_epilogues.h"
#include "lower/materialised.h"
#include "lower/overwrite.h"
#include "lower/row_axis.h"
#include "lower/structural.h"
#include "lower/template_builder.h"
#include "lower/window.h"
#include "prim/vjp.h"

namespace flambeau::lower {
namespace {

using ir::Node;
using ir::NodeId;
using ir::PrimitiveClass;
using ir::Program;
using ir::Shape;

/// Reductions that share a kernel: each is a pass of its own, and its code takes time to compile.
constexpr size_t kMostReductions = 4;

/// The loops of a kernel that computes a node, and the node's position in them.
struct RootSpace {
  Space space;
  SmallVector<AxisIndex, 5> axes;
  bool full = false;
};

/// A kernel under construction: roots that share its loops.
struct Group {
  RootSpace root;
  std::vector<std::pair<NodeId, int>> roots;  // node, value
  size_t step;
};

class Planner {
 public:
  explicit Planner(const Program& program) : program_(program), materialised_(program) {}

  Plan run() {
    // Every attempt that fails names one more node to materialise, so this ends.
    while (!attempt()) {
    }
    finish();
    return std::move(plan_);
  }

 private:
  static size_t index(NodeId id) { return static_cast<size_t>(id); }
  const Node& node(NodeId id) const { return program_.nodes[index(id)]; }

  bool attempt() {
    plan_ = {};
    groups_.clear();
    value_of_.assign(program_.nodes.size(), -1);
    producer_.clear();
    for (size_t i = 0; i < program_.nodes.size(); ++i)
      if (materialised_.contains(static_cast<NodeId>(i)) && !plan_node(static_cast<NodeId>(i)))
        return false;
    return true;
  }

  /// Asks for `id` to be materialised; the attempt is over.
  bool refuse(NodeId id) {
    require(!materialised_.contains(id), "lower: planning does not converge");
    materialised_.add(id);
    return false;
  }

  int new_value(NodeId id) {
    const Node& n = node(id);
    const int value = static_cast<int>(plan_.values.size());
    plan_.values.push_back({n.type.dtype, n.type.shape, -1, -1, -1});
    producer_.push_back(plan_.steps.size());
    value_of_[index(id)] = value;
    return value;
  }

  bool plan_node(NodeId id) {
    const Node& n = node(id);
    if (n.primitive == rows().parameter) {
      const int value = new_value(id);
      plan_.values[static_cast<size_t>(value)].parameter = n.attributes.index;
      return true;
    }
    if (materialised_.is_transposed_product(id)) return plan_contract(id);
    switch (n.primitive->cls) {
      case PrimitiveClass::Contract:
        return is_contraction(program_, n) ? plan_contract(id) : plan_kernel(id);
      case PrimitiveClass::Scatter:
        return plan_scatter(id);
      case PrimitiveClass::Concatenate:
        return plan_concatenate(id);
      case PrimitiveClass::View:
      case PrimitiveClass::Gather:
      case PrimitiveClass::Reshape:
        return plan_alias(id);
      case PrimitiveClass::BlockScan:
        return plan_block_scan(id);
      default:
        return plan_kernel(id);
    }
  }

  WindowFinder window_finder() const { return {program_, value_of_}; }

  bool plan_alias(NodeId id) {
    const Node& n = node(id);
    value_of_[index(id)] = -1;
    if (n.primitive->cls == PrimitiveClass::Reshape) {
      const NodeId operand = n.arguments[0];
      if (value_of_[index(operand)] < 0) return refuse(operand);
      AliasStep step;
      step.value = value_of_[index(operand)];
      step.reshape = true;
      step.result = new_value(id);
      plan_.values[static_cast<size_t>(step.result)].alias_of = step.value;
      plan_.steps.emplace_back(std::move(step));
      return true;
    }
    // Loops are axes here, those of extent 1 included, so that every stride has a meaning.
    SmallVector<AxisIndex, 5> axes;
    for (size_t a = 0; a < n.type.shape.size(); ++a)
      axes.push_back(AxisIndex::loop(static_cast<int>(a)));
    const std::optional<WindowFinder::Window> window = window_finder().window_of(id, axes, false);
    if (!window) return plan_kernel(id);
    AliasStep step;
    step.value = value_of_[index(window->source)];
    step.axes = window->axes;
    step.result = new_value(id);
    plan_.values[static_cast<size_t>(step.result)].alias_of = step.value;
    plan_.steps.emplace_back(std::move(step));
    return true;
  }

  bool plan_contract(NodeId id) {
    const Shape& shape = node(id).type.shape;
    const bool transposed = materialised_.is_transposed_product(id);
    const Node& product = transposed ? node(node(id).arguments[0]) : node(id);
    const size_t batch = shape.size() - 2;
    const auto row = AxisIndex::loop(static_cast<int>(batch));
    const auto column = AxisIndex::loop(static_cast<int>(batch) + 1);
    const auto k = AxisIndex::loop(static_cast<int>(batch) + 2);
    SmallVector<AxisIndex, 5> a_axes;
    SmallVector<AxisIndex, 5> b_axes;
    for (size_t i = 0; i < batch; ++i) {
      a_axes.push_back(AxisIndex::loop(static_cast<int>(i)));
      b_axes.push_back(AxisIndex::loop(static_cast<int>(i)));
    }
    a_axes.push_back(transposed ? column : row);
    a_axes.push_back(k);
    b_axes.push_back(k);
    b_axes.push_back(transposed ? row : column);
    NodeId missing = -1;
    const auto operand = [&](NodeId argument, const SmallVector<AxisIndex, 5>& axes) {
      missing = argument;
      const std::optional<WindowFinder::Window> window =
          window_finder().window_of(argument, axes, true);
      return window
                 ? window
                 : window_finder().patches_of(argument, axes, static_cast<int>(batch) + 3, missing);
    };
    const std::optional<WindowFinder::Window> a = operand(product.arguments[0], a_axes);
    if (!a) return refuse(missing);
    const std::optional<WindowFinder::Window> b = operand(product.arguments[1], b_axes);
    if (!b) return refuse(missing);
    ContractStep step;
    step.a = {value_of_[index(a->source)], a->axes, a->digits};
    step.b = {value_of_[index(b->source)], b->axes, b->digits};
    if (transposed) std::swap(step.a, step.b);
    step.batch_rank = static_cast<int>(batch);
    for (size_t i = 0; i < batch; ++i) step.batch.push_back(shape[i]);
    step.m = shape[batch];
    step.n = shape[batch + 1];
    step.k = node(product.arguments[0]).type.shape[batch + 1];
    step.of_bfloat16 = product.attributes.index == 1;
    step.result = new_value(id);
    plan_.steps.emplace_back(std::move(step));
    return true;
  }

  /// True if `other` is a result of the scan that gives `node`.
  static bool is_same_scan(const Node& node, const Node& other) {
    if (other.primitive != node.primitive || !(other.arguments == node.arguments)) return false;
    ir::Attributes attributes = other.attributes;
    attributes.index = node.attributes.index;
    return attributes == node.attributes;
  }

  /// One step for all results of a scan; outputs that nothing reads are not computed.
  bool plan_block_scan(NodeId id) {
    if (value_of_[index(id)] >= 0) return true;  // with a sibling
    const Node& n = node(id);
    for (const NodeId operand : n.arguments) {
      // What a view is of comes first, so that the view is an alias and no copy.
      NodeId source = operand;
      while (value_of_[index(source)] < 0 && node(source).primitive->cls == PrimitiveClass::View)
        source = node(source).arguments[0];
      if (value_of_[index(source)] < 0) return refuse(source);
      if (value_of_[index(operand)] < 0) return refuse(operand);
    }
    ScanStep step;
    step.form = ir::BlockScan::decode(n.attributes.axes);
    std::vector<NodeId> nodes(step.form.result_count(), -1);
    for (size_t i = index(id); i < program_.nodes.size(); ++i)
      if (materialised_.contains(static_cast<NodeId>(i)) && is_same_scan(n, program_.nodes[i]))
        nodes[static_cast<size_t>(program_.nodes[i].attributes.index)] = static_cast<NodeId>(i);

    const Program& body = *n.attributes.body;
    ir::Builder builder(body);
    std::vector<ir::Expr> kept;
    SmallVector<ir::Type, 8> types;
    for (const NodeId operand : n.arguments) {
      step.operands.push_back(value_of_[index(operand)]);
      types.push_back(node(operand).type);
    }
    const ir::BlockScan whole = step.form;
    step.form.outputs.clear();
    SmallVector<int, 8> row_axes;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const bool carried = i < static_cast<size_t>(whole.carries);
      if (!carried && nodes[i] < 0) continue;
      if (!carried) step.form.outputs.push_back(whole.result(i));
      row_axes.push_back(whole.result(i).rows);
      kept.push_back(builder.expr(body.results[i]));
      if (nodes[i] >= 0) {
        step.results.push_back(new_value(nodes[i]));
      } else {
        const ir::Type type = ir::infer_block_scan(whole, body, types, static_cast<int>(i));
        step.results.push_back(static_cast<int>(plan_.values.size()));
        plan_.values.push_back({type.dtype, type.shape, -1, -1, -1});
        producer_.push_back(plan_.steps.size());
      }
    }
    Program pruned = builder.finish(kept);
    SmallVector<int, 8> operand_rows;
    for (const ir::BlockScan::Axes& axes : whole.operands) operand_rows.push_back(axes.rows);
    step.by_rows = keeps_rows_apart(pruned, {operand_rows.data(), operand_rows.size()},
                                    {row_axes.data(), row_axes.size()});
    const auto batched = std::make_unique<bool[]>(n.arguments.size());
    std::fill_n(batched.get(), n.arguments.size(), true);
    for (int axis = 0; axis < whole.batch; ++axis)
      pruned = prim::batch(pruned, {batched.get(), n.arguments.size()});
    step.body = std::make_shared<const Program>(std::move(pruned));
    plan_.steps.emplace_back(std::move(step));
    return true;
  }

  /// One kernel that stores `part` into `value` at `target`, a function of the part's position.
  template <class Target>
  bool store_part(NodeId part, int value, const Target& target) {
    const RootSpace root = pointwise_space(part);
    TemplateBuilder builder(program_, value_of_, root.space);
    if (!builder.store_root(part, value, false, root.axes, target(root.axes)))
      return refuse(builder.offender());
    plan_.steps.emplace_back(KernelStep{std::make_shared<const KernelTemplate>(builder.finish())});
    return true;
  }

  /// Two parts of one element each along the axis (those of complex numbers, stacks): one kernel
  /// stores both, so that what they share is read and computed once.
  bool is_pair(const Node& concatenate) const {
    const auto axis = static_cast<size_t>(concatenate.attributes.axes[0]);
    return concatenate.arguments.size() == 2 &&
           std::all_of(concatenate.arguments.begin(), concatenate.arguments.end(),
                       [&](NodeId part) { return node(part).type.shape[axis].is_one(); });
  }

  bool plan_pair(const Node& n, int value) {
    const auto axis = static_cast<size_t>(n.attributes.axes[0]);
    const RootSpace root = pointwise_space(n.arguments[0]);
    TemplateBuilder builder(program_, value_of_, root.space);
    SmallVector<AxisIndex, 5> target = root.axes;
    for (size_t which = 0; which < 2; ++which) {
      target[axis].offset = Dim(static_cast<int64_t>(which));
      if (!builder.store_root(n.arguments[which], value, false, root.axes, target))
        return refuse(builder.offender());
    }
    plan_.steps.emplace_back(KernelStep{std::make_shared<const KernelTemplate>(builder.finish())});
    return true;
  }

  bool plan_concatenate(NodeId id) {
    const Node& n = node(id);
    const auto axis = static_cast<size_t>(n.attributes.axes[0]);
    const int value = new_value(id);
    if (is_pair(n)) return plan_pair(n, value);
    Dim start = 0;
    for (const NodeId part : n.arguments) {
      const Dim& length = node(part).type.shape[axis];
      const bool stored = store_part(part, value, [&](SmallVector<AxisIndex, 5> axes) {
        axes[axis].offset = axes[axis].offset + start;
        return axes;
      });
      if (!stored) return false;
      start = start + length;
    }
    return true;
  }

  bool plan_scatter(NodeId id) {
    const Node& n = node(id);
    const int value = new_value(id);
    const bool is_copy = value_of_[index(n.arguments[0])] >= 0;
    if (!store_part(n.arguments[0], value, [](const SmallVector<AxisIndex, 5>& a) { return a; }))
      return false;
    std::get<KernelStep>(plan_.steps.back()).is_copy = is_copy;
    const ScatterSpace scatter = scatter_space(program_, id);
    TemplateBuilder builder(program_, value_of_, scatter.space);
    if (!builder.store_scatter(id, value, scatter.axes)) return refuse(builder.offender());
    plan_.steps.emplace_back(KernelStep{std::make_shared<const KernelTemplate>(builder.finish())});
    return true;
  }

  RootSpace pointwise_space(NodeId id) const {
    const Shape& shape = node(id).type.shape;
    return {{extents_of(shape), {}}, loops_of(shape), false};
  }

  /// Where a walk from a root met a reduction or scan.
  struct Found {
    NodeId node;
    SmallVector<AxisIndex, 5> axes;
  };
  std::optional<Found> find_ordered(NodeId id, const IndexEnv& env, std::vector<bool>& seen) const {
    if (value_of_[index(id)] >= 0 || seen[index(id)]) return std::nullopt;
    seen[index(id)] = true;
    const Node& n = node(id);
    if (n.primitive->cls == PrimitiveClass::Reduce || n.primitive->cls == PrimitiveClass::Scan)
      return Found{id, env.axes};
    if (n.primitive->cls == PrimitiveClass::Elementwise) {
      for (const NodeId argument : n.arguments)
        if (std::optional<Found> found = find_ordered(argument, env, seen)) return found;
    } else if (const std::optional<IndexEnv> inner = operand_env(program_, n, env)) {
      return find_ordered(n.arguments[0], *inner, seen);
    }
    return std::nullopt;
  }

  SmallVector<Dim, 3> reduced_extents(NodeId reduce) const {
    const Node& n = node(reduce);
    SmallVector<Dim, 3> extents;
    for (const int64_t axis : n.attributes.axes) {
      const Dim& extent = node(n.arguments[0]).type.shape[static_cast<size_t>(axis)];
      if (!extent.is_one()) extents.push_back(extent);
    }
    if (extents.empty()) extents.push_back(Dim(1));
    return extents;
  }

  /// The loops for a root over the elements of a scan, in the order of the scan; nullopt after
  /// refusing the scan.
  std::optional<RootSpace> scan_space(const RootSpace& root, const Found& found) {
    const Node& scan = node(found.node);
    const int scanned = found.axes[static_cast<size_t>(scan.attributes.axes[0])].as_loop();
    int next = 0;
    for (const AxisIndex& axis : found.axes)
      if (!axis.is_zero() && axis.as_loop() == next) ++next;
    if (scanned < 0 || next != static_cast<int>(root.space.kept.size())) {
      refuse(found.node);
      return std::nullopt;
    }
    RootSpace full;
    full.full = true;
    for (int loop = 0; loop < next; ++loop)
      if (loop != scanned) full.space.kept.push_back(root.space.kept[static_cast<size_t>(loop)]);
    full.space.reduced.push_back(root.space.kept[static_cast<size_t>(scanned)]);
    for (const AxisIndex& axis : root.axes) {
      const int loop = axis.as_loop();
      full.axes.push_back(loop < 0          ? AxisIndex{}
                          : loop == scanned ? scan_position(scan, next - 1)
                                            : AxisIndex::loop(loop < scanned ? loop : loop - 1));
    }
    return full;
  }

  /// The loops for a kernel with root `id`; nullopt after refusing a node.
  std::optional<RootSpace> space_of(NodeId id) {
    RootSpace root = pointwise_space(id);
    if (node(id).primitive->cls == PrimitiveClass::Reduce) {
      root.space.reduced = reduced_extents(id);
      return root;
    }
    std::vector<bool> seen(program_.nodes.size(), false);
    const std::optional<Found> found = find_ordered(id, {root.axes, -1}, seen);
    if (!found) return root;
    if (node(found->node).primitive->cls == PrimitiveClass::Scan) return scan_space(root, *found);
    std::vector<int> kept;
    for (size_t i = 0; i < found->axes.size(); ++i) {
      const AxisIndex& axis = found->axes[i];
      if (axis.is_zero()) continue;
      if (axis.as_loop() < 0 || (!kept.empty() && axis.as_loop() <= kept.back())) {
        refuse(found->node);
        return std::nullopt;
      }
      kept.push_back(axis.as_loop());
    }
    const size_t loops = root.space.kept.size();
    const SmallVector<Dim, 3> reduced = reduced_extents(found->node);
    if (kept.size() == loops) {
      root.space.reduced = reduced;
      return root;
    }
    // Renumber: loops of the reduction's result first, the others are its reduced loops.
    RootSpace full;
    full.full = true;
    std::vector<int> renumbered(loops, -1);
    for (size_t i = 0; i < kept.size(); ++i) {
      renumbered[static_cast<size_t>(kept[i])] = static_cast<int>(i);
      full.space.kept.push_back(root.space.kept[static_cast<size_t>(kept[i])]);
    }
    for (size_t i = 0; i < loops; ++i) {
      if (renumbered[i] >= 0) continue;
      renumbered[i] = static_cast<int>(kept.size() + full.space.reduced.size());
      full.space.reduced.push_back(root.space.kept[i]);
    }
    // A reduction to one number is worth a parallel kernel of its own.
    if (kept.empty() || !(full.space.reduced == reduced)) {
      refuse(found->node);
      return std::nullopt;
    }
    for (const AxisIndex& axis : root.axes) {
      const int loop = axis.as_loop();
      full.axes.push_back(loop < 0 ? AxisIndex{}
                                   : AxisIndex::loop(renumbered[static_cast<size_t>(loop)]));
    }
    return full;
  }

  /// The template of `group`; nullopt leaves `offender` set.
  std::optional<KernelTemplate> build(const Group& group, NodeId& offender) {
    std::vector<int> values = value_of_;
    for (const auto& [root, value] : group.roots) values[index(root)] = -1;
    TemplateBuilder builder(program_, values, group.root.space);
    for (const auto& [root, value] : group.roots) {
      const SmallVector<AxisIndex, 5> axes =
          group.root.full ? group.root.axes : loops_of(node(root).type.shape);
      if (!builder.store_root(root, value, group.root.full, axes, axes)) {
        offender = builder.offender();
        return std::nullopt;
      }
    }
    return builder.finish();
  }

  /// The first concatenation in the kernel of a pointwise root all of which a loop of the kernel
  /// walks over, and that loop.
  std::optional<std::pair<NodeId, int>> find_parts(NodeId id, const IndexEnv& env,
                                                   std::vector<bool>& seen) const {
    if (value_of_[index(id)] >= 0 || seen[index(id)]) return std::nullopt;
    seen[index(id)] = true;
    const Node& n = node(id);
    if (n.primitive->cls == PrimitiveClass::Concatenate) {
      const int loop = env.axes[static_cast<size_t>(n.attributes.axes[0])].as_loop();
      if (loop >= 0) return std::pair(id, loop);
    } else if (n.primitive->cls == PrimitiveClass::Elementwise) {
      for (const NodeId argument : n.arguments)
        if (const auto found = find_parts(argument, env, seen)) return found;
    } else if (n.primitive == rows().broadcast || n.primitive == rows().permute ||
               n.primitive->cls == PrimitiveClass::Reshape) {
      if (const std::optional<IndexEnv> inner = operand_env(program_, n, env))
        return find_parts(n.arguments[0], *inner, seen);
    }
    return std::nullopt;
  }

  /// A kernel for each part of a concatenation, instead of one that chooses at each element.
  bool plan_parts(NodeId id, const RootSpace& root, NodeId concatenate, int loop, int value) {
    const Node& parts = node(concatenate);
    const auto axis = static_cast<size_t>(parts.attributes.axes[0]);
    Dim start = 0;
    for (const NodeId part : parts.arguments) {
      const Dim& length = node(part).type.shape[axis];
      Space space = root.space;
      space.kept[static_cast<size_t>(loop)] = length;
      SmallVector<AxisIndex, 5> axes = root.axes;
      for (AxisIndex& a : axes)
        if (a.as_loop() == loop) a.offset = start;
      std::vector<int> values = value_of_;
      values[index(id)] = -1;
      TemplateBuilder builder(program_, values, std::move(space));
      if (!builder.store_root(id, value, false, axes, axes)) return refuse(builder.offender());
      plan_.steps.emplace_back(
          KernelStep{std::make_shared<const KernelTemplate>(builder.finish())});
      start = start + length;
    }
    return true;
  }

  bool plan_kernel(NodeId id) {
    const std::optional<RootSpace> root = space_of(id);
    if (!root) return false;
    if (!root->full && root->space.reduced.empty()) {
      std::vector<bool> seen(program_.nodes.size(), false);
      if (const auto parts = find_parts(id, {root->axes, -1}, seen))
        return plan_parts(id, *root, parts->first, parts->second, new_value(id));
    }
    const size_t step = plan_.steps.size();
    const int value = new_value(id);
    NodeId offender = -1;
    // Join an earlier kernel over the same loops if all that this root reads is there by then.
    for (size_t g = groups_.size(); g-- > 0;) {
      Group& group = groups_[g];
      if (!(group.root.space == root->space) || group.root.full != root->full ||
          (root->full && !(group.root.axes == root->axes)))
        continue;
      const bool reduces = !root->full && !root->space.reduced.empty();
      if (reduces && group.roots.size() >= kMostReductions) continue;
      Group joined = group;
      joined.roots.emplace_back(id, value);
      if (root->full && materialised_.mixes_turns(joined.roots)) continue;
      std::optional<KernelTemplate> kernel = build(joined, offender);
      if (!kernel || !ready_before(*kernel, group.step)) continue;
      group = joined;
      producer_[static_cast<size_t>(value)] = group.step;
      plan_.steps[group.step] =
          KernelStep{std::make_shared<const KernelTemplate>(std::move(*kernel))};
      return true;
    }
    Group group{*root, {{id, value}}, step};
    std::optional<KernelTemplate> kernel = build(group, offender);
    if (!kernel) return refuse(offender);
    plan_.steps.emplace_back(
        KernelStep{std::make_shared<const KernelTemplate>(std::move(*kernel))});
    groups_.push_back(std::move(group));
    return true;
  }

  bool ready_before(const KernelTemplate& kernel, size_t step) const {
    for (size_t b = 0; b < kernel.buffers.size(); ++b) {
      const auto value = static_cast<size_t>(kernel.buffer_values[b]);
      if (kernel.buffers[b].is_output || plan_.values[value].parameter >= 0) continue;
      if (producer_[value] >= step) return false;
    }
    return true;
  }

  void use(int value, int step) {
    for (; value >= 0; value = plan_.values[static_cast<size_t>(value)].alias_of)
      plan_.values[static_cast<size_t>(value)].last_use =
          std::max(plan_.values[static_cast<size_t>(value)].last_use, step);
  }

  void finish() {
    for (const NodeId result : program_.results) plan_.results.push_back(value_of_[index(result)]);
    fuse_epilogues(plan_, producer_);
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      const auto step = static_cast<int>(i);
      if (const auto* kernel = std::get_if<KernelStep>(&plan_.steps[i])) {
        for (const int value : kernel->kernel->buffer_values) use(value, step);
      } else if (const auto* contract = std::get_if<ContractStep>(&plan_.steps[i])) {
        use(contract->a.value, step);
        use(contract->b.value, step);
        use(contract->result, step);
        if (contract->epilogue != nullptr)
          for (const int value : contract->epilogue->buffer_values) use(value, step);
      } else if (const auto* scan = std::get_if<ScanStep>(&plan_.steps[i])) {
        for (const int value : scan->operands) use(value, step);
        for (const int value : scan->results) use(value, step);
      } else {
        use(std::get<AliasStep>(plan_.steps[i]).value, step);
        use(std::get<AliasStep>(plan_.steps[i]).result, step);
      }
    }
    for (const int result : plan_.results) use(result, static_cast<int>(plan_.steps.size()));
    plan_.overwritable = find_overwritable(plan_, program_.parameters.size());
  }

  const Program& program_;
  Materialised materialised_;
  std::vector<int> value_of_;
  std::vector<size_t> producer_;  // per value: the step that makes it
  std::vector<Group> groups_;
  Plan plan_;
};

}  // namespace

Plan make_plan(const Program& program) { return Planner(program).run(); }

std::string text_of(const Plan& plan) {
  std::string text;
  for (const Step& step : plan.steps) text += text_of(step) + '\n';
  return text;
}

std::string text_of(const Step& step) {
  std::ostringstream out;
  if (const auto* kernel = std::get_if<KernelStep>(&step)) {
    const KernelTemplate& k = *kernel->kernel;
    out << "kernel kept=" << k.kept.size() << " reduced=" << k.reduced.size() << " :";
    for (size_t b = 0; b < k.buffers.size(); ++b)
      out << (k.buffers[b].is_output ? " ->v" : " v") << k.buffer_values[b];
  } else if (const auto* contract = std::get_if<ContractStep>(&step)) {
    out << "contract v" << contract->a.value << " v" << contract->b.value << " ->v"
        << contract->result << (contract->epilogue != nullptr ? " with epilogue" : "");
  } else if (const auto* scan = std::get_if<ScanStep>(&step)) {
    out << "scan";
    for (const int value : scan->operands) out << " v" << value;
    for (const int value : scan->results) out << " ->v" << value;
    if (scan->by_rows) out << " by rows";
  } else {
    const auto& alias = std::get<AliasStep>(step);
    out << (alias.reshape ? "reshape v" : "window v") << alias.value << " ->v" << alias.result;
  }
  return out.str();
}

}  // namespace flambeau::lower
