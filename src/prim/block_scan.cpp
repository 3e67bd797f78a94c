// The row of scans over blocks, and the function that builds its nodes.

#include "prim/block_scan.h"

#include "prim/structural.h"
#include "prim/vjp.h"

namespace flambeau::prim {
namespace {

using ir::BlockScan;
using ir::Builder;
using ir::Program;
using Axes = BlockScan::Axes;

// ---- meaning -----------------------------------------------------------------------------------

/// `sizes` without the leading `batch` axes.
Ints inner_sizes(const ArrayValue& value, int batch) {
  return {value.shape.begin() + batch, value.shape.end()};
}

/// The window of `whole` at `starts`, of the given sizes.
ArrayValue window(const ArrayValue& whole, const Ints& starts, const Ints& sizes) {
  const Ints strides = ir::strides_of(whole.shape);
  return ir::strided_copy(whole, sizes, ir::offset_of(starts, strides), strides);
}

void set_window(ArrayValue& whole, const Ints& starts, const ArrayValue& part) {
  const Ints strides = ir::strides_of(whole.shape);
  const int64_t start = ir::offset_of(starts, strides);
  int64_t position = 0;
  ir::for_each_index(part.shape, [&](const Ints& index) {
    ir::set_element(whole, start + ir::offset_of(index, strides), ir::element(part, position++));
  });
}

/// Member number `member` of the batch.
ArrayValue member_of(const ArrayValue& value, int batch, int64_t member) {
  ArrayValue out(value.dtype, inner_sizes(value, batch));
  const auto from = value.data.begin() + static_cast<ptrdiff_t>(out.data.size()) * member;
  std::copy(from, from + static_cast<ptrdiff_t>(out.data.size()), out.data.begin());
  return out;
}

/// One batch member: the carried values and the outputs.
std::vector<ArrayValue> scan_member(const BlockScan& scan, const Program& body,
                                    const BlockScan::Extents& extents,
                                    const std::vector<ArrayValue>& operands,
                                    std::vector<ArrayValue> results) {
  const size_t inputs = scan.input_count();
  const auto carries = static_cast<size_t>(scan.carries);
  for (size_t i = 0; i < carries; ++i) results[i] = operands[inputs + i];
  for (int64_t n = 0; n < extents.blocks; ++n) {
    const int64_t b = scan.reverse ? extents.blocks - 1 - n : n;
    const int64_t row = scan.triangular ? b * scan.block : 0;
    if (row > 0 && row >= extents.rows) continue;
    std::vector<ArrayValue> arguments;
    for (size_t i = 0; i < operands.size(); ++i) {
      const ArrayValue& from = i < inputs ? operands[i] : results[i - inputs];
      const BlockScan::Part part = scan.part(scan.operands[i], from.shape, b, row, extents.rows);
      arguments.push_back(window(from, part.starts, part.sizes));
    }
    const int64_t integers[] = {b * scan.block, row};
    const std::vector<ArrayValue> given = ir::interpret(body, arguments, {}, integers);
    for (size_t i = 0; i < results.size(); ++i) {
      const BlockScan::Part part =
          scan.part(scan.result(i), results[i].shape, b, row, extents.rows);
      check<InternalError>(given[i].shape == part.sizes, [&] {
        return concat("block_scan: result ", i, " of the body has shape ",
                      list_text(given[i].shape), ", not ", list_text(part.sizes));
      });
      set_window(results[i], part.starts, given[i]);
    }
  }
  return results;
}

ArrayValue interpret_block_scan(const Node& node, std::span<const ArrayValue> arguments,
                                const DimBindings& bindings) {
  const BlockScan scan = BlockScan::decode(node.attributes.axes);
  const Program& body = *node.attributes.body;
  std::vector<Ints> sizes;
  for (const ArrayValue& argument : arguments) sizes.push_back(argument.shape);
  const BlockScan::Extents extents = scan.extents(sizes);

  ArrayValue out(node.type.dtype, ir::evaluate(node.type.shape, bindings));
  const Ints batch(out.shape.begin(), out.shape.begin() + scan.batch);
  const int64_t members = ir::element_count(batch);
  // The other outputs are thrown away: their shapes follow from one another's.
  SmallVector<Type, 8> types;
  for (const ArrayValue& argument : arguments)
    types.push_back({argument.dtype, Shape(argument.shape.begin(), argument.shape.end())});
  std::vector<ArrayValue> empty;
  for (size_t i = 0; i < scan.result_count(); ++i) {
    const Type type = ir::infer_block_scan(scan, body, types, static_cast<int>(i));
    Ints shape;
    for (size_t a = static_cast<size_t>(scan.batch); a < type.shape.size(); ++a)
      shape.push_back(type.shape[a].constant());
    empty.emplace_back(type.dtype, shape);
  }
  for (int64_t m = 0; m < members; ++m) {
    std::vector<ArrayValue> operands;
    for (const ArrayValue& argument : arguments)
      operands.push_back(member_of(argument, scan.batch, m));
    const std::vector<ArrayValue> results = scan_member(scan, body, extents, operands, empty);
    const ArrayValue& wanted = results[static_cast<size_t>(node.attributes.index)];
    std::copy(wanted.data.begin(), wanted.data.end(),
              out.data.begin() + static_cast<ptrdiff_t>(wanted.data.size()) * m);
  }
  return out;
}

// ---- nodes -------------------------------------------------------------------------------------

/// `value` before it was widened from a 16-bit float, as the same view; invalid if it was not.
Expr before_widening(const Expr& value) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): adding nodes moves the builder's
  const ir::Node node = value.node();
  if (node.arguments.empty()) return {};
  const Expr from = value.builder().expr(node.arguments[0]);
  if (node.primitive->name == "convert")
    return is_half(from.dtype()) && value.dtype() == DType::Float32 ? from : Expr();
  if (node.primitive->cls != PrimitiveClass::View && node.primitive->cls != PrimitiveClass::Reshape)
    return {};
  const Expr inner = before_widening(from);
  return inner.valid() ? value.builder().add(node.primitive, {&inner, 1}, node.attributes) : Expr();
}

