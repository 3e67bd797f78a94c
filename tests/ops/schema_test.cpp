#include "ops/schema.h"

#include <gtest/gtest.h>

#include <random>

#include "base/error.h"

namespace flambeau::ops {
namespace {

TEST(Schema, ReadsPartsOfASignature) {
  const Schema s = parse_schema(
      "op.over(Tensor(a!) self, Tensor?[] indices, int[2] k=1, float eps=1e-05, *, Scalar? x=None, "
      "ScalarType? dtype=None, str mode=\"none\", bool flag=False) -> (Tensor(a!) out, Tensor[])");
  EXPECT_EQ(s.name, "op");
  EXPECT_EQ(s.overload, "over");
  ASSERT_EQ(s.parameters.size(), 8U);
  EXPECT_TRUE(s.parameters[0].written);
  EXPECT_EQ(s.parameters[0].alias, 'a');
  EXPECT_EQ(s.parameters[1].type, ArgumentType::TensorList);
  EXPECT_TRUE(s.parameters[1].optional_items);
  EXPECT_FALSE(s.parameters[1].optional);
  EXPECT_EQ(std::get<Ints>(s.parameters[2].default_value), (Ints{1, 1}));
  EXPECT_EQ(std::get<Scalar>(s.parameters[3].default_value), Scalar(1e-05));
  EXPECT_FALSE(s.parameters[3].keyword_only);
  EXPECT_TRUE(s.parameters[4].keyword_only);
  EXPECT_TRUE(s.parameters[4].optional);
  EXPECT_EQ(std::get<std::string>(s.parameters[6].default_value), "none");
  ASSERT_EQ(s.returns.size(), 2U);
  EXPECT_EQ(s.returns[0].name, "out");
  EXPECT_EQ(s.returns[1].type, ArgumentType::TensorList);
  EXPECT_EQ(s.index_of("flag"), 7);
  EXPECT_THROW(s.index_of("nothing"), InternalError);
}

TEST(Schema, WritesWhatItReads) {
  for (const char* text : {
           "f() -> Tensor",
           "f() -> ()",
           "f(Tensor self) -> (Tensor values, Tensor indices)",
           "f(Tensor(a) self, int[]? dim=None, bool keepdim=False) -> Tensor(a)[]",
           "f(Tensor(a!)[] self, *, float lr=0.001, int n=-3) -> ()",
           "f(Scalar x=1.0, Scalar y=True, ScalarType d=int64) -> bool",
           "f(float[] values=[0.5, 2.0], MemoryFormat m=contiguous_format) -> Tensor",
       })
    EXPECT_EQ(parse_schema(text).text(), text);
}

TEST(Schema, SaysWhereTextIsWrong) {
  const auto message = [](std::string_view text) -> std::string {
    try {
      parse_schema(text);
    } catch (const InternalError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_NE(message("f(Tensr x) -> Tensor").find("expected a type at position 2"),
            std::string::npos);
  EXPECT_NE(message("f(Tensor x) Tensor").find("expected '->'"), std::string::npos);
  EXPECT_NE(message("f(Tensor x, Tensor x) -> Tensor").find("differ"), std::string::npos);
  EXPECT_NE(message("f(int x=None) -> Tensor").find("not None"), std::string::npos);
  EXPECT_NE(message("f(Tensor x) -> Tensor more text").find("expected the end"), std::string::npos);
}

TEST(Schema, SurvivesAnyText) {
  const std::string good =
      "op.over(Tensor(a!) self, Tensor?[] i, int[2] k=[1, 2], *, str m=\"x\") -> (Tensor(a!) o, "
      "int)";
  std::mt19937 random(7);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = good;
    const size_t edits = 1 + random() % 3;
    for (size_t i = 0; i < edits; ++i) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text.erase(at, 1 + random() % 4);
          break;
        case 1:
          text.insert(at, 1, good[random() % good.size()]);
          break;
        default:
          text[at] = static_cast<char>(32 + random() % 95);
      }
      if (text.empty()) text = " ";
    }
    try {
      const std::string once = parse_schema(text).text();
      EXPECT_EQ(parse_schema(once).text(), once) << text;
    } catch (const InternalError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace flambeau::ops
