#include "compile/block_rows.h"

#include <algorithm>

#include "base/bounded_cache.h"
#include "base/error.h"
#include "compile/cost.h"
#include "compile/row_group.h"
#include "eager/executable_hash.h"
#include "eager/host_program.h"
#include "ir/interpreter.h"
#include "lower/structural.h"
#include "prim/block_scan.h"

namespace flambeau::compiler {
namespace {

using ir::BlockScan;
using ir::Dim;
using ir::Expr;
using ir::Node;
using ir::NodeId;
using ir::PrimitiveClass;
using ir::Shape;

constexpr int64_t kRows = 128;  // of a block, where nothing is summed over rows

size_t index(NodeId id) { return static_cast<size_t>(id); }

/// Writes the program whose group is a scan.
class Rewriter {
 public:
  Rewriter(const ir::Program& program, const RowGroup& group)
      : program_(program), group_(group), values_(program.nodes.size()) {}

  ir::Program run() {
    for (const ir::Type& type : program_.parameters)
      parameters_.push_back(builder_.parameter(type.dtype, type.shape));
    for (const DType dtype : program_.numbers) numbers_.push_back(builder_.number(dtype));
    for (size_t i = 0; i < values_.size(); ++i)
      if (!group_.waits[i]) values_[i] = copy(program_.nodes[i]);
    scan();
    for (size_t i = 0; i < values_.size(); ++i)
      if (group_.waits[i] && !group_.is_inside(i)) values_[i] = copy(program_.nodes[i]);
    std::vector<Expr> results;
    for (const NodeId result : program_.results) results.push_back(values_[index(result)]);
    return builder_.finish(results);
  }

 private:
  Expr copy(const Node& node) {
    if (node.primitive == ir::parameter_row()) return parameters_[index(node.attributes.index)];
    if (node.primitive == ir::number_row()) return numbers_[index(node.attributes.index)];
    SmallVector<Expr, 4> operands;
    for (const NodeId id : node.arguments) operands.push_back(values_[index(id)]);
    return builder_.add(node.primitive, {operands.data(), operands.size()}, node.attributes);
  }

  /// The place of `axis` among those that no loop over the batch takes.
  int inner_axis(const LoopAxes& axes, int axis) const {
    const auto before = std::count_if(axes.begin(), axes.end() - 1, [&](int of_batch) {
      return of_batch >= 0 && of_batch < axis;
    });
    return axis - static_cast<int>(before);
  }
  bool is_batch(const LoopAxes& axes, int axis) const {
    return std::find(axes.begin(), axes.end() - 1, axis) != axes.end() - 1;
  }

  int64_t rows_of_block() const { return group_.summed.empty() ? kRows : ir::kContractBlock; }
  BlockScan::Axes scanned(const LoopAxes& axes) const {
    if (axes.back() < 0) return {};
    return {.scanned = inner_axis(axes, axes.back()), .step = rows_of_block()};
  }

  /// `value` with the batch axes in front, stretched where it has none.
  Expr with_batch(const Expr& value, const LoopAxes& axes) const {
    Shape shape = group_.batch;
    SmallVector<int64_t, 5> map(static_cast<size_t>(value.rank()), 0);
    for (int axis = 0; axis < value.rank(); ++axis) {
      int64_t& to = map[static_cast<size_t>(axis)];
      if (is_batch(axes, axis)) {
        to = std::find(axes.begin(), axes.end() - 1, axis) - axes.begin();
      } else {
        to = static_cast<int64_t>(shape.size());
        shape.push_back(value.dim(axis));
      }
    }
    // Axes that change places do so first: broadcasting keeps their order.
    SmallVector<int64_t, 5> order(map.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return map[static_cast<size_t>(a)] < map[static_cast<size_t>(b)];
    });
    std::sort(map.begin(), map.end());
    return prim::broadcast(prim::permute(value, order), map, shape);
  }

  /// `value`, which has the batch axes in front, with the axes in the places that `axes` says.
  Expr in_place(const Expr& value, const LoopAxes& axes) const {
    SmallVector<int64_t, 5> order;
    for (int axis = 0; axis < value.rank(); ++axis)
      order.push_back(is_batch(axes, axis)
                          ? std::find(axes.begin(), axes.end() - 1, axis) - axes.begin()
                          : static_cast<int64_t>(group_.batch.size()) + inner_axis(axes, axis));
    return prim::permute(value, order);
  }

  /// What the scan reads: a value of the program, or the position along a batch axis (`batch`).
  struct Input {
    NodeId id;
    int batch;
    LoopAxes axes;
    friend bool operator==(const Input&, const Input&) = default;
  };

  void add_input(Input input) {
    if (std::find(inputs_.begin(), inputs_.end(), input) == inputs_.end())
      inputs_.push_back(std::move(input));
  }

