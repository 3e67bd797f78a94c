// The row of batched matrix products.

#include "base/cpu_features.h"
#include "ir/order.h"
#include "prim/structural.h"

namespace flambeau::prim {
namespace {

Type infer_contract(std::span<const Type> arguments, const Attributes&) {
  const Type& a = arguments[0];
  const Type& b = arguments[1];
  const size_t rank = a.shape.size();
  check<InternalError>(
      a.dtype == b.dtype && !is_bool(a.dtype) && rank >= 2 && b.shape.size() == rank, [&] {
        return concat("contract: operands ", info(a.dtype).name, " of rank ", rank, " and ",
                      info(b.dtype).name, " of rank ", b.shape.size(),
                      "; wanted one dtype, not bool, and one rank of at least 2");
      });
  // b's shape as it must be: a's batch axes and inner extent.
  Shape wanted = b.shape;
  for (size_t i = 0; i + 2 < rank; ++i) wanted[i] = a.shape[i];
  wanted[rank - 2] = a.shape[rank - 1];
  check_same_shape("contract", wanted, b.shape);
  Type result = a;
  result.shape[rank - 1] = b.shape[rank - 1];
  return result;
}

/// [..., n, 2] as [..., 2n].
Expr merged(const Expr& packed) {
  Shape shape = packed.shape();
  shape.pop_back();
  shape.back() = shape.back() * 2;
  return reshape(packed, shape);
}

/// One real product of twice the inner and outer extents: with the parts of `a` along k, those of
/// the result along n, and row (re, im; -im, re) of each element of `b`.
ComplexValue contract_complex(const Node&, std::span<const ComplexValue> a) {
  const Expr left = merged(ir::pack(a[0]));
  const int rank = a[1].re.rank();
  const Expr rows[] = {unsqueeze(merged(ir::pack(a[1])), rank - 1),
                       unsqueeze(merged(ir::pack({-a[1].im, a[1].re})), rank - 1)};
  const Expr pairs = concatenate(rows, rank - 1);  // [..., k, 2, 2n]
  Shape shape = pairs.shape();
  const Dim columns = shape.back();
  shape.pop_back();
  shape[shape.size() - 2] = shape[shape.size() - 2] * 2;
  shape.back() = columns;
  const Expr product = contract(left, reshape(pairs, shape));
  Shape split = product.shape();
  split.back() = a[1].re.dim(-1);
  split.push_back(2);
  return ir::unpack(reshape(product, split));
}

const RegisterPrimitive kContract{{
    .name = "contract",
    .cls = PrimitiveClass::Contract,
    .arity = 2,
    .doc = "[batch..., m, k] x [batch..., k, n] -> [batch..., m, n]: for each element ascending k "
           "in blocks of 256, each one chain of fused multiply-adds from zero, block sums added in "
           "ascending order. index 1: the operands hold bfloat16 values, and on CPUs with products "
           "of their pairs chains take k two at a time.",
    .infer = infer_contract,
    .interpret =
        [](const Node& node, std::span<const ArrayValue> arguments, const DimBindings&) {
          const bool pairs = node.attributes.index == 1 && has_pair_products(active_isa());
          return ir::contract_in_order(arguments[0], arguments[1], node.type.dtype, pairs);
        },
    .vjp = [](const VjpContext& c) -> Cotangents {
      return {contract(c.cotangent, transpose(c.arguments[1], -1, -2)),
              contract(transpose(c.arguments[0], -1, -2), c.cotangent)};
    },
    .batch =
        [](const BatchContext& c) {
          const Expr operands[] = {batched_argument(c, 0), batched_argument(c, 1)};
          return c.builder.add(c.node.primitive, operands, c.node.attributes);
        },
    .on_complex = contract_complex,
}};

}  // namespace
}  // namespace flambeau::prim
