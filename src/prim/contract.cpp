// The row of batched matrix products.

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

const RegisterPrimitive kContract{{
    .name = "contract",
    .cls = PrimitiveClass::Contract,
    .arity = 2,
    .doc = "[batch..., m, k] x [batch..., k, n] -> [batch..., m, n]: for each element ascending k "
           "in blocks of 256, each one chain of fused multiply-adds from zero, block sums added in "
           "ascending order.",
    .infer = infer_contract,
    .interpret =
        [](const Node& node, std::span<const ArrayValue> arguments, const DimBindings&) {
          return ir::contract_in_order(arguments[0], arguments[1], node.type.dtype);
        },
    .vjp = [](const VjpContext& c) -> Cotangents {
      return {contract(c.cotangent, transpose(c.arguments[1], -1, -2)),
              contract(transpose(c.arguments[0], -1, -2), c.cotangent)};
    },
    .batch =
        [](const BatchContext& c) {
          return contract(batched_argument(c, 0), batched_argument(c, 1));
        },
}};

}  // namespace
}  // namespace flambeau::prim
