#include "nn/clip_grad.h"

#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "nn/functional/functional.h"
#include "nn/functional/operation.h"

namespace flambeau::nn {

Tensor clip_grad_norm_(const TensorList& parameters, double max_norm) {
  using functional::Operation;
  static const Operation norms_of("_foreach_norm");
  static const Operation norm_of("linalg_vector_norm");
  static const Operation add("add", "Tensor");
  static const Operation divide("div", "Tensor");
  static const Operation clamp("clamp");
  static const Operation multiply("_foreach_mul_");
  const GradModeGuard no_grad(false);
  TensorList grads;
  for (const Tensor& parameter : parameters)
    if (const Tensor gradient = grad(parameter); gradient.defined()) grads.push_back(gradient);
  if (grads.empty()) return Tensor::from_scalar(0.0);
  const Results norms = norms_of(grads);
  const Tensor total = norm_of(functional::stack({norms.begin(), norms.end()}))[0];
  const Tensor ratio = divide(Scalar(max_norm), add(total, Scalar(1e-6))[0])[0];
  multiply(grads, clamp(ratio, std::nullopt, Scalar(1.0))[0]);
  return total;
}

}  // namespace flambeau::nn