/// The extents of a body's parameters: equal extents outside have one name inside.
class BodyShapes {
 public:
  explicit BodyShapes(const BlockScan& scan) : scan_(scan) {}

  Shape shape(const Expr& value, const Axes& axes, int parameter) {
    Shape out;
    for (int axis = 0; axis + scan_.batch < value.rank(); ++axis) {
      const Dim outer = value.dim(scan_.batch + axis);
      const Dim own = Dim::size(parameter, axis);
      if (axis == axes.rows)
        out.push_back(first(rows_, own));
      else if (axis == axes.scanned)
        out.push_back(axes.step == 1 ? Dim(1) : first(block_, own));
      else
        out.push_back(outer.is_one() ? outer : other(outer, own));
    }
    return out;
  }

 private:
  static Dim first(std::optional<Dim>& known, const Dim& own) {
    if (!known) known = own;
    return *known;
  }
  Dim other(const Dim& outer, const Dim& own) {
    for (const auto& [known, name] : others_)
      if (known == outer) return name;
    others_.emplace_back(outer, own);
    return own;
  }

  const BlockScan& scan_;
  std::optional<Dim> rows_, block_;
  std::vector<std::pair<Dim, Dim>> others_;
};

/// The results of a scan with this body.
std::vector<Expr> nodes_of(const BlockScan& scan, std::shared_ptr<const Program> body,
                           std::span<const Expr> operands) {
  Builder& builder = operands[0].builder();
  std::vector<Expr> results;
  for (size_t i = 0; i < scan.result_count(); ++i)
    results.push_back(
        builder.add(&row("block_scan"), operands,
                    {.axes = scan.encode(), .index = static_cast<int>(i), .body = body}));
  return results;
}

// ---- derivative --------------------------------------------------------------------------------

/// The nodes of `program` in `builder`, with `arguments` for its parameters. An axis of parameter p
/// is axis + shift[p] of the parameter of the new program that stands in its place.
std::vector<Expr> copy_nodes(Builder& builder, const Program& program,
                             std::span<const Expr> arguments, std::span<const int> shift) {
  const auto moved = [&](const Dim& dim) {
    return dim.substitute(
        [&](int p, int axis) { return Dim::size(p, axis + shift[static_cast<size_t>(p)]); },
        [](int slot) { return Dim::integer(slot); });
  };
  std::vector<Expr> values;
  for (const ir::Node& node : program.nodes) {
    if (node.primitive == ir::parameter_row()) {
      values.push_back(arguments[static_cast<size_t>(node.attributes.index)]);
      continue;
    }
    SmallVector<Expr, 4> operands;
    for (const ir::NodeId id : node.arguments) operands.push_back(values[static_cast<size_t>(id)]);
    Attributes attributes = node.attributes;
    for (Dim& dim : attributes.dims) dim = moved(dim);
    values.push_back(builder.add(node.primitive, operands, std::move(attributes)));
  }
  return values;
}

