#include "prim/relax.h"

#include <cmath>
#include <optional>

#include "prim/build.h"
#include "prim/uniform.h"

namespace flambeau::prim {
namespace {

using ir::Expr;
using ir::Node;
using ir::NodeId;
using ir::PrimitiveClass;

/// Rewrites a program node by node, operands first.
class Relaxer {
 public:
  explicit Relaxer(const ir::Program& program) : program_(program), builder_(program) {}

  ir::Program run() {
    for (size_t id = 0; id < program_.nodes.size(); ++id)
      values_.push_back(rewritten(static_cast<NodeId>(id)));
    std::vector<Expr> results;
    for (const NodeId id : program_.results) results.push_back(value(id));
    return builder_.finish(results);
  }

 private:
  const Node& node(NodeId id) const { return program_.nodes[static_cast<size_t>(id)]; }
  const Expr& value(NodeId id) const { return values_[static_cast<size_t>(id)]; }

  Expr rewritten(NodeId id) {
    const Node& n = node(id);
    if (n.arguments.empty()) return builder_.expr(id);
    SmallVector<Expr, 4> operands;
    // A product of bfloat16 values takes values that are.
    const bool rounded = n.primitive->cls == PrimitiveClass::Contract && n.attributes.index == 1;
    for (const NodeId argument : n.arguments)
      operands.push_back(rounded ? as_written(argument) : value(argument));
    if (n.primitive->cls == PrimitiveClass::Elementwise && is_float(n.type.dtype))
      if (const Expr simpler = simplified(n, operands); simpler.valid()) return simpler;
    return builder_.add(n.primitive, {operands.data(), operands.size()}, n.attributes);
  }

  /// The value with the roundings that lead to it.
  Expr as_written(NodeId id) {
    const Node& n = node(id);
    const PrimitiveClass cls = n.primitive->cls;
    const bool passes = n.primitive->name == "convert" || cls == PrimitiveClass::View ||
                        cls == PrimitiveClass::Reshape || cls == PrimitiveClass::Gather ||
                        cls == PrimitiveClass::Pad;
    if (!passes) return value(id);
    SmallVector<Expr, 4> operands;
    for (const NodeId argument : n.arguments)
      operands.push_back(argument == n.arguments[0] ? as_written(argument) : value(argument));
    return builder_.add(n.primitive, {operands.data(), operands.size()}, n.attributes);
  }

  /// What takes the place of the elementwise `n` of `operands`; invalid: nothing does.
  Expr simplified(const Node& n, const SmallVector<Expr, 4>& operands) {
    const std::string_view name = n.primitive->name;
    if (name == "convert") return unrounded(n, operands[0]);
    if (operands.size() != 2 || !is_float(operands[0].dtype())) return {};
    const Expr& a = operands[0];
    const Expr& b = operands[1];
    const std::optional<double> left = constant_of(a);
    const std::optional<double> right = constant_of(b);
    if (name == "add") {
      if (right == 0.0) return a;
      if (left == 0.0) return b;
      return first_valid({with_constant("add", a, b), with_constant("add", b, a),
                          multiply_add(a, b), multiply_add(b, a)});
    }
    if (name == "sub") return right == 0.0 ? a : Expr();
    if (name == "mul") return first_valid({with_constant("mul", a, b), with_constant("mul", b, a)});
    if (name != "div") return {};
    if (right && is_normal(1 / *right, b.dtype())) return a * constant_like(b, 1 / *right);
    if (right || !stretches(b)) return {};
    const auto stretched = [&](const Expr& row) {
      return builder_.add(b.node().primitive, {&row, 1}, b.node().attributes);
    };
    const Expr divisor = builder_.expr(b.node().arguments[0]);
    if (is_sum_of_powers(divisor)) return a * stretched(1.0 / divisor);
    // The least numbers have no inverse: they are scaled, and so is what they divide.
    const bool is_double = divisor.dtype() == DType::Float64;
    const Expr is_tiny = lt(abs(divisor), is_double ? 0x1p-1000 : 0x1p-100);
    const Expr large = constant_like(divisor, is_double ? 0x1p+128 : 0x1p+64);
    const Expr scale = select(is_tiny, large, 1.0);
    return a * stretched(scale) * stretched(1.0 / (divisor * scale));
  }