  void find_inputs() {
    for (const NodeId id : group_.nodes) {
      const Node& node = program_.nodes[index(id)];
      const LoopAxes& axes = group_.axes[index(id)];
      if (node.primitive == lower::rows().iota) {
        const auto along = static_cast<int>(node.attributes.axes[0]);
        for (size_t loop = 0; loop < group_.batch.size(); ++loop)
          if (axes[loop] == along) add_input({-1, static_cast<int>(loop), {}});
      }
      for (size_t a = 0; a < node.arguments.size(); ++a) {
        const NodeId argument = node.arguments[a];
        if (group_.is_read_inside(program_, id, a) || is_constant(argument)) continue;
        add_input({argument, -1, group_.axes_of_operand(program_, id, a)});
      }
    }
  }
  bool is_constant(NodeId id) const {
    return program_.nodes[index(id)].primitive == lower::rows().constant;
  }

  void scan() {
    find_inputs();
    std::vector<prim::Scanned> inputs;
    for (const Input& input : inputs_) {
      if (input.batch >= 0) {
        inputs.push_back({prim::iota(builder_, group_.batch, input.batch)});
        continue;
      }
      inputs.push_back({with_batch(values_[index(input.id)], input.axes), scanned(input.axes)});
    }
    std::vector<prim::Scanned> carried;
    for (const NodeId id : group_.summed) {
      const ir::Type& type = program_.nodes[index(id)].type;
      const Expr zero = prim::constant(builder_, type.dtype, 0.0);
      carried.push_back({prim::broadcast_to(zero, outer_shape(id))});
    }
    std::vector<BlockScan::Axes> outputs;
    for (const NodeId id : group_.outputs) outputs.push_back(scanned(group_.axes[index(id)]));
    const std::vector<Expr> found = prim::block_scan(
        {.batch = static_cast<int>(group_.batch.size()), .block = rows_of_block()}, inputs, carried,
        outputs, [&](const prim::BlockScanBody& body) { return write_body(body, inputs); });
    size_t next = 0;
    for (const auto* list : {&group_.summed, &group_.outputs})
      for (const NodeId id : *list)
        values_[index(id)] = in_place(found[next++], group_.axes[index(id)]);
  }

  /// The shape of a value of the group with the batch axes in front.
  Shape outer_shape(NodeId id) const {
    const Shape& own = program_.nodes[index(id)].type.shape;
    Shape shape = group_.batch;
    for (size_t axis = 0; axis < own.size(); ++axis)
      if (!is_batch(group_.axes[index(id)], static_cast<int>(axis))) shape.push_back(own[axis]);
    return shape;
  }

  // ---- the body ----

  /// A body under construction.
  struct Body {
    const prim::BlockScanBody& inside;
    std::vector<std::pair<Dim, Dim>> extents;  // outside and inside
    Dim rows = 0;                              // of the block
    std::vector<Expr> values;                  // per node of the program
  };

  static Dim inside(const Body& body, const Dim& outside) {
    if (outside.is_constant()) return outside;
    const auto found = std::find_if(body.extents.begin(), body.extents.end(),
                                    [&](const auto& pair) { return pair.first == outside; });
    check<InternalError>(found != body.extents.end(), [&] {
      return concat("block_rows: no input has the extent ", outside.text());
    });
    return found->second;
  }
  Shape inner_shape(const Body& body, NodeId id) const {
    const LoopAxes& axes = group_.axes[index(id)];
    const Shape& own = program_.nodes[index(id)].type.shape;
    Shape shape;
    for (size_t i = 0; i < own.size(); ++i) {
      const auto axis = static_cast<int>(i);
      if (is_batch(axes, axis)) continue;
      shape.push_back(axis == axes.back() ? body.rows : inside(body, own[i]));
    }
    return shape;
  }

  std::vector<Expr> write_body(const prim::BlockScanBody& inside,
                               std::span<const prim::Scanned> inputs) const {
    Body body{inside, {}, {}, std::vector<Expr>(values_.size())};
    for (size_t i = 0; i < inputs.size(); ++i)
      for (int axis = 0; axis < inside.inputs[i].rank(); ++axis) {
        const Dim own = inside.inputs[i].dim(axis);
        if (axis == inputs[i].axes.scanned)
          body.rows = own;
        else
          body.extents.emplace_back(
              inputs[i].value.dim(axis + static_cast<int>(group_.batch.size())), own);
      }
    for (const NodeId id : group_.nodes) body.values[index(id)] = write(body, id);
    std::vector<Expr> results;
    for (size_t i = 0; i < group_.summed.size(); ++i) {
      using namespace prim;  // NOLINT(google-build-using-namespace): operators
      const Expr block = body.values[index(group_.summed[i])];
      results.push_back(select(eq(inside.block_start, 0), block, inside.carried[i] + block));
    }
    for (const NodeId id : group_.outputs) results.push_back(body.values[index(id)]);
    return results;
  }

  Expr operand(const Body& body, NodeId user, size_t a) const {
    const NodeId id = program_.nodes[index(user)].arguments[a];
    if (group_.is_read_inside(program_, user, a)) return body.values[index(id)];
    if (is_constant(id))
      return body.inside.builder.add(lower::rows().constant, {},
                                     program_.nodes[index(id)].attributes);
    const Input wanted{id, -1, group_.axes_of_operand(program_, user, a)};
    const auto found = std::find(inputs_.begin(), inputs_.end(), wanted);
    return body.inside.inputs[static_cast<size_t>(found - inputs_.begin())];
  }

