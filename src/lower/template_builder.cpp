#include "lower/template_builder.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "ir/cell_emitter.h"
#include "lower/structural.h"

namespace flambeau::lower {

using ir::Node;
using ir::NodeId;
using ir::PrimitiveClass;
using ir::Program;
using ir::Shape;
using ir::Statement;
using ir::StatementKind;

namespace {

/// Core operations that take as long as a statement does by itself.
constexpr int kSimple = 4;

const Node& node_at(const Program& program, NodeId id) {
  return program.nodes[static_cast<size_t>(id)];
}

AxisIndex plus(const AxisIndex& a, const AxisIndex& b) {
  AxisIndex sum = a;
  for (const AxisIndex::Term& term : b.terms) {
    auto same = std::find_if(sum.terms.begin(), sum.terms.end(),
                             [&](const AxisIndex::Term& t) { return t.loop == term.loop; });
    if (same != sum.terms.end())
      same->coefficient = same->coefficient + term.coefficient;
    else
      sum.terms.push_back(term);
  }
  sum.dynamic.append(b.dynamic.begin(), b.dynamic.end());
  sum.offset = sum.offset + b.offset;
  return sum;
}

AxisIndex times(const AxisIndex& a, const Dim& factor) {
  AxisIndex product = a;
  for (AxisIndex::Term& term : product.terms) term.coefficient = term.coefficient * factor;
  for (AxisIndex::Dynamic& term : product.dynamic) term.coefficient = term.coefficient * factor;
  product.offset = product.offset * factor;
  return product;
}

AxisIndex constant_index(const Dim& value) {
  AxisIndex index;
  index.offset = value;
  return index;
}

/// True if the first of `parts` is what the others leave of `extent`, which they divide.
bool is_split(const Dim& extent, std::span<const Dim> parts) {
  if (parts.size() < 2 || parts[0].op() != ir::DimOp::FloorDiv || !(parts[0].left() == extent))
    return false;
  Dim others = 1;
  for (const Dim& part : parts.subspan(1)) others = others * part;
  return parts[0].right() == others;
}

/// True if the shapes differ in one extent: as there are as many elements, it is the same number.
bool renames_one_extent(const Shape& from, const Shape& to) {
  if (from.size() != to.size()) return false;
  int others = 0;
  for (size_t axis = 0; axis < from.size(); ++axis) {
    others += from[axis] == to[axis] ? 0 : 1;
    if (!(from[axis] == to[axis]) && (from[axis].is_one() || to[axis].is_one())) return false;
  }
  return others == 1;
}

/// A reshape that only splits axes and adds or removes axes of extent 1 is affine.
std::optional<IndexEnv> reshape_env(const Shape& from, const Shape& to, const IndexEnv& env) {
  IndexEnv out;
  out.mask = env.mask;
  if (renames_one_extent(from, to)) {
    out.axes = env.axes;
    return out;
  }
  size_t t = 0;
  for (const Dim& extent : from) {
    if (extent.is_one()) {
      out.axes.push_back({});
      continue;
    }
    AxisIndex index;
    Dim product = 1;
    bool any = false;
    const size_t first = t;
    while (t < to.size() && (!any || !(product == extent))) {
      const size_t axis = t++;
      if (to[axis].is_one()) continue;
      index = any ? plus(times(index, to[axis]), env.axes[axis]) : env.axes[axis];
      product = any ? product * to[axis] : to[axis];
      any = true;
      if (is_split(extent, {to.data() + first, t - first})) product = extent;
    }
    if (!any || !(product == extent)) return std::nullopt;
    out.axes.push_back(index);
  }
  for (; t < to.size(); ++t)
    if (!to[t].is_one()) return std::nullopt;
  return out;
}

/// The elementwise row that is one core operation of two operands.
const char* row_of(ir::CoreOp op) {
  switch (op) {
    case ir::CoreOp::Add:
      return "add";
    case ir::CoreOp::Mul:
      return "mul";
    case ir::CoreOp::Max:
      return "maximum";
    case ir::CoreOp::Min:
      return "minimum";
    default:
      throw InternalError("lower: no row combines the elements of this scatter");
  }
}

/// The core operations of one step of a scan.
int combination_cost(const Node& scan) {
  SmallVector<DType, 4> dtypes;
  for (int i = 0; i <= scan.primitive->arity; ++i) dtypes.push_back(scan.type.dtype);
  return core_operations(*scan.primitive, scan.type.dtype, scan.attributes, dtypes);
}

}  // namespace

int core_operations(const ir::Primitive& primitive, DType dtype, const ir::Attributes& attributes,
                    std::span<const DType> dtypes) {
  std::vector<ir::Container> cells;
  std::vector<ir::Instruction> instructions;
  ir::CellEmitter emitter(cells, instructions);
  SmallVector<ir::Operand, 4> operands;
  for (const DType of : dtypes) operands.push_back(emitter.constant(of, 0.0));
  ir::emit_elementwise(primitive, emitter, dtype, operands, attributes);
  return static_cast<int>(instructions.size());
}

std::optional<IndexEnv> operand_env(const Program& program, const Node& node, const IndexEnv& env) {
  const StructuralRows& r = rows();
  const auto& attributes = node.attributes;
  if (node.primitive->cls == PrimitiveClass::Reshape)
    return reshape_env(node_at(program, node.arguments[0]).type.shape, node.type.shape, env);
  if (node.primitive->cls != PrimitiveClass::View) return std::nullopt;
  const Shape& operand = node_at(program, node.arguments[0]).type.shape;
  IndexEnv out;
  out.mask = env.mask;
  out.axes.resize(operand.size());
  const size_t rank = operand.size();
  if (node.primitive == r.broadcast) {
    for (size_t i = 0; i < rank; ++i)
      if (!operand[i].is_one()) out.axes[i] = env.axes[static_cast<size_t>(attributes.axes[i])];
  } else if (node.primitive == r.permute) {
    for (size_t i = 0; i < rank; ++i)
      out.axes[static_cast<size_t>(attributes.axes[i])] = env.axes[i];
  } else if (node.primitive == r.slice) {
    for (size_t i = 0; i < rank; ++i)
      out.axes[i] = plus(times(env.axes[i], attributes.dims[2 * rank + i]),
                         constant_index(attributes.dims[i]));
  } else if (node.primitive == r.flip) {
    out.axes = env.axes;
    for (const int64_t axis : attributes.axes) {
      const auto a = static_cast<size_t>(axis);
      out.axes[a] = plus(times(env.axes[a], Dim(-1)), constant_index(operand[a] - 1));
    }
  } else if (node.primitive == r.squeeze) {
    size_t next = 0;
    for (size_t i = 0; i < rank; ++i) {
      const bool removed = std::find(attributes.axes.begin(), attributes.axes.end(),
                                     static_cast<int64_t>(i)) != attributes.axes.end();
      if (!removed) out.axes[i] = env.axes[next++];
    }
  } else {
    throw InternalError(concat("lower: view '", node.primitive->name, "' has no index map"));
  }
  return out;
}

AxisIndex scan_position(const Node& scan, int loop) {
  if (scan.attributes.index == 0) return AxisIndex::loop(loop);
  const Dim& extent = scan.type.shape[static_cast<size_t>(scan.attributes.axes[0])];
  return {{{loop, Dim(-1)}}, {}, extent - 1};
}

TemplateBuilder::TemplateBuilder(const Program& program, const std::vector<int>& value_of,
                                 Space space)
    : program_(program), value_of_(value_of) {
  kernel_.kept = std::move(space.kept);
  kernel_.reduced = std::move(space.reduced);
}

bool TemplateBuilder::varies(const AxisIndex& index) const {
  const int kept = static_cast<int>(kernel_.kept.size());
  for (const AxisIndex::Term& term : index.terms)
    if (term.loop >= kept) return true;
  for (const AxisIndex::Dynamic& term : index.dynamic)
    if (varies(term.value)) return true;
  return false;
}

ValueId TemplateBuilder::emit(Statement statement, bool statement_varies) {
  const bool has_result = statement.kind != StatementKind::Store;
  ++kernel_.cost;
  ++kernel_.work;
  int scope = 0;
  if (statement_varies) {
    require(!scopes_.empty(), "lower: a value varies along reduced loops outside a section");
    scope = scopes_.back().id;
  }
  if (has_result) {
    statement.result = kernel_.value_count++;
    scope_of_.push_back(scope);
  }
  const ValueId result = statement.result;
  if (statement_varies) {
    scopes_.back().section.body.push_back(std::move(statement));
    return result;
  }
  // Values of the kept loops precede the section under construction, which is not listed yet.
  auto& sections = kernel_.sections;
  if (sections.empty() || sections.back().kind != Section::Kind::Kept) sections.emplace_back();
  sections.back().body.push_back(std::move(statement));
  return result;
}

int TemplateBuilder::access(Access a) {
  const auto same = std::find(kernel_.accesses.begin(), kernel_.accesses.end(), a);
  if (same != kernel_.accesses.end()) return static_cast<int>(same - kernel_.accesses.begin());
  kernel_.accesses.push_back(std::move(a));
  return static_cast<int>(kernel_.accesses.size()) - 1;
}

int TemplateBuilder::buffer_of(int value, DType dtype, bool is_output) {
  for (size_t i = 0; i < kernel_.buffers.size(); ++i) {
    if (kernel_.buffer_values[i] != value) continue;
    kernel_.buffers[i].is_output |= is_output;
    return static_cast<int>(i);
  }
  kernel_.buffers.push_back({dtype, is_output});
  kernel_.buffer_values.push_back(value);
  return static_cast<int>(kernel_.buffers.size()) - 1;
}

ValueId TemplateBuilder::slot_value(const SlotSource& source, DType dtype) {
  Statement s;
  s.kind = StatementKind::Slot;
  s.dtype = dtype;
  s.slot = static_cast<int>(kernel_.slots.size());
  for (size_t i = 0; i < kernel_.slots.size(); ++i)
    if (kernel_.slots[i].number == source.number && kernel_.slots[i].dim == source.dim)
      s.slot = static_cast<int>(i);
  if (s.slot == static_cast<int>(kernel_.slots.size())) kernel_.slots.push_back(source);
  return emit(std::move(s), false);
}

ValueId TemplateBuilder::constant(DType dtype, Scalar value) {
  Statement s;
  s.kind = StatementKind::Constant;
  s.dtype = dtype;
  s.attributes.value = value;
  return emit(std::move(s), false);
}

ValueId TemplateBuilder::compute(const char* primitive, DType dtype,
                                 std::initializer_list<ValueId> arguments) {
  Statement s;
  s.kind = StatementKind::Compute;
  s.dtype = dtype;
  s.primitive = ir::find_primitive(primitive);
  bool any = false;
  for (const ValueId argument : arguments) {
    s.arguments.push_back(argument);
    any |= varies(argument);
  }
  return emit(std::move(s), any);
}

ValueId TemplateBuilder::convert(ValueId value, DType from, DType to) {
  if (from == to) return value;
  Statement s;
  s.kind = StatementKind::Compute;
  s.dtype = to;
  s.primitive = rows().convert;
  s.attributes.index = static_cast<int>(to);
  s.arguments.push_back(value);
  return emit(std::move(s), varies(value));
}

ValueId TemplateBuilder::index_value(const AxisIndex& index) {
  if (index.terms.empty() && index.dynamic.empty()) {
    if (index.offset.is_constant()) return constant(DType::Int64, index.offset.constant());
    return slot_value({-1, index.offset}, DType::Int64);
  }
  if (index.terms.empty() && index.dynamic.size() == 1 && index.offset.is_zero() &&
      index.dynamic[0].coefficient.is_one())
    return index.dynamic[0].value;
  Statement s;
  s.kind = StatementKind::Index;
  s.dtype = DType::Int64;
  s.slot = access({-1, {index}, false});
  return emit(std::move(s), varies(index));
}

ValueId TemplateBuilder::load(int value, const IndexEnv& env) {
  Statement s;
  s.kind = StatementKind::Load;
  const NodeId holder =
      static_cast<NodeId>(std::find(value_of_.begin(), value_of_.end(), value) - value_of_.begin());
  s.dtype = node_at(program_, holder).type.dtype;
  s.buffer = buffer_of(value, s.dtype, false);
  s.mask = env.mask;
  s.slot = access({s.buffer, env.axes, false});
  bool any = env.mask >= 0 && varies(env.mask);
  for (const AxisIndex& axis : env.axes) any |= varies(axis);
  return emit(std::move(s), any);
}

/// Not a constant of the kernel even where the program is for one shape: it then serves others.
ValueId TemplateBuilder::extent_value(const Dim& extent) {
  return slot_value({-1, extent}, DType::Int64);
}

/// 0 <= index < extent in one comparison: without signs, negative positions are great ones.
ValueId TemplateBuilder::in_range(const AxisIndex& index, const Dim& extent, ValueId mask) {
  const ValueId sign = constant(DType::Int64, std::numeric_limits<int64_t>::min());
  const ValueId position = compute("logical_xor", DType::Int64, {index_value(index), sign});
  const ValueId end = compute("logical_xor", DType::Int64, {extent_value(extent), sign});
  const ValueId within = compute("lt", DType::Bool, {position, end});
  return mask < 0 ? within : compute("logical_and", DType::Bool, {mask, within});
}

ValueId TemplateBuilder::eval(NodeId id, const IndexEnv& env) {
  const int scope = scopes_.empty() ? 0 : scopes_.back().id;
  bool was_computed = false;
  for (const Memo& memo : memo_) {
    if (memo.node != id || !(memo.env == env)) continue;
    if (memo.scope == 0 || memo.scope == scope) return memo.value;
    was_computed = true;
  }
  const int cost = kernel_.cost;
  const int work = kernel_.work;
  const ValueId value = eval_new(id, env);
  if (value < 0) return value;
  // What an earlier pass over the row computed is kept, if it is costly.
  if (was_computed) {
    kernel_.cost = cost + 1;
    kernel_.work = work + 1;
  }
  memo_.push_back({id, env, value, scope_of_[static_cast<size_t>(value)]});
  return value;
}

ValueId TemplateBuilder::eval_new(NodeId id, const IndexEnv& env) {
  const Node& node = node_at(program_, id);
  const StructuralRows& r = rows();
  if (value_of_[static_cast<size_t>(id)] >= 0) return load(value_of_[static_cast<size_t>(id)], env);
  switch (node.primitive->cls) {
    case PrimitiveClass::Source:
      if (node.primitive == r.constant) return constant(node.type.dtype, node.attributes.value);
      if (node.primitive == r.number)
        return slot_value({node.attributes.index, Dim(0)}, node.type.dtype);
      if (node.primitive == r.extent) return extent_value(node.attributes.dims[0]);
      if (node.primitive == r.iota)
        return index_value(env.axes[static_cast<size_t>(node.attributes.axes[0])]);
      throw InternalError(concat("lower: source '", node.primitive->name, "' is not materialised"));
    case PrimitiveClass::Elementwise: {
      Statement s;
      s.kind = StatementKind::Compute;
      s.dtype = node.type.dtype;
      s.primitive = node.primitive;
      s.attributes = node.attributes;
      bool any = false;
      SmallVector<DType, 4> dtypes;
      for (const NodeId argument : node.arguments) {
        const ValueId value = eval(argument, env);
        if (value < 0) return value;
        s.arguments.push_back(value);
        dtypes.push_back(node_at(program_, argument).type.dtype);
        any |= varies(value);
      }
      kernel_.work += core_operations(*s.primitive, s.dtype, s.attributes, dtypes) / kSimple;
      return emit(std::move(s), any);
    }
    case PrimitiveClass::View:
    case PrimitiveClass::Reshape: {
      const std::optional<IndexEnv> inner = operand_env(program_, node, env);
      if (!inner) return fail(id);
      return eval(node.arguments[0], *inner);
    }
    case PrimitiveClass::Pad:
      return eval_pad(node, env);
    case PrimitiveClass::Concatenate:
      return chooses_in_rows(node, env) ? fail(id) : eval_concatenate(node, env);
    case PrimitiveClass::Gather: {
      const std::optional<IndexEnv> inner = gather_env(node, env);
      return inner ? eval(node.arguments[0], *inner) : -1;
    }
    case PrimitiveClass::Reduce:
      return eval_reduce(id, env);
    case PrimitiveClass::Scan:
      return eval_scan(id, env);
    case PrimitiveClass::Contract:
      return is_outer_product(program_, node) ? eval_outer_product(node, env) : fail(id);
    default:
      return fail(id);
  }
}

bool TemplateBuilder::is_kept_position(const Shape& shape, const IndexEnv& env,
                                       size_t skipped) const {
  int next = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i == skipped || (shape[i].is_one() && env.axes[i].is_zero())) continue;
    if (env.axes[i].as_loop() != next) return false;
    ++next;
  }
  return next == static_cast<int>(kernel_.kept.size());
}

