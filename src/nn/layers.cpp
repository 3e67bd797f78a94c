#include "nn/layers.h"

#include <cmath>

#include "base/error.h"
#include "flambeau/functions.h"
#include "nn/functional/functional.h"
#include "nn/init.h"

namespace flambeau::nn {

namespace F = functional;

Linear::Linear(int64_t in_features, int64_t out_features, bool has_bias) {
  weight = register_parameter(
      "weight", init::kaiming_uniform_(Tensor::empty({out_features, in_features}), std::sqrt(5.0)));
  if (!has_bias) return;
  const double bound = in_features > 0 ? 1 / std::sqrt(static_cast<double>(in_features)) : 0;
  bias = register_parameter("bias", init::uniform_(Tensor::empty({out_features}), -bound, bound));
}
Tensor Linear::forward(const Tensor& input) { return F::linear(input, weight, bias); }

Embedding::Embedding(int64_t count, int64_t width)
    : weight(register_parameter("weight", init::normal_(Tensor::empty({count, width})))) {}
Tensor Embedding::forward(const Tensor& input) { return F::embedding(input, weight); }

LayerNorm::LayerNorm(Ints shape, double eps, bool has_bias) : shape_(std::move(shape)), eps_(eps) {
  weight = register_parameter("weight", init::constant_(Tensor::empty(shape_), 1));
  if (has_bias) bias = register_parameter("bias", init::constant_(Tensor::empty(shape_), 0));
}
Tensor LayerNorm::forward(const Tensor& input) {
  return F::layer_norm(input, shape_, weight, bias, eps_);
}

Dropout::Dropout(double p) : p_(p) {
  check<ValueError>(p >= 0 && p <= 1, [&] {
    return concat("Dropout: probability has to be between 0 and 1, but got ", p);
  });
}
Tensor Dropout::forward(const Tensor& input) { return F::dropout(input, p_, is_training()); }

RMSNorm::RMSNorm(int64_t width, std::optional<double> eps) : width_(width), eps_(eps) {
  weight = register_parameter("weight", init::constant_(Tensor::empty({width}), 1));
}
Tensor RMSNorm::forward(const Tensor& input) {
  return flambeau::rms_norm(input, {width_}, weight, eps_);
}

Tensor Flatten::forward(const Tensor& input) { return flambeau::flatten(input, first_, last_); }

CausalSelfAttention::CausalSelfAttention(int64_t width, int64_t heads, double dropout)
    : heads_(heads), dropout_(dropout) {
  check<ValueError>(heads > 0 && width % heads == 0, [&] {
    return concat("CausalSelfAttention: width ", width, " is not a multiple of ", heads, " heads");
  });
  qkv_ = add<Linear>("qkv", width, 3 * width);
  out_ = add<Linear>("out", width, width);
}

Tensor CausalSelfAttention::forward(const Tensor& input) {
  const int64_t batch = input.size(0);
  const int64_t time = input.size(1);
  const int64_t width = input.size(2);
  const Tensor qkv = F::view(qkv_->forward(input), {batch, time, 3, heads_, width / heads_});
  const TensorList parts = F::unbind(F::permute(qkv, {2, 0, 3, 1, 4}));
  const double dropout = is_training() ? dropout_ : 0;
  const Tensor mixed = F::scaled_dot_product_attention(parts[0], parts[1], parts[2], dropout, true);
  return out_->forward(F::reshape(F::transpose(mixed, 1, 2), {batch, time, width}));
}

}  // namespace flambeau::nn
