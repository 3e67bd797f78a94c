#pragma once
// What the losses share: PyTorch's two ways to say how a loss is reduced, and the reduction.

#include "ops/checks.h"
#include "ops/functions.h"

namespace flambeau::ops {

/// Sets `reduction` from the old arguments size_average and reduce where they are given; ValueError
/// for a reduction that is none of "none", "mean", "sum".
void resolve_reduction(const Call& call, Arguments& arguments);
/// A result of `dtype`: `sizes` for "none", else a number.
void loss_result(const Call& call, ResultInfos& results, DType dtype, const Ints& sizes);
/// The broadcast of input and target, in their common dtype.
void pairwise_loss_shape(const Call& call, ResultInfos& results);
/// `loss` as the call reduces it.
ir::Expr reduced(Lowering& l, const ir::Expr& loss);
/// A loss of two tensors of one shape, element by element.
Definition pairwise_loss(std::string_view schema, std::string_view doc, void (*lower)(Lowering&),
                         std::string alias, const std::function<SampleList()>& samples);
SampleList pair_samples();

}  // namespace flambeau::ops