ValueId TemplateBuilder::eval_scan(NodeId id, const IndexEnv& env) {
  const Node& node = node_at(program_, id);
  const auto axis = static_cast<size_t>(node.attributes.axes[0]);
  // Only the section that runs over the elements in order can carry a running value.
  if (scopes_.empty() || scopes_.back().id != root_scope_ || env.mask >= 0 ||
      kernel_.reduced.size() != 1 || !(kernel_.reduced[0] == node.type.shape[axis]) ||
      !(env.axes[axis] == scan_position(node, static_cast<int>(kernel_.kept.size()))) ||
      !is_kept_position(node.type.shape, env, axis))
    return fail(id);
  Statement s;
  s.kind = StatementKind::Scan;
  s.dtype = node.type.dtype;
  s.primitive = node.primitive;
  for (const NodeId argument : node.arguments) {
    const ValueId value = eval(argument, env);
    if (value < 0) return value;
    s.arguments.push_back(value);
  }
  has_scan_ = true;
  const int step = combination_cost(node);
  kernel_.cost += step;
  kernel_.work += step;
  return emit(std::move(s), true);
}

ValueId TemplateBuilder::eval_outer_product(const Node& node, const IndexEnv& env) {
  // env has the batch axes, the row and the column; the only k is 0.
  const size_t row = env.axes.size() - 2;
  IndexEnv of_a{env.axes, env.mask};
  IndexEnv of_b = of_a;
  of_a.axes[row + 1] = {};
  of_b.axes[row] = {};
  const ValueId a = eval(node.arguments[0], of_a);
  if (a < 0) return a;
  const ValueId b = eval(node.arguments[1], of_b);
  if (b < 0) return b;
  const DType dtype = node.type.dtype;
  if (!is_float(dtype)) return compute("mul", dtype, {a, b});
  return compute("fma", dtype, {a, b, constant(dtype, 0.0)});
}

