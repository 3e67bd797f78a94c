#include "nn/transformer.h"

#include <cmath>

#include "base/error.h"
#include "flambeau/functions.h"
#include "nn/init.h"
#include "tensor/generator.h"

namespace flambeau::nn {
namespace {

/// A mask as numbers to add.
Tensor additive(const Tensor& mask, DType dtype) {
  if (!mask.defined() || mask.dtype() != DType::Bool) return mask;
  return masked_fill(zeros(mask.sizes(), dtype), mask, -INFINITY);
}

/// Layers that begin with the same values, drawn once.
template <class Child>
std::shared_ptr<ModuleList<Child>> clones(const TransformerLayerOptions& options, int64_t count) {
  auto result = std::make_shared<ModuleList<Child>>();
  if (count == 0) return result;
  result->push_back(std::make_shared<Child>(options));
  const NamedTensors values = (*result)[0].state_dict();
  const std::vector<std::byte> drawn = default_generator().get_state();
  for (int64_t i = 1; i < count; ++i) {
    result->push_back(std::make_shared<Child>(options));
    (*result)[static_cast<size_t>(i)].load_state_dict(values);
  }
  default_generator().set_state(drawn);
  return result;
}

Tensor activated(const TransformerLayerOptions& options, const Tensor& x) {
  return options.activation == "gelu" ? gelu(x) : relu(x);
}

void check_options(const TransformerLayerOptions& options) {
  check(options.activation == "relu" || options.activation == "gelu",
        [&] { return concat("activation should be relu/gelu, not ", options.activation); });
}

}  // namespace

MultiheadAttention::MultiheadAttention(int64_t embed_dim, int64_t num_heads, double dropout,
                                       bool bias, bool batch_first)
    : width_(embed_dim), heads_(num_heads), dropout_(dropout), batch_first_(batch_first) {
  check<ValueError>(embed_dim > 0 && num_heads > 0 && embed_dim % num_heads == 0, [&] {
    return concat("MultiheadAttention: embed_dim ", embed_dim, " is not a multiple of num_heads ",
                  num_heads);
  });
  in_proj_weight = register_parameter("in_proj_weight", Tensor::empty({3 * embed_dim, embed_dim}));
  if (bias)
    in_proj_bias =
        register_parameter("in_proj_bias", init::constant_(Tensor::empty({3 * embed_dim}), 0));
  out_proj_ = add<Linear>("out_proj", embed_dim, embed_dim, bias);
  init::xavier_uniform_(in_proj_weight);
  if (bias) init::constant_(out_proj_->bias, 0);
}

Tensor MultiheadAttention::forward(const Tensor& query, const Tensor& key, const Tensor& value,
                                   const AttentionMasks& masks) const {
  const auto time_first = [&](const Tensor& x) { return batch_first_ ? transpose(x, 0, 1) : x; };
  const TensorList weights = chunk(in_proj_weight, 3);
  const TensorList biases = in_proj_bias.defined() ? chunk(in_proj_bias, 3) : TensorList(3);
  const int64_t batch = query.size(batch_first_ ? 0 : 1);
  const int64_t head_width = width_ / heads_;
  /// [batch, heads, time, head width]
  const auto heads = [&](const Tensor& input, size_t part) {
    const Tensor x = linear(time_first(input), weights[part], biases[part]);
    return permute(reshape(x, {x.size(0), batch, heads_, head_width}), {1, 2, 0, 3});
  };
  const Tensor q = heads(query, 0);
  const Tensor k = heads(key, 1);
  const Tensor v = heads(value, 2);
  Tensor mask = additive(masks.attn_mask, q.dtype());
  bool is_causal = masks.is_causal;
  if (is_causal && !masks.key_padding_mask.defined()) {
    mask = {};
  } else {
    is_causal = false;
    if (mask.defined() && mask.dim() == 3)
      mask = reshape(mask, {batch, heads_, mask.size(1), mask.size(2)});
    if (masks.key_padding_mask.defined()) {
      const Tensor padding = additive(masks.key_padding_mask, q.dtype());
      const Tensor seen = reshape(padding, {batch, 1, 1, padding.size(1)});
      mask = mask.defined() ? flambeau::add(mask, seen) : seen;
    }
  }
  const double dropout = is_training() ? dropout_ : 0;
  const Tensor mixed = scaled_dot_product_attention(q, k, v, mask, dropout, is_causal);
  const int64_t time = q.size(2);
  const Tensor rows = reshape(permute(mixed, {2, 0, 1, 3}), {time, batch, width_});
  return time_first(out_proj_->forward(rows));
}

TransformerEncoderLayer::TransformerEncoderLayer(const TransformerLayerOptions& o)
    : options_(o),
      self_attn_(add<MultiheadAttention>("self_attn", o.d_model, o.nhead, o.dropout, o.bias,
                                         o.batch_first)),
      linear1_(add<Linear>("linear1", o.d_model, o.dim_feedforward, o.bias)),
      dropout_(add<Dropout>("dropout", o.dropout)),
      linear2_(add<Linear>("linear2", o.dim_feedforward, o.d_model, o.bias)),
      norm1_(add<LayerNorm>("norm1", o.d_model, o.layer_norm_eps, o.bias)),
      norm2_(add<LayerNorm>("norm2", o.d_model, o.layer_norm_eps, o.bias)),
      dropout1_(add<Dropout>("dropout1", o.dropout)),
      dropout2_(add<Dropout>("dropout2", o.dropout)) {
  check_options(o);
}

Tensor TransformerEncoderLayer::attend(const Tensor& x, const AttentionMasks& masks) const {
  return dropout1_->forward(self_attn_->forward(x, x, x, masks));
}
Tensor TransformerEncoderLayer::feed_forward(const Tensor& x) const {
  const Tensor inner = dropout_->forward(activated(options_, linear1_->forward(x)));
  return dropout2_->forward(linear2_->forward(inner));
}
Tensor TransformerEncoderLayer::forward(const Tensor& src, const AttentionMasks& masks) const {
  if (options_.norm_first) {
    const Tensor x = flambeau::add(src, attend(norm1_->forward(src), masks));
    return flambeau::add(x, feed_forward(norm2_->forward(x)));
  }
  const Tensor x = norm1_->forward(flambeau::add(src, attend(src, masks)));
  return norm2_->forward(flambeau::add(x, feed_forward(x)));
}

TransformerDecoderLayer::TransformerDecoderLayer(const TransformerLayerOptions& o)
    : options_(o),
      self_attn_(add<MultiheadAttention>("self_attn", o.d_model, o.nhead, o.dropout, o.bias,
                                         o.batch_first)),
      multihead_attn_(add<MultiheadAttention>("multihead_attn", o.d_model, o.nhead, o.dropout,
                                              o.bias, o.batch_first)),
      linear1_(add<Linear>("linear1", o.d_model, o.dim_feedforward, o.bias)),
      dropout_(add<Dropout>("dropout", o.dropout)),
      linear2_(add<Linear>("linear2", o.dim_feedforward, o.d_model, o.bias)),
      norm1_(add<LayerNorm>("norm1", o.d_model, o.layer_norm_eps, o.bias)),
      norm2_(add<LayerNorm>("norm2", o.d_model, o.layer_norm_eps, o.bias)),
      norm3_(add<LayerNorm>("norm3", o.d_model, o.layer_norm_eps, o.bias)),
      dropout1_(add<Dropout>("dropout1", o.dropout)),
      dropout2_(add<Dropout>("dropout2", o.dropout)),
      dropout3_(add<Dropout>("dropout3", o.dropout)) {
  check_options(o);
}

Tensor TransformerDecoderLayer::forward(const Tensor& tgt, const Tensor& memory,
                                        const AttentionMasks& tgt_masks,
                                        const AttentionMasks& memory_masks) const {
  const auto to_itself = [&](const Tensor& x) {
    return dropout1_->forward(self_attn_->forward(x, x, x, tgt_masks));
  };
  const auto to_memory = [&](const Tensor& x) {
    return dropout2_->forward(multihead_attn_->forward(x, memory, memory, memory_masks));
  };
  const auto feed_forward = [&](const Tensor& x) {
    const Tensor inner = dropout_->forward(activated(options_, linear1_->forward(x)));
    return dropout3_->forward(linear2_->forward(inner));
  };
  if (options_.norm_first) {
    Tensor x = flambeau::add(tgt, to_itself(norm1_->forward(tgt)));
    x = flambeau::add(x, to_memory(norm2_->forward(x)));
    return flambeau::add(x, feed_forward(norm3_->forward(x)));
  }
  Tensor x = norm1_->forward(flambeau::add(tgt, to_itself(tgt)));
  x = norm2_->forward(flambeau::add(x, to_memory(x)));
  return norm3_->forward(flambeau::add(x, feed_forward(x)));
}

TransformerEncoder::TransformerEncoder(const TransformerLayerOptions& options, int64_t num_layers,
                                       std::shared_ptr<LayerNorm> norm)
    : layers_(register_module("layers", clones<TransformerEncoderLayer>(options, num_layers))),
      norm_(std::move(norm)) {
  if (norm_) register_module("norm", norm_);
}
Tensor TransformerEncoder::forward(const Tensor& src, const AttentionMasks& masks) const {
  Tensor x = src;
  for (const auto& layer : *layers_) x = layer->forward(x, masks);
  return norm_ ? norm_->forward(x) : x;
}

TransformerDecoder::TransformerDecoder(const TransformerLayerOptions& options, int64_t num_layers,
                                       std::shared_ptr<LayerNorm> norm)
    : layers_(register_module("layers", clones<TransformerDecoderLayer>(options, num_layers))),
      norm_(std::move(norm)) {
  if (norm_) register_module("norm", norm_);
}
Tensor TransformerDecoder::forward(const Tensor& tgt, const Tensor& memory,
                                   const AttentionMasks& tgt_masks,
                                   const AttentionMasks& memory_masks) const {
  Tensor x = tgt;
  for (const auto& layer : *layers_) x = layer->forward(x, memory, tgt_masks, memory_masks);
  return norm_ ? norm_->forward(x) : x;
}

Transformer::Transformer(const TransformerLayerOptions& o, int64_t num_encoder_layers,
                         int64_t num_decoder_layers) {
  const auto norm = [&] {
    return std::make_shared<LayerNorm>(o.d_model, o.layer_norm_eps, o.bias);
  };
  encoder_ = add<TransformerEncoder>("encoder", o, num_encoder_layers, norm());
  decoder_ = add<TransformerDecoder>("decoder", o, num_decoder_layers, norm());
  for (const Tensor& parameter : parameters())
    if (parameter.dim() > 1) init::xavier_uniform_(parameter);
}
Tensor Transformer::forward(const Tensor& src, const Tensor& tgt, const AttentionMasks& src_masks,
                            const AttentionMasks& tgt_masks,
                            const AttentionMasks& memory_masks) const {
  return decoder_->forward(tgt, encoder_->forward(src, src_masks), tgt_masks, memory_masks);
}

Tensor generate_square_subsequent_mask(int64_t size) {
  return triu(full({size, size}, -INFINITY), 1);
}

}  // namespace flambeau::nn
