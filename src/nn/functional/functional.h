#pragma once
// Functions of networks; shapes and errors are those of PyTorch's nn.functional.

#include "tensor/tensor.h"

namespace flambeau::nn::functional {

/// input @ weight.T + bias; weight is [out, in], an undefined bias is left out.
Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias = {});
/// Rows of weight [rows, width] by int64 or int32 index. IndexError for an index out of range.
Tensor embedding(const Tensor& input, const Tensor& weight);
/// (x - mean) / sqrt(var + eps) * weight + bias over the last axes, which have this shape.
Tensor layer_norm(const Tensor& input, const Ints& shape, const Tensor& weight, const Tensor& bias,
                  double eps = 1e-5);
Tensor gelu(const Tensor& input);
Tensor relu(const Tensor& input);
Tensor softmax(const Tensor& input, int64_t dim);
/// In training, zeroes elements with probability p and scales the others by 1 / (1 - p).
Tensor dropout(const Tensor& input, double p, bool training);
/// The mean of -log(softmax(input))[target]; input [rows, classes], target int64 [rows].
Tensor cross_entropy(const Tensor& input, const Tensor& target);
/// softmax(query @ key^T / sqrt(width)) @ value over the last two axes (time, width); is_causal
/// lets position t see positions up to t only.
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    double dropout_p = 0, bool is_causal = false);

// ---- what models are put together with ----------------------------------------------------------
Tensor add(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, double b);
/// 0, 1, ..., count - 1 as int64.
Tensor arange(int64_t count);
Tensor stack(const TensorList& tensors, int64_t dim = 0);
/// Views with other sizes; an extent of -1 is computed. RuntimeError if strides do not allow it.
Tensor view(const Tensor& self, const Ints& sizes);
/// As view(), copying where strides do not allow it.
Tensor reshape(const Tensor& self, const Ints& sizes);
Tensor transpose(const Tensor& self, int64_t dim0, int64_t dim1);
Tensor permute(const Tensor& self, const Ints& dims);
Tensor select(const Tensor& self, int64_t dim, int64_t index);
/// The slices along an axis, as views.
TensorList unbind(const Tensor& self, int64_t dim = 0);

}  // namespace flambeau::nn::functional