ValueId TemplateBuilder::eval_reduce(NodeId id, const IndexEnv& env) {
  const Node& node = node_at(program_, id);
  const Node& operand = node_at(program_, node.arguments[0]);
  if (kernel_.reduced.empty() || env.mask >= 0) return fail(id);
  if (!is_kept_position(node.type.shape, env, node.type.shape.size())) return fail(id);
  const int kept = static_cast<int>(kernel_.kept.size());

  IndexEnv inner;
  size_t kept_axis = 0;
  size_t reduced = 0;
  for (size_t axis = 0; axis < operand.type.shape.size(); ++axis) {
    const Dim& extent = operand.type.shape[axis];
    const bool is_reduced = std::find(node.attributes.axes.begin(), node.attributes.axes.end(),
                                      static_cast<int64_t>(axis)) != node.attributes.axes.end();
    if (!is_reduced) {
      inner.axes.push_back(env.axes[kept_axis++]);
    } else if (extent.is_one()) {
      inner.axes.push_back({});
    } else {
      if (reduced >= kernel_.reduced.size() || !(kernel_.reduced[reduced] == extent))
        return fail(id);
      inner.axes.push_back(AxisIndex::loop(kept + static_cast<int>(reduced++)));
    }
  }
  const bool only_ones = reduced == 0 && kernel_.reduced.size() == 1 && kernel_.reduced[0].is_one();
  if (reduced != kernel_.reduced.size() && !only_ones) return fail(id);

  const DType dtype = compute_dtype(node.type.dtype);
  open_scope();
  ValueId yield = eval(node.arguments[0], inner);
  if (yield >= 0) yield = convert(yield, operand.type.dtype, dtype);
  Section section = std::move(scopes_.back().section);
  scopes_.pop_back();
  if (yield < 0) return yield;
  section.kind = Section::Kind::Reduce;
  section.reduction = node.primitive;
  section.yield = yield;
  section.dtype = dtype;
  section.result = kernel_.value_count++;
  scope_of_.push_back(0);
  kernel_.sections.push_back(std::move(section));
  return convert(kernel_.sections.back().result, dtype, node.type.dtype);
}

