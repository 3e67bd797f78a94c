#pragma once
// Clipping of gradients.

#include "tensor/tensor.h"

namespace flambeau::nn {

/// Scales the gradients of the parameters so that their common Euclidean norm is at most
/// `max_norm`; returns the norm before, a 0-dim tensor. Parameters without a gradient are skipped.
Tensor clip_grad_norm_(const TensorList& parameters, double max_norm);

}  // namespace flambeau::nn