/// The carried values of one step among those of all: an axis of blocks in front.
Axes stacked(const Axes& axes) { return {axes.rows < 0 ? -1 : axes.rows + 1, 0, 1}; }

/// The carried values before each block, as [batch..., blocks, ...].
std::vector<Expr> carried_before(const BlockScan& scan, const Program& body,
                                 std::span<const Expr> operands) {
  const auto carries = static_cast<size_t>(scan.carries);
  Builder builder(body);
  std::vector<Expr> results(2 * carries);
  for (size_t i = 0; i < carries; ++i) results[i] = builder.expr(body.results[i]);
  for (size_t id = 0; id < body.nodes.size(); ++id) {
    const ir::Node& node = body.nodes[id];
    const auto index = static_cast<size_t>(node.attributes.index);
    if (node.primitive == ir::parameter_row() && index >= scan.input_count())
      results[carries + index - scan.input_count()] =
          unsqueeze(builder.expr(static_cast<ir::NodeId>(id)), 0);
  }
  BlockScan wider = scan;
  wider.outputs.clear();
  for (size_t i = 0; i < carries; ++i)
    wider.outputs.push_back(stacked(scan.operands[scan.input_count() + i]));
  const std::vector<Expr> all =
      nodes_of(wider, std::make_shared<const Program>(builder.finish(results)), operands);
  return {all.begin() + scan.carries, all.end()};
}

/// One scan in the other direction: cotangents of carried values are carried, those of inputs that
/// every block sees are added up, those of scanned inputs come out block by block.
Cotangents block_scan_vjp(const VjpContext& c) {
  const BlockScan scan = BlockScan::decode(c.node.attributes.axes);
  const Program& body = *c.node.attributes.body;
  const size_t inputs = scan.input_count();
  const auto carries = static_cast<size_t>(scan.carries);
  const auto number = static_cast<size_t>(c.node.attributes.index);
  const std::vector<Expr> before = carried_before(scan, body, c.arguments);

  BlockScan back = scan;
  back.reverse = !scan.reverse;
  back.operands.clear();
  back.outputs.clear();
  std::vector<Expr> operands;
  Builder builder;
  BodyShapes shapes(back);
  std::vector<Expr> parameters;
  const auto add = [&](const Expr& value, const Axes& axes) {
    parameters.push_back(builder.parameter(
        value.dtype(), shapes.shape(value, axes, static_cast<int>(parameters.size()))));
    operands.push_back(value);
    back.operands.push_back(axes);
    return parameters.back();
  };

  std::vector<Expr> arguments;  // of the body
  std::vector<int> shift;
  for (size_t i = 0; i < inputs; ++i) {
    arguments.push_back(add(c.arguments[i], scan.operands[i]));
    shift.push_back(0);
  }
  for (size_t i = 0; i < carries; ++i) {
    const int64_t front[] = {0};
    arguments.push_back(squeeze(add(before[i], stacked(scan.operands[inputs + i])), front));
    shift.push_back(1);
  }
  Expr of_output;
  if (number >= carries) of_output = add(c.cotangent, scan.result(number));
  const std::vector<Expr> values = copy_nodes(builder, body, arguments, shift);

  // Carried: the cotangents of the carried values, then those of unscanned inputs.
  std::vector<size_t> of;  // per carried value: the argument of the body
  for (size_t i = inputs; i < arguments.size(); ++i)
    if (is_float(arguments[i].dtype())) of.push_back(i);
  const size_t carried_floats = of.size();
  for (size_t i = 0; i < inputs; ++i)
    if (is_float(arguments[i].dtype()) && scan.operands[i].scanned < 0) of.push_back(i);
  back.carries = static_cast<int>(of.size());
  std::vector<Expr> carried;
  for (const size_t i : of) {
    const bool is_cotangent = i >= inputs && i - inputs == number;
    carried.push_back(
        add(is_cotangent ? c.cotangent : filled_like(c.arguments[i], 0), scan.operands[i]));
  }

  std::vector<Expr> outputs;
  std::vector<Expr> cotangents;
  for (size_t i = 0; i < body.results.size(); ++i) {
    const Expr result = values[static_cast<size_t>(body.results[i])];
    if (!is_float(result.dtype())) continue;
    Expr cotangent = i == number ? of_output : Expr();
    for (size_t j = 0; i < carries && j < carried_floats; ++j)
      if (of[j] == inputs + i) cotangent = carried[j];
    outputs.push_back(result);
    cotangents.push_back(cotangent);
  }
  const std::vector<Expr> found = differentiate(builder, outputs, cotangents, arguments);

  std::vector<Expr> results;
  for (size_t j = 0; j < of.size(); ++j) {
    const Expr& found_here = found[of[j]];
    if (j < carried_floats)
      results.push_back(found_here.valid() ? found_here : filled_like(carried[j], 0));
    else
      results.push_back(found_here.valid() ? carried[j] + found_here : carried[j]);
  }
  std::vector<size_t> scanned;
  for (size_t i = 0; i < inputs; ++i) {
    if (scan.operands[i].scanned < 0 || !found[i].valid()) continue;
    scanned.push_back(i);
    back.outputs.push_back(scan.operands[i]);
    results.push_back(found[i]);
  }
  const std::vector<Expr> nodes =
      nodes_of(back, std::make_shared<const Program>(builder.finish(results)), operands);
  Cotangents out(c.arguments.size());
  for (size_t j = 0; j < of.size(); ++j) out[of[j]] = nodes[j];
  for (size_t j = 0; j < scanned.size(); ++j) out[scanned[j]] = nodes[of.size() + j];
  return out;
}