ValueId TemplateBuilder::eval_pad(const Node& node, const IndexEnv& env) {
  const Node& operand = node_at(program_, node.arguments[0]);
  const size_t rank = operand.type.shape.size();
  IndexEnv inner;
  inner.mask = env.mask;
  bool padded = false;
  for (size_t i = 0; i < rank; ++i) {
    const Dim& low = node.attributes.dims[i];
    const Dim& high = node.attributes.dims[rank + i];
    const Dim& interior = node.attributes.dims[2 * rank + i];
    if (low.is_zero() && high.is_zero() && interior.is_zero()) {
      inner.axes.push_back(env.axes[i]);
      continue;
    }
    padded = true;
    AxisIndex index = plus(env.axes[i], constant_index(Dim(0) - low));
    if (!interior.is_zero()) {
      // Position p holds element p / step where step divides p.
      const ValueId position = index_value(index);
      const ValueId step = index_value(constant_index(interior + 1));
      const ValueId rest = compute("remainder", DType::Int64, {position, step});
      const ValueId hit = compute("eq", DType::Bool, {rest, constant(DType::Int64, int64_t{0})});
      inner.mask = inner.mask < 0 ? hit : compute("logical_and", DType::Bool, {inner.mask, hit});
      index = {};
      index.dynamic.push_back({compute("div", DType::Int64, {position, step}), Dim(1)});
    }
    inner.mask = in_range(index, operand.type.shape[i], inner.mask);
    inner.axes.push_back(index);
  }
  if (!padded) return eval(node.arguments[0], env);
  const ValueId inside = eval(node.arguments[0], inner);
  if (inside < 0) return inside;
  const ValueId outside = eval(node.arguments[1], {{}, env.mask});
  if (outside < 0) return outside;
  return compute("select", node.type.dtype, {inner.mask, inside, outside});
}

