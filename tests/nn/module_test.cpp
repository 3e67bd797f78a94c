#include "nn/module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "autograd/node.h"
#include "base/error.h"
#include "nn/clip_grad.h"
#include "nn/functional/functional.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "tensor/generator.h"

namespace flambeau::nn {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;
namespace F = functional;

std::vector<float> values(const Tensor& tensor) {
  return {tensor.data<float>(), tensor.data<float>() + tensor.numel()};
}
Tensor tensor(const Ints& sizes, const std::vector<float>& numbers) {
  const Tensor result = Tensor::empty(sizes);
  std::copy(numbers.begin(), numbers.end(), result.data<float>());
  return result;
}
Tensor ones(const Ints& sizes) { return init::constant_(Tensor::empty(sizes), 1); }

template <class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

struct Net : Module {
  Net() {
    first = add<Linear>("first", 2, 3);
    rest = add<ModuleList<Linear>>("rest");
    rest->push_back(std::make_shared<Linear>(3, 1, false));
    scale = register_parameter("scale", ones({1}));
    count = register_buffer("count", ones({}));
  }
  Tensor forward(const Tensor& x) const { return (*rest)[0].forward(first->forward(x)); }
  std::shared_ptr<Linear> first;
  std::shared_ptr<ModuleList<Linear>> rest;
  Tensor scale, count;
};

TEST(Module, NamesFollowRegistration) {
  const Net net;
  std::vector<std::string> names;
  for (const auto& [name, parameter] : net.named_parameters()) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("scale", "first.weight", "first.bias", "rest.0.weight"));
  EXPECT_EQ(net.named_buffers()[0].first, "count");
  EXPECT_EQ(net.state_dict().size(), 5U);
  for (const Tensor& parameter : net.parameters()) EXPECT_TRUE(requires_grad(parameter));
}

TEST(Module, RefusesBadNames) {
  struct Bad : Module {
    explicit Bad(const std::string& name) {
      register_buffer("taken", Tensor::empty({1}));
      add<GELU>(name);
    }
  };
  EXPECT_THAT(message_of([] { Bad("taken"); }), HasSubstr("'taken' is taken"));
  EXPECT_THAT(message_of([] { Bad("a.b"); }), HasSubstr("'a.b' is no name"));
  EXPECT_THAT(message_of([] { Bad(""); }), HasSubstr("is no name"));
}

TEST(Module, StateComesBackByValue) {
  const Net net;
  const Net other;
  other.load_state_dict(net.state_dict());
  EXPECT_EQ(values(other.first->weight), values(net.first->weight));
  EXPECT_NE(other.first->weight.data_ptr(), net.first->weight.data_ptr());
  NamedTensors state = net.state_dict();
  state.erase("scale");
  state["extra"] = ones({1});
  state["first.bias"] = ones({4});
  const std::string message = message_of([&] { other.load_state_dict(state); });
  EXPECT_THAT(message, HasSubstr("missing: scale"));
  EXPECT_THAT(message, HasSubstr("unexpected: extra"));
  EXPECT_THAT(message, HasSubstr("first.bias has shape [4], expected [3]"));
}

TEST(Module, ModesReachEveryChild) {
  Sequential net({std::make_shared<Dropout>(0.5), std::make_shared<ReLU>()});
  const Tensor x = ones({100});
  net.eval();
  EXPECT_EQ(values(net(x)), values(x));
  net.train();
  const std::vector<float> dropped = values(net(x));
  EXPECT_THAT(dropped, testing::Contains(0.0F));
  EXPECT_THAT(dropped, testing::Contains(2.0F));
}

TEST(Module, BackwardFillsGradientsAndZeroGradForgetsThem) {
  const Net net;
  const Tensor out = net.forward(ones({1, 2}));
  backward(F::view(out, {}));
  // d out / d first.bias is the second layer's weight.
  EXPECT_EQ(values(grad(net.first->bias)), values((*net.rest)[0].weight));
  EXPECT_FALSE(grad(net.scale).defined());
  net.zero_grad();
  EXPECT_FALSE(grad(net.first->bias).defined());
}

