#pragma once
// Forward mode: tensors that carry a tangent, which every call carries on to its results. The
// product with a Jacobian is the transpose of the backward program, which is linear in the
// gradients that it is given: no primitive needs a second rule.

#include <span>

#include "autograd/node.h"
#include "eager/dispatch.h"

namespace flambeau {

/// Tangents live until the level that they were made in is left. One level at a time, for all
/// threads; RuntimeError for another.
void enter_dual_level();
void exit_dual_level();
/// Whether there is a level, and this thread carries tangents on.
bool carries_tangents();

/// Within a scope, this thread carries no tangents on.
class NoTangentsGuard {
 public:
  NoTangentsGuard();
  ~NoTangentsGuard();
  NoTangentsGuard(const NoTangentsGuard&) = delete;
  NoTangentsGuard& operator=(const NoTangentsGuard&) = delete;

 private:
  bool previous_;
};

/// The tangent of a tensor, undefined if it has none; of a view that of its part of the base.
Tensor tangent(const Tensor& tensor);
/// Gives a tensor that was made just now its tangent.
void set_result_tangent(const Tensor& tensor, const Tensor& tangent);
/// Gives a tensor that was written a tangent. Of a view, its part of the base's is written.
void set_tangent(const Tensor& tensor, const Tensor& tangent);
/// The data and history of `primal` with a tangent (or none, if undefined). RuntimeError where
/// there is no level, or they do not fit; ValueError for integers.
Tensor make_dual(const Tensor& primal, const Tensor& tangent);

/// detach() that keeps the tangent.
Tensor detach_with_tangent(const Tensor& tensor);

/// The inputs that have tangents, as a set of bits; `tangents` gets them.
uint64_t find_tangents(std::span<const Tensor> inputs, TensorList& tangents);
/// The tangents of the results of a call or program, whose derivative with respect to the inputs
/// that have tangents is `derivative`; undefined for results that do not depend on them.
TensorList jacobian_product(const Derivative& derivative, std::span<const Tensor> inputs,
                            std::span<const Tensor> results, std::span<const Tensor> saved,
                            const TensorList& tangents, std::span<const Scalar> numbers,
                            std::span<const int64_t> integers, const std::string& name);

}  // namespace flambeau