bool TemplateBuilder::chooses_in_rows(const Node& concatenate, const IndexEnv& env) const {
  const auto& terms = env.axes[static_cast<size_t>(concatenate.attributes.axes[0])].terms;
  return std::any_of(terms.begin(), terms.end(), [&](const AxisIndex::Term& term) {
    return term.loop >= static_cast<int>(kernel_.kept.size());
  });
}

ValueId TemplateBuilder::eval_concatenate(const Node& node, const IndexEnv& env) {
  const auto axis = static_cast<size_t>(node.attributes.axes[0]);
  ValueId result = -1;
  Dim start = 0;
  for (const NodeId part : node.arguments) {
    const Dim& length = node_at(program_, part).type.shape[axis];
    IndexEnv inner = env;
    inner.axes[axis] = plus(env.axes[axis], constant_index(Dim(0) - start));
    // A loop over that part alone.
    if (const int loop = inner.axes[axis].as_loop();
        loop >= 0 && loop < static_cast<int>(kernel_.kept.size()) &&
        kernel_.kept[static_cast<size_t>(loop)] == length)
      return eval(part, inner);
    const ValueId mask = in_range(inner.axes[axis], length, env.mask);
    inner.mask = mask;
    const ValueId value = eval(part, inner);
    if (value < 0) return value;
    result = result < 0 ? value : compute("select", node.type.dtype, {mask, value, result});
    start = start + length;
  }
  return result;
}

