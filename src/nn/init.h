#pragma once
// Initial values, drawn from the default generator as the Python package (and PyTorch) draws them.
// They write dense float tensors, unrecorded, and return them.

#include "tensor/tensor.h"

namespace flambeau::nn::init {

Tensor uniform_(const Tensor& tensor, double from = 0, double to = 1);
Tensor normal_(const Tensor& tensor, double mean = 0, double std = 1);
Tensor constant_(const Tensor& tensor, double value);
/// Uniform in +-gain sqrt(6 / (fan_in + fan_out)), and normal with the same variance (Glorot &
/// Bengio 2010); for tensors [out, in, ...].
Tensor xavier_uniform_(const Tensor& tensor, double gain = 1);
Tensor xavier_normal_(const Tensor& tensor, double gain = 1);
/// Uniform in +-sqrt(6 / ((1 + a^2) fan_in)) (He et al. 2015); for tensors [out, in, ...].
Tensor kaiming_uniform_(const Tensor& tensor, double a = 0);
/// Normal with the same variance.
Tensor kaiming_normal_(const Tensor& tensor, double a = 0);
Tensor ones_(const Tensor& tensor);
Tensor zeros_(const Tensor& tensor);

}  // namespace flambeau::nn::init