// PyTorch 2.7.1 after manual_seed(0).
TEST(Layers, InitialValuesArePyTorchs) {
  default_generator().manual_seed(0);
  const Linear linear(3, 2);
  EXPECT_THAT(values(linear.weight),
              ElementsAre(-0.004322517663240433F, 0.3097158372402191F, -0.4751853346824646F,
                          -0.4248946011066437F, -0.2223689705133438F, 0.15482072532176971F));
  EXPECT_THAT(values(linear.bias), ElementsAre(-0.011439144611358643F, 0.45777493715286255F));
  default_generator().manual_seed(0);
  const Embedding embedding(4, 5);
  EXPECT_FLOAT_EQ(values(embedding.weight)[0], -1.1258398294448853F);
  EXPECT_FLOAT_EQ(values(embedding.weight)[5], -1.5550950765609741F);
}

TEST(Layers, ANetworkGivesPyTorchsValues) {
  default_generator().manual_seed(0);
  Sequential net({std::make_shared<Linear>(4, 8), std::make_shared<LayerNorm>(8),
                  std::make_shared<GELU>(), std::make_shared<Linear>(8, 2)});
  std::vector<float> numbers;
  for (int i = 0; i < 12; ++i) numbers.push_back(static_cast<float>(i) / 10);
  const Tensor y = net(tensor({3, 4}, numbers));
  EXPECT_THAT(values(y), Pointwise(FloatNear(1e-6F), {0.16613954305648804F, -0.34802719950675964F,
                                                      -0.046040356159210205F, -0.2753943204879761F,
                                                      -0.151655912399292F, -0.24055981636047363F}));
  const Tensor target = Tensor::empty({3}, DType::Int64);
  std::copy_n(std::array<int64_t, 3>{0, 1, 1}.begin(), 3, target.data<int64_t>());
  const Tensor loss = F::cross_entropy(y, target);
  EXPECT_NEAR(loss.item().to_double(), 0.673907995223999, 1e-6);
  backward(loss);
  EXPECT_NEAR(clip_grad_norm_(net.parameters(), 0.1).item().to_double(), 0.8479543328285217, 1e-5);
  EXPECT_NEAR(values(grad(net.parameters()[0]))[0], -0.0021277095656841993, 1e-6);
}

TEST(Layers, AttentionSeesOnlyThePast) {
  default_generator().manual_seed(0);
  CausalSelfAttention attention(8, 2);
  const Tensor x = init::normal_(Tensor::empty({1, 4, 8}));
  const std::vector<float> before = values(attention(x));
  x.data<float>()[3 * 8] += 1;
  const std::vector<float> after = values(attention(x));
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + 24, after.begin()));
  EXPECT_FALSE(std::equal(before.begin() + 24, before.end(), after.begin() + 24));
  EXPECT_THAT(message_of([] { CausalSelfAttention(8, 3); }),
              HasSubstr("width 8 is not a multiple of 3 heads"));
}

TEST(ClipGrad, SmallGradientsStayAndNothingIsNoError) {
  const Tensor p = ones({2});
  EXPECT_EQ(clip_grad_norm_({p}, 1).item().to_double(), 0);
  set_grad(p, tensor({2}, {3, 4}));
  EXPECT_FLOAT_EQ(static_cast<float>(clip_grad_norm_({p}, 10).item().to_double()), 5);
  EXPECT_THAT(values(grad(p)), ElementsAre(3, 4));
}

TEST(Init, Errors) {
  EXPECT_THAT(message_of([] { init::kaiming_uniform_(Tensor::empty({3})); }),
              HasSubstr("at least 2 dimensions, got shape [3]"));
  EXPECT_THAT(message_of([] { init::normal_(Tensor::empty({3}, DType::Int64)); }),
              HasSubstr("expected a contiguous float tensor, got int64"));
}

}  // namespace
}  // namespace flambeau::nn