  /// True for a sum of exp, as softmax has one: where that is tiny, there is nothing to be had.
  bool is_sum_of_powers(const Expr& a) {
    const auto under = [&](Expr e) {
      while (e.node().primitive->cls == PrimitiveClass::View ||
             e.node().primitive->name == "convert")
        e = builder_.expr(e.node().arguments[0]);
      return e;
    };
    const Expr sum = under(a);
    return sum.node().primitive->name == "reduce_sum" &&
           under(builder_.expr(sum.node().arguments[0])).node().primitive->name == "exp";
  }

  /// True if `number` loses nothing but rounding as a constant.
  static bool is_normal(double number, DType dtype) {
    return std::isnormal(dtype == DType::Float64 ? number : static_cast<float>(number));
  }

  static Expr first_valid(std::initializer_list<Expr> choices) {
    for (const Expr& choice : choices)
      if (choice.valid()) return choice;
    return {};
  }

  Expr constant_like(const Expr& like, double number) {
    return broadcast_to(constant(builder_, like.dtype(), number), like.shape());
  }

  /// True for a broadcast that has more elements than its operand.
  bool stretches(const Expr& a) const {
    const Node& n = a.node();
    if (n.primitive->name != "broadcast") return false;
    const ir::Shape from = builder_.nodes()[static_cast<size_t>(n.arguments[0])].type.shape;
    std::vector<bool> copied(n.type.shape.size(), false);
    for (size_t i = 0; i < from.size(); ++i)
      copied[static_cast<size_t>(n.attributes.axes[i])] = !from[i].is_one();
    for (size_t axis = 0; axis < copied.size(); ++axis)
      if (!copied[axis] && !n.type.shape[axis].is_one()) return true;
    return false;
  }

  /// x for Float32 -> half -> Float32 of x.
  Expr unrounded(const Node& n, const Expr& operand) {
    const Node& inner = operand.node();
    if (inner.primitive->name != "convert" || n.type.dtype != DType::Float32) return {};
    if (inner.type.dtype != DType::BFloat16 && inner.type.dtype != DType::Float16) return {};
    const Expr source = builder_.expr(inner.arguments[0]);
    return source.dtype() == DType::Float32 ? source : Expr();
  }

  /// The number at every element, if the program tells.
  std::optional<double> constant_of(const Expr& a) const {
    const std::optional<Scalar> value = uniform_value(builder_.nodes(), a.id());
    return value ? std::optional(value->to_double()) : std::nullopt;
  }

  /// (x op c) op d = x op (c op d), where `inner` is x op c, or c op x, and `outer` is d.
  Expr with_constant(std::string_view op, const Expr& inner, const Expr& outer) {
    const std::optional<double> d = constant_of(outer);
    if (!d || inner.node().primitive->name != op) return {};
    const SmallVector<NodeId, 4> operands = inner.node().arguments;
    for (const size_t which : {size_t{0}, size_t{1}}) {
      const std::optional<double> c = constant_of(builder_.expr(operands[1 - which]));
      if (!c) continue;
      const double both = op == "add" ? *c + *d : *c * *d;
      if (!is_normal(both, outer.dtype())) return {};
      return elementwise(op, {builder_.expr(operands[which]), constant_like(outer, both)});
    }
    return {};
  }

  /// product + c in one, if it is a product.
  Expr multiply_add(const Expr& product, const Expr& c) {
    if (product.node().primitive->name != "mul") return {};
    if (product.dtype() != DType::Float32 && product.dtype() != DType::Float64) return {};
    const SmallVector<NodeId, 4> factors = product.node().arguments;
    return fma(builder_.expr(factors[0]), builder_.expr(factors[1]), c);
  }

  const ir::Program& program_;
  ir::Builder builder_;  // goes on with the program: equal nodes are those that are there
  std::vector<Expr> values_;
};

}  // namespace

ir::Program relax(const ir::Program& program) { return Relaxer(program).run(); }

}  // namespace flambeau::prim
