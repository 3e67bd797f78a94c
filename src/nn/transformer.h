#pragma once
// Multi-head attention and the Transformer (Vaswani et al., 2017): the Python package's modules,
// with the same names of parameters, initial values and results.

#include "nn/containers.h"
#include "nn/layers.h"

namespace flambeau::nn {

/// What attention may not see. A mask is of bools, true where not to look, or of numbers to add.
struct AttentionMasks {
  Tensor attn_mask = {};         ///< [time, keys] or [batch * heads, time, keys]
  Tensor key_padding_mask = {};  ///< [batch, keys]
  bool is_causal = false;        ///< attn_mask is the causal one
};

/// Attention of several heads; [time, batch, width], or [batch, time, width] if batch_first.
class MultiheadAttention final : public Module {
 public:
  /// ValueError if embed_dim is no multiple of num_heads.
  MultiheadAttention(int64_t embed_dim, int64_t num_heads, double dropout = 0, bool bias = true,
                     bool batch_first = false);
  Tensor forward(const Tensor& query, const Tensor& key, const Tensor& value,
                 const AttentionMasks& masks = {}) const;
  Tensor in_proj_weight;  ///< [3 width, width]: queries, keys, values
  Tensor in_proj_bias;    ///< undefined without bias

 private:
  int64_t width_;
  int64_t heads_;
  double dropout_;
  bool batch_first_;
  std::shared_ptr<Linear> out_proj_;
};

struct TransformerLayerOptions {
  int64_t d_model = 512;
  int64_t nhead = 8;
  int64_t dim_feedforward = 2048;
  double dropout = 0.1;
  std::string activation = "relu";  ///< or "gelu"
  double layer_norm_eps = 1e-5;
  bool batch_first = false;
  bool norm_first = false;
  bool bias = true;
};

/// Self-attention, then a feed-forward block, each with residual, dropout and LayerNorm.
class TransformerEncoderLayer final : public Module {
 public:
  explicit TransformerEncoderLayer(const TransformerLayerOptions& options);
  Tensor forward(const Tensor& src, const AttentionMasks& masks = {}) const;

 private:
  Tensor attend(const Tensor& x, const AttentionMasks& masks) const;
  Tensor feed_forward(const Tensor& x) const;
  TransformerLayerOptions options_;
  std::shared_ptr<MultiheadAttention> self_attn_;
  std::shared_ptr<Linear> linear1_;
  std::shared_ptr<Dropout> dropout_;
  std::shared_ptr<Linear> linear2_;
  std::shared_ptr<LayerNorm> norm1_, norm2_;
  std::shared_ptr<Dropout> dropout1_, dropout2_;
};

/// Self-attention, attention to the encoder's output, then a feed-forward block.
class TransformerDecoderLayer final : public Module {
 public:
  explicit TransformerDecoderLayer(const TransformerLayerOptions& options);
  Tensor forward(const Tensor& tgt, const Tensor& memory, const AttentionMasks& tgt_masks = {},
                 const AttentionMasks& memory_masks = {}) const;

 private:
  TransformerLayerOptions options_;
  std::shared_ptr<MultiheadAttention> self_attn_;
  std::shared_ptr<MultiheadAttention> multihead_attn_;
  std::shared_ptr<Linear> linear1_;
  std::shared_ptr<Dropout> dropout_;
  std::shared_ptr<Linear> linear2_;
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
  std::shared_ptr<Dropout> dropout1_, dropout2_, dropout3_;
};

/// `num_layers` layers that begin with the same values, one after the other.
class TransformerEncoder final : public Module {
 public:
  TransformerEncoder(const TransformerLayerOptions& options, int64_t num_layers,
                     std::shared_ptr<LayerNorm> norm = nullptr);
  Tensor forward(const Tensor& src, const AttentionMasks& masks = {}) const;

 private:
  std::shared_ptr<ModuleList<TransformerEncoderLayer>> layers_;
  std::shared_ptr<LayerNorm> norm_;
};

class TransformerDecoder final : public Module {
 public:
  TransformerDecoder(const TransformerLayerOptions& options, int64_t num_layers,
                     std::shared_ptr<LayerNorm> norm = nullptr);
  Tensor forward(const Tensor& tgt, const Tensor& memory, const AttentionMasks& tgt_masks = {},
                 const AttentionMasks& memory_masks = {}) const;

 private:
  std::shared_ptr<ModuleList<TransformerDecoderLayer>> layers_;
  std::shared_ptr<LayerNorm> norm_;
};

/// Encoder and decoder, with xavier_uniform_ for every matrix.
class Transformer final : public Module {
 public:
  explicit Transformer(const TransformerLayerOptions& options, int64_t num_encoder_layers = 6,
                       int64_t num_decoder_layers = 6);
  Tensor forward(const Tensor& src, const Tensor& tgt, const AttentionMasks& src_masks = {},
                 const AttentionMasks& tgt_masks = {},
                 const AttentionMasks& memory_masks = {}) const;

 private:
  std::shared_ptr<TransformerEncoder> encoder_;
  std::shared_ptr<TransformerDecoder> decoder_;
};

/// -inf where a position would look ahead, 0 elsewhere; [size, size].
Tensor generate_square_subsequent_mask(int64_t size);

}  // namespace flambeau::nn
