#include "io/checkpoint.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "base/error.h"
#include "io/safetensors.h"

namespace flambeau::io {
namespace {

using nn::State;

std::string temporary() {
  return (std::filesystem::temp_directory_path() /
          concat("flambeau-checkpoint-", ::getpid(), ".safetensors"))
      .string();
}

TEST(Checkpoint, ComesBack) {
  const std::string path = temporary();
  const Tensor tensor = Tensor::from_scalar(7.5);
  const State state = State::Dict{
      {"none", {}},
      {"flag", true},
      {"count", int64_t{1} << 62},
      {"ratio", 0.1},
      {"whole", 2.0},
      {"inf", -INFINITY},
      {"text", "caf\xc3\xa9"},
      {"a.b", tensor},
      {"a", State::Dict{{"b", tensor}}},
      {"list", State::List{1, State::Tuple{{2.5, State()}}}},
      {"numbers", State::Dict{{0, tensor}, {5, "five"}}},
      {"$odd", State::Dict{{"$tensor", 3}}},
  };
  save_checkpoint(state, path);
  const State back = load_checkpoint(path);
  EXPECT_TRUE(back["none"].is_none());
  EXPECT_TRUE(back["flag"].to_bool());
  EXPECT_EQ(back["count"].to_int(), int64_t{1} << 62);
  EXPECT_EQ(back["ratio"].to_double(), 0.1);
  EXPECT_TRUE(back["whole"].is<double>());
  EXPECT_EQ(back["inf"].to_double(), -INFINITY);
  EXPECT_EQ(back["text"].text(), "caf\xc3\xa9");
  EXPECT_EQ(back["a.b"].tensor().item().to_double(), 7.5);
  EXPECT_EQ(back["a"]["b"].tensor().item().to_double(), 7.5);
  EXPECT_TRUE(back["list"].list()[1].is<State::Tuple>());
  EXPECT_EQ(back["numbers"][5].text(), "five");
  EXPECT_EQ(back["$odd"]["$tensor"].to_int(), 3);
  EXPECT_THROW(back["ratio"].to_int(), ValueError);
  EXPECT_THROW(back["nothing"], ValueError);
  std::filesystem::remove(path);
}

TEST(Checkpoint, OtherAndDamagedFilesAreRefused) {
  const std::string path = temporary();
  save_file({{"x", Tensor::from_scalar(1.0)}}, path);
  EXPECT_THROW(load_checkpoint(path), ValueError);
  const auto with_state = [&](const std::string& text) {
    save_file({}, path, {{"format", "flambeau.checkpoint.1"}, {"state", text}});
  };
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += '[';
  for (const std::string& text :
       {std::string("{"), std::string(R"({"a": {"$tensor": "x"}})"),
        std::string(R"({"a": {"$dict": [[1]]}})"), std::string(R"({"$float": 3})"), deep}) {
    with_state(text);
    EXPECT_THROW(load_checkpoint(path), ValueError) << text.substr(0, 40);
  }
  EXPECT_THROW(save_checkpoint(State(3), path), TypeError);
  EXPECT_THROW(save_checkpoint(State::Dict{{"a", "\xff"}}, path), ValueError);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace flambeau::io