Expr block_scan_batch(const BatchContext& c) {
  BlockScan scan = BlockScan::decode(c.node.attributes.axes);
  ++scan.batch;
  SmallVector<Expr, 8> operands;
  for (size_t i = 0; i < c.arguments.size(); ++i) operands.push_back(batched_argument(c, i));
  return c.builder.add(
      c.node.primitive, operands,
      {.axes = scan.encode(), .index = c.node.attributes.index, .body = c.node.attributes.body});
}

const RegisterPrimitive kBlockScan{{
    .name = "block_scan",
    .cls = PrimitiveClass::BlockScan,
    .arity = -1,
    .doc = "Result `index` of running `body` over the blocks of an axis with carried values, for "
           "each member of the batch axes; `axes` is the form (ir/block_scan.h).",
    .infer =
        [](std::span<const Type> arguments, const Attributes& attributes) {
          require(attributes.body != nullptr, "block_scan: no body");
          return ir::infer_block_scan(BlockScan::decode(attributes.axes), *attributes.body,
                                      arguments, attributes.index);
        },
    .interpret = interpret_block_scan,
    .vjp = block_scan_vjp,
    .batch = block_scan_batch,
}};

}  // namespace

std::vector<Expr> block_scan(const BlockScan& form, std::span<const Scanned> inputs,
                             std::span<const Scanned> carried, std::span<const Axes> outputs,
                             const std::function<std::vector<Expr>(const BlockScanBody&)>& body) {
  BlockScan scan = form;
  scan.carries = static_cast<int>(carried.size());
  scan.operands.clear();
  scan.outputs = {outputs.begin(), outputs.end()};
  Builder builder;
  BodyShapes shapes(scan);
  BlockScanBody inside{builder, {}, {}, {}, {}};
  std::vector<Expr> operands;
  const auto add = [&](const Scanned& operand, bool is_carried) {
    const Expr narrow = is_carried ? Expr() : before_widening(operand.value);
    const Expr value = narrow.valid() ? narrow : operand.value;
    const Expr parameter = builder.parameter(
        value.dtype(), shapes.shape(value, operand.axes, static_cast<int>(operands.size())));
    operands.push_back(value);
    scan.operands.push_back(operand.axes);
    return convert(parameter, operand.value.dtype());
  };
  for (const Scanned& input : inputs) inside.inputs.push_back(add(input, false));
  for (const Scanned& value : carried) inside.carried.push_back(add(value, true));
  inside.block_start = extent(builder, Dim::integer(0));
  inside.first_row = extent(builder, Dim::integer(1));
  const std::vector<Expr> results = body(inside);
  return nodes_of(scan, std::make_shared<const Program>(builder.finish(results)), operands);
}

}  // namespace flambeau::prim