std::optional<AxisIndex> affine_index(const Program& program, const std::vector<int>& value_of,
                                      NodeId id, const IndexEnv& env) {
  const Node& node = node_at(program, id);
  const StructuralRows& r = rows();
  if (value_of[static_cast<size_t>(id)] >= 0) return std::nullopt;
  if (node.primitive == r.iota) return env.axes[static_cast<size_t>(node.attributes.axes[0])];
  if (node.primitive == r.constant) return constant_index(Dim(node.attributes.value.to_int()));
  if (node.primitive == r.extent) return constant_index(node.attributes.dims[0]);
  if (const std::optional<IndexEnv> inner = operand_env(program, node, env))
    return affine_index(program, value_of, node.arguments[0], *inner);
  if (node.primitive != r.add && node.primitive != r.mul) return std::nullopt;
  const auto a = affine_index(program, value_of, node.arguments[0], env);
  const auto b = affine_index(program, value_of, node.arguments[1], env);
  if (!a || !b) return std::nullopt;
  if (node.primitive == r.add) return plus(*a, *b);
  if (b->terms.empty()) return times(*a, b->offset);
  if (a->terms.empty()) return times(*b, a->offset);
  return std::nullopt;
}

std::optional<AxisIndex> TemplateBuilder::index_of(NodeId id, const IndexEnv& env) {
  if (std::optional<AxisIndex> index = affine_index(program_, value_of_, id, env)) return index;
  const ValueId value = eval(id, env);
  if (value < 0) return std::nullopt;
  AxisIndex index;
  index.dynamic.push_back({value, Dim(1)});
  return index;
}