  Expr write(const Body& body, NodeId id) const {
    const Node& node = program_.nodes[index(id)];
    const LoopAxes& axes = group_.axes[index(id)];
    if (node.primitive == lower::rows().iota) return write_iota(body, id);
    SmallVector<Expr, 4> operands;
    for (size_t a = 0; a < node.arguments.size(); ++a) operands.push_back(operand(body, id, a));
    ir::Attributes attributes = node.attributes;
    if (node.primitive->cls == PrimitiveClass::View ||
        node.primitive->cls == PrimitiveClass::Reduce) {
      // Axes of the operand, or (broadcast) of the result, without those of the batch.
      const LoopAxes from = group_.axes_of_operand(program_, id, 0);
      const bool broadcasts = node.primitive == lower::rows().broadcast;
      attributes.axes.clear();
      SmallVector<int64_t, 5> stretched;  // axes of extent 1 that become batch axes
      for (size_t i = 0; i < node.attributes.axes.size(); ++i) {
        const auto axis = static_cast<int>(node.attributes.axes[i]);
        if (!broadcasts) {
          if (!is_batch(from, axis)) attributes.axes.push_back(inner_axis(from, axis));
        } else if (is_batch(from, static_cast<int>(i))) {
          continue;
        } else if (is_batch(axes, axis)) {
          stretched.push_back(inner_axis(from, static_cast<int>(i)));
        } else {
          attributes.axes.push_back(inner_axis(axes, axis));
        }
      }
      if (!stretched.empty()) operands[0] = prim::squeeze(operands[0], stretched);
      if (broadcasts) {
        const Shape shape = inner_shape(body, id);
        attributes.dims = {shape.begin(), shape.end()};
      }
    }
    return body.inside.builder.add(node.primitive, {operands.data(), operands.size()},
                                   std::move(attributes));
  }

  Expr write_iota(const Body& body, NodeId id) const {
    using namespace prim;  // NOLINT(google-build-using-namespace): operators
    const Node& node = program_.nodes[index(id)];
    const LoopAxes& axes = group_.axes[index(id)];
    const auto along = static_cast<int>(node.attributes.axes[0]);
    const Shape shape = inner_shape(body, id);
    if (is_batch(axes, along)) {
      const auto loop = static_cast<int>(std::find(axes.begin(), axes.end(), along) - axes.begin());
      const auto found = std::find(inputs_.begin(), inputs_.end(), Input{-1, loop, {}});
      return broadcast_to(body.inside.inputs[static_cast<size_t>(found - inputs_.begin())], shape);
    }
    const Expr position = iota(body.inside.builder, shape, inner_axis(axes, along));
    return along == axes.back() ? position + body.inside.block_start : position;
  }

  const ir::Program& program_;
  const RowGroup& group_;
  ir::Builder builder_;
  std::vector<Expr> parameters_, numbers_;
  std::vector<Expr> values_;  // per node
  std::vector<Input> inputs_;
};

}  // namespace

std::optional<ir::Program> block_rows(const ir::Program& program) try {
  const std::optional<RowGroup> group = find_row_group(program);
  if (!group) return std::nullopt;
  return Rewriter(program, *group).run();
} catch (const InternalError&) {
  return std::nullopt;  // extents that are not known to be equal
}

constexpr int64_t kTypicalExtent = 256;

namespace {

/// What a program is with its rows in blocks, and how much it reads and writes.
struct Form {
  std::shared_ptr<const Executable> in_blocks;  ///< null: it has no such form
  double typical_bytes;
};

Form make_form(const Executable& executable) {
  std::optional<ir::Program> program = block_rows(flambeau::program_of(executable));
  // Extents may be equal for a reason that the program does not show (those of a part and of what
  // it was cut from); where each is a typical one, its rows would not fit together.
  if (program) try {
      auto form = make_executable(*std::move(program));
      const double bytes = bytes_at(*form, kTypicalExtent);
      return {std::move(form), bytes};
    } catch (const InternalError&) {
      static_cast<void>(0);
    }
  return {nullptr, bytes_at(executable, kTypicalExtent)};
}

/// Cached: programs are made of the same parts again and again.
Form blocked_form(const Executable& executable) {
  constexpr size_t kMaxForms = 4096;
  static auto* const cache = new BoundedCache<Hash128, Form>(kMaxForms);
  const Hash128 key = hash_of(executable);
  if (auto known = cache->find(key)) return *std::move(known);
  return cache->add(key, make_form(executable));
}

}  // namespace

std::shared_ptr<const Executable> in_row_blocks(const Executable& executable) {
  return host_program_of(executable) != nullptr ? nullptr : blocked_form(executable).in_blocks;
}

double typical_bytes(const Executable& executable) {
  return host_program_of(executable) != nullptr ? bytes_at(executable, kTypicalExtent)
                                                : blocked_form(executable).typical_bytes;
}

std::shared_ptr<const Executable> form_of(const Region& region) {
  std::shared_ptr<const Executable> blocked = in_row_blocks(*region.program);
  return blocked == nullptr ? region.program : blocked;
}

}  // namespace flambeau::compiler
