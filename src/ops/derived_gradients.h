#pragma once
// For overrides of gradients that differ from the derived ones in few places.

#include <array>
#include <vector>

#include "ops/definition.h"
#include "ops/functions.h"
#include "prim/vjp.h"

namespace flambeau::ops {

/// The derived gradients of the first result to these operands, for `v.gradients`.
inline std::vector<Expr> derived_gradients(const VjpLowering& v,
                                           const std::vector<Expr>& operands) {
  // Cotangents of overrides are conjugates: see prim/vjp.h.
  const std::array seeds{prim::conj(v.cotangents[0])};
  std::vector<Expr> found =
      prim::differentiate(operands[0].builder(), std::array{v.results[0]}, seeds, operands);
  // No dependence is a slope of 0.
  for (size_t i = 0; i < found.size(); ++i)
    found[i] = found[i].valid() ? prim::conj(found[i]) : full_like(operands[i], 0.0);
  return found;
}

}  // namespace flambeau::ops