std::optional<IndexEnv> TemplateBuilder::gather_env(const Node& node, const IndexEnv& env) {
  IndexEnv inner;
  inner.mask = env.mask;
  for (size_t i = 1; i < node.arguments.size(); ++i) {
    std::optional<AxisIndex> index = index_of(node.arguments[i], env);
    if (!index) return std::nullopt;
    inner.axes.push_back(std::move(*index));
  }
  return inner;
}

void TemplateBuilder::store(ValueId value, int buffer_value, DType dtype,
                            SmallVector<AxisIndex, 5> axes) {
  Statement s;
  s.kind = StatementKind::Store;
  s.dtype = dtype;
  s.buffer = buffer_of(buffer_value, dtype, true);
  bool any = varies(value);
  for (const AxisIndex& axis : axes) any |= varies(axis);
  s.slot = access({s.buffer, std::move(axes), true});
  s.arguments.push_back(value);
  emit(std::move(s), any);
}

bool TemplateBuilder::store_root(NodeId id, int value, bool full,
                                 const SmallVector<AxisIndex, 5>& axes,
                                 const SmallVector<AxisIndex, 5>& target) {
  if (full) open_scope();
  root_scope_ = full ? scopes_.back().id : -1;
  has_scan_ = false;
  const ValueId result = eval_new(id, {axes, -1});
  if (result < 0) return false;
  store(result, value, node_at(program_, id).type.dtype, target);
  if (full) close_scope(has_scan_ ? Section::Kind::Scan : Section::Kind::Full);
  return true;
}

