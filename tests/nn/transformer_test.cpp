// Layers, losses and the Transformer in C++. The numbers are PyTorch 2.7.1's.

#include "nn/transformer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eager/copy.h"
#include "nn/init.h"
#include "nn/loss.h"
#include "tensor/generator.h"

namespace flambeau::nn {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

/// Numbers without a pattern.
Tensor numbers(const Ints& sizes) {
  const Tensor result = Tensor::empty(sizes);
  for (int64_t i = 0; i < result.numel(); ++i)
    result.data<float>()[i] = static_cast<float>((i * 7919 + 104729) % 2003) / 1001.5F - 1;
  return result;
}
Tensor mapped(const Tensor& x, float (*function)(float)) {
  const Tensor result = Tensor::empty(x.sizes());
  std::transform(x.data<float>(), x.data<float>() + x.numel(), result.data<float>(), function);
  return result;
}
Tensor bools(const Ints& sizes, const std::vector<bool>& values) {
  const Tensor result = Tensor::empty(sizes, DType::Bool);
  std::copy(values.begin(), values.end(), result.data<bool>());
  return result;
}
Tensor vector_of(const std::vector<float>& values) {
  const Tensor result = Tensor::empty({static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), result.data<float>());
  return result;
}
std::vector<float> values(const Tensor& tensor) {
  std::vector<float> result;
  const Tensor dense = row_major(tensor);
  result.assign(dense.data<float>(), dense.data<float>() + dense.numel());
  return result;
}
float number(const Tensor& tensor) { return static_cast<float>(tensor.item().to_double()); }

constexpr float kNear = 2e-5F;

TEST(Transformer, WholeIsPyTorchs) {
  default_generator().manual_seed(3);
  const Transformer model(
      {.d_model = 4, .nhead = 2, .dim_feedforward = 6, .dropout = 0, .batch_first = true}, 2, 1);
  const Tensor padding = bools({2, 3}, {false, false, true, false, false, false});
  const Tensor result =
      model.forward(numbers({2, 3, 4}), numbers({2, 2, 4}), {.key_padding_mask = padding},
                    {.attn_mask = generate_square_subsequent_mask(2), .is_causal = true},
                    {.key_padding_mask = padding});
  EXPECT_THAT(values(result),
              Pointwise(FloatNear(kNear), {0.29190463F, 0.9166314F, 0.47838116F, -1.6869173F,
                                           -0.75979853F, -0.024088435F, -0.8560243F, 1.6399113F,
                                           -1.1916726F, -0.78446126F, 0.9107868F, 1.0653472F,
                                           0.35129794F, -1.6502304F, 1.0429611F, 0.25597140F}));
  std::vector<std::string> names;
  for (const auto& [name, parameter] : model.named_parameters()) names.push_back(name);
  EXPECT_EQ(names[0], "encoder.layers.0.self_attn.in_proj_weight");
  EXPECT_EQ(names.back(), "decoder.norm.bias");
}

TEST(Transformer, LayerWithNormFirstIsPyTorchs) {
  default_generator().manual_seed(3);
  const TransformerEncoderLayer layer({.d_model = 4,
                                       .nhead = 2,
                                       .dim_feedforward = 6,
                                       .dropout = 0,
                                       .activation = "gelu",
                                       .norm_first = true,
                                       .bias = false});
  const Tensor mask = bools({3, 3}, {false, true, true, false, false, true, false, false, false});
  const Tensor masked = layer.forward(numbers({3, 2, 4}), {.attn_mask = mask});
  EXPECT_THAT(values(masked),
              Pointwise(FloatNear(kNear),
                        {-1.1316241F,  -0.06741237F, -0.35038507F, -0.9773167F, -0.10687935F,
                         -1.0350606F,  -1.1597216F,  1.6899357F,   0.12549035F, 1.189702F,
                         0.90672916F,  0.2797975F,   0.9978353F,   0.27509764F, 0.13506253F,
                         0.662688F,    -0.6173955F,  0.44681635F,  0.16384357F, -0.4630881F,
                         0.028909355F, -0.3661404F,  -0.53357625F, -0.25168598F}));
  EXPECT_THROW(TransformerEncoderLayer({.d_model = 4, .nhead = 2, .activation = "tanh"}),
               RuntimeError);
  EXPECT_THROW(MultiheadAttention(5, 2), ValueError);
}

TEST(Layers, ActivationsAndRmsNormArePyTorchs) {
  const Tensor x = numbers({1, 3});
  const auto run = [&](Layer&& layer) { return values(layer.forward(x)); };
  const auto near = [](const std::vector<float>& wanted) {
    return Pointwise(FloatNear(1e-6F), wanted);
  };
  EXPECT_THAT(run(SiLU()), near({-0.16884907F, -0.1940637F, -0.2155156F}));
  EXPECT_THAT(run(Mish()), near({-0.19836894F, -0.22662161F, -0.25007844F}));
  EXPECT_THAT(run(Tanh()), near({-0.40352982F, -0.4782547F, -0.546642F}));
  EXPECT_THAT(run(Sigmoid()), near({0.3946379F, 0.37268415F, 0.35124308F}));
  EXPECT_THAT(run(Hardswish()), near({-0.18341868F, -0.21516807F, -0.24404316F}));
  EXPECT_THAT(run(LeakyReLU(0.2)), near({-0.08557164F, -0.10414379F, -0.12271593F}));
  EXPECT_THAT(run(ELU(0.5)), near({-0.17404807F, -0.20295337F, -0.22929531F}));
  EXPECT_THAT(run(Softmax(1)), near({0.36472052F, 0.33237725F, 0.3029022F}));
  EXPECT_THAT(run(LogSoftmax(1)), near({-1.0086238F, -1.1014845F, -1.1943452F}));
  EXPECT_THAT(run(Identity()), near(values(x)));
  EXPECT_THAT(values(RMSNorm(4).forward(numbers({1, 4}))),
              near({-0.74207014F, -0.90312624F, -1.0641823F, -1.2252383F}));
  EXPECT_EQ(Flatten().forward(numbers({2, 3, 4})).sizes(), (Ints{2, 12}));
  EXPECT_EQ(LayerNorm(4, 1e-5, false).named_parameters().size(), 1U);
}

TEST(Losses, ArePyTorchs) {
  const Tensor x = numbers({3, 4});
  const Tensor flipped = Tensor::empty({3, 4});
  for (int64_t i = 0; i < 12; ++i)
    flipped.data<float>()[i] = x.data<float>()[(2 - i / 4) * 4 + i % 4];
  const Tensor twice = mapped(x, [](float v) { return 2 * v; });
  const Tensor positive = mapped(x, [](float v) { return v > 0 ? 1.0F : 0.0F; });
  const Tensor size = mapped(x, [](float v) { return std::abs(v); });
  const Tensor classes = Tensor::empty({3}, DType::Int64);
  const std::vector<int64_t> chosen{0, 3, 1};
  std::copy(chosen.begin(), chosen.end(), classes.data<int64_t>());
  const Tensor weight = vector_of({1, 2, 3, 4});
  const auto expect = [](const Tensor& loss, float wanted) {
    EXPECT_NEAR(number(loss), wanted, 1e-5F * std::max(1.0F, std::abs(wanted)));
  };
  expect(CrossEntropyLoss{.weight = weight, .label_smoothing = 0.1}(x, classes), 0.86863178F);
  expect(BCEWithLogitsLoss{.pos_weight = weight}(x, positive), 0.70047784F);
  expect(SmoothL1Loss{.reduction = "sum", .beta = 0.5}(x, flipped), 8.0569153F);
  expect(HuberLoss{}(x, flipped), 0.50474292F);
  expect(KLDivLoss{.reduction = "sum"}(x, size), -1.6742733F);
  expect(L1Loss{}(x, twice), 0.71892166F);
  expect(NLLLoss{}(x, classes), -0.410218F);
  expect(BCELoss{}(size, positive), 1.0930256F);
  expect(MSELoss{.reduction = "sum"}(x, twice), 6.532475F);
}

TEST(Init, DrawsArePyTorchs) {
  const Tensor w = Tensor::empty({3, 2});
  default_generator().manual_seed(3);
  EXPECT_THAT(values(init::xavier_normal_(w)),
              Pointwise(FloatNear(1e-6F), {0.5080364F, 0.11057435F, 0.05627469F, -0.38814935F,
                                           0.029208347F, -0.86536306F}));
  EXPECT_THAT(values(init::kaiming_normal_(w)),
              Pointwise(FloatNear(1e-6F), {0.3374951F, 1.0111159F, -1.4351794F, 0.9774318F,
                                           0.52204996F, 1.2379167F}));
  EXPECT_THAT(values(init::xavier_uniform_(w, 2)),
              Pointwise(FloatNear(1e-6F), {-1.398326F, -1.3683636F, -0.9081473F, 0.43685767F,
                                           -1.6595763F, -1.6878803F}));
  EXPECT_THAT(values(init::zeros_(w)), ElementsAre(0, 0, 0, 0, 0, 0));
}

TEST(Containers, DictKeepsOrderAndNames) {
  ModuleDict<Linear> dict;
  dict.insert("b", std::make_shared<Linear>(1, 1));
  dict.insert("a", std::make_shared<Linear>(1, 2));
  EXPECT_EQ(dict.named_parameters()[0].first, "b.weight");
  EXPECT_EQ(dict.find("a")->weight.size(0), 2);
  EXPECT_EQ(dict.find("c"), nullptr);
  EXPECT_THROW(dict.insert("a", std::make_shared<Linear>(1, 1)), ValueError);
}

}  // namespace
}  // namespace flambeau::nn