bool TemplateBuilder::store_scatter(NodeId id, int value, const SmallVector<AxisIndex, 5>& axes) {
  const Node& node = node_at(program_, id);
  const IndexEnv env{axes, -1};
  open_scope();
  ValueId update = eval(node.arguments.back(), env);
  if (update < 0) return false;
  SmallVector<AxisIndex, 5> position;
  for (size_t i = 1; i + 1 < node.arguments.size(); ++i) {
    const std::optional<AxisIndex> index = index_of(node.arguments[i], env);
    if (!index) return false;
    position.push_back(*index);
  }
  if (node.primitive->combine) {
    Statement s;
    s.kind = StatementKind::Load;
    s.dtype = node.type.dtype;
    s.buffer = buffer_of(value, s.dtype, true);
    s.slot = access({s.buffer, position, false});
    update = compute(row_of(*node.primitive->combine), node.type.dtype,
                     {emit(std::move(s), true), update});
  }
  store(update, value, node.type.dtype, position);
  close_scope(Section::Kind::Serial);
  return true;
}

void TemplateBuilder::open_scope() { scopes_.push_back({next_scope_++, {}}); }

void TemplateBuilder::close_scope(Section::Kind kind) {
  Section section = std::move(scopes_.back().section);
  scopes_.pop_back();
  section.kind = kind;
  kernel_.sections.push_back(std::move(section));
}

ScatterSpace scatter_space(const Program& program, NodeId id) {
  const Node& node = node_at(program, id);
  const Shape& shape = node_at(program, node.arguments.back()).type.shape;
  IndexEnv env;
  for (size_t a = 0; a < shape.size(); ++a)
    env.axes.push_back(shape[a].is_one() ? AxisIndex{} : AxisIndex::loop(static_cast<int>(a)));
  // An index that is an iota, possibly stretched along other axes, is the position along one axis.
  std::vector<bool> injective(shape.size(), false);
  for (size_t i = 1; i + 1 < node.arguments.size(); ++i) {
    NodeId index = node.arguments[i];
    IndexEnv position = env;
    for (;;) {
      const Node& n = node_at(program, index);
      if (n.primitive == rows().iota) {
        const int axis = position.axes[static_cast<size_t>(n.attributes.axes[0])].as_loop();
        if (axis >= 0) injective[static_cast<size_t>(axis)] = true;
        break;
      }
      const std::optional<IndexEnv> inner = operand_env(program, n, position);
      if (!inner) break;
      position = *inner;
      index = n.arguments[0];
    }
  }
  ScatterSpace out;
  for (size_t a = 0; a < shape.size(); ++a)
    if (!shape[a].is_one() && injective[a]) out.space.kept.push_back(shape[a]);
  int kept = 0;
  int reduced = static_cast<int>(out.space.kept.size());
  for (size_t a = 0; a < shape.size(); ++a) {
    if (shape[a].is_one()) {
      out.axes.push_back({});
    } else if (injective[a]) {
      out.axes.push_back(AxisIndex::loop(kept++));
    } else {
      out.axes.push_back(AxisIndex::loop(reduced++));
      out.space.reduced.push_back(shape[a]);
    }
  }
  if (out.space.reduced.empty()) out.space.reduced.push_back(Dim(1));
  return out;
}

KernelTemplate TemplateBuilder::finish() { return std::move(kernel_); }

bool KernelTemplate::has_section(Section::Kind kind) const {
  return std::any_of(sections.begin(), sections.end(),
                     [&](const Section& s) { return s.kind == kind; });
}

}  // namespace flambeau::lower
