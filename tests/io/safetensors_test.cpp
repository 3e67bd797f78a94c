#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "base/error.h"

namespace flambeau::io {
namespace {

using testing::HasSubstr;

/// A folder that goes when the test ends.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = testing::TempDir() + "/flambeau-io-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return path_ + "/" + name; }
  size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_),
                                             std::filesystem::directory_iterator()));
  }

 private:
  std::string path_;
};

Tensor ramp(const Ints& sizes, DType dtype) {
  const Tensor tensor = Tensor::empty(sizes, dtype);
  const auto bytes = static_cast<size_t>(tensor.numel()) * size_of(dtype);
  for (size_t i = 0; i < bytes; ++i)
    static_cast<unsigned char*>(tensor.data_ptr())[i] = static_cast<unsigned char>(i * 7 + 1);
  return tensor;
}

std::vector<std::byte> file_of(const std::string& header, size_t data_bytes) {
  std::vector<std::byte> file(8 + header.size() + data_bytes);
  const uint64_t length = header.size();
  std::memcpy(file.data(), &length, 8);
  std::memcpy(file.data() + 8, header.data(), header.size());
  return file;
}

std::string refusal(std::span<const std::byte> file) {
  try {
    parse_safetensors(file, "load_file: x");
  } catch (const ValueError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Safetensors, EveryDtypeAndShapeComesBack) {
  const TemporaryFolder folder;
  NamedTensors tensors;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto dtype = static_cast<DType>(i);
    if (info(dtype).file_name.empty()) continue;
    tensors[std::string(info(dtype).name)] = ramp({3, 5}, dtype);
  }
  tensors["scalar"] = ramp({}, DType::Float32);
  tensors["empty"] = ramp({0, 4}, DType::Float64);
  save_file(tensors, folder / "x", {{"key", "value \xc3\xa9"}});
  for (const FileAccess access : {FileAccess::CopyOnWrite, FileAccess::ReadOnly}) {
    const LoadedFile file = load_file(folder / "x", access);
    EXPECT_EQ(file.metadata.at("key"), "value \xc3\xa9");
    ASSERT_EQ(file.tensors.size(), tensors.size());
    for (const auto& [name, tensor] : tensors) {
      const Tensor& loaded = file.tensors.at(name);
      EXPECT_EQ(loaded.sizes(), tensor.sizes()) << name;
      ASSERT_EQ(loaded.dtype(), tensor.dtype()) << name;
      const auto bytes = static_cast<size_t>(tensor.numel()) * size_of(tensor.dtype());
      const auto* have = static_cast<const std::byte*>(loaded.data_ptr());
      EXPECT_TRUE(std::equal(have, have + bytes, static_cast<const std::byte*>(tensor.data_ptr())))
          << name;
    }
  }
}

TEST(Safetensors, DtypesThatTheFormatLacksAreRefused) {
  const TemporaryFolder folder;
  for (const DType dtype : {DType::Complex32, DType::Complex128}) {
    const NamedTensors tensors{{"x", Tensor::empty({2}, dtype)}};
    EXPECT_THROW(save_file(tensors, folder / "x", {}), ValueError);
    EXPECT_FALSE(std::filesystem::exists(folder / "x"));
  }
}

TEST(Safetensors, StridedTensorsAreWrittenRowMajor) {
  const TemporaryFolder folder;
  const Tensor tensor = ramp({2, 3}, DType::Int32);
  save_file({{"t", tensor.alias({3, 2}, {1, 3}, 0)}}, folder / "x");
  const Tensor loaded = load_file(folder / "x").tensors.at("t");
  EXPECT_EQ(loaded.sizes(), (Ints{3, 2}));
  EXPECT_EQ(loaded.data<int32_t>()[1], tensor.data<int32_t>()[3]);
  EXPECT_EQ(loaded.data<int32_t>()[2], tensor.data<int32_t>()[1]);
}

TEST(Safetensors, WritesToLoadedTensorsStayInTheProcess) {
  const TemporaryFolder folder;
  save_file({{"t", ramp({4}, DType::Float32)}}, folder / "x");
  const Tensor first = load_file(folder / "x").tensors.at("t");
  const float before = first.data<float>()[0];
  first.data<float>()[0] = before + 1;
  EXPECT_EQ(load_file(folder / "x").tensors.at("t").data<float>()[0], before);
  EXPECT_THROW(load_file(folder / "x", FileAccess::ReadOnly).tensors.at("t").bump_version("fill_"),
               RuntimeError);
}

TEST(Safetensors, UnalignedTensorsOfOtherWritersAreCopied) {
  const TemporaryFolder folder;
  const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}})";
  std::vector<std::byte> file = file_of(header, 5);
  const float value = 2.5;
  std::memcpy(file.data() + file.size() - 4, &value, 4);
  std::ofstream(folder / "x", std::ios::binary)
      .write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  const Tensor loaded = load_file(folder / "x").tensors.at("b");
  EXPECT_EQ(loaded.item().to_double(), 2.5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(loaded.data_ptr()) % 4, 0U);
}

TEST(Safetensors, RefusesWhatTheFormatDoesNotAllow) {
  const auto entry = [](const char* dtype, const char* shape, const char* offsets) {
    return concat(R"({"t":{"dtype":")", dtype, R"(","shape":)", shape, R"(,"data_offsets":)",
                  offsets, "}}");
  };
  const std::vector<std::tuple<std::string, size_t, const char*>> cases{
      {"", 0, "not JSON"},
      {"[]", 0, "a JSON array, not an object"},
      {R"({"t":1})", 0, "must have exactly dtype, shape and data_offsets, found 1"},
      {R"({"t":{"dtype":"F32","shape":[1]}})", 4, "must have exactly"},
      {entry("F99", "[1]", "[0,4]"), 4, "unknown dtype 'F99'"},
      {entry("F32", "[-1]", "[0,4]"), 4, "has the shape [-1]"},
      {entry("F32", "[1.5]", "[0,4]"), 4, "has the shape [1.5]"},
      {entry("F32", "2", "[0,4]"), 4, "has the shape 2"},
      {entry("F32", "[1]", "[4,0]"), 4, "begin <= end"},
      {entry("F32", "[1]", "[0,4,8]"), 4, "begin <= end"},
      {entry("F32", "[2]", "[0,4]"), 4, "needs 8 bytes, but its offsets [0, 4] span 4"},
      {entry("F32", "[4611686018427387904,4]", "[0,0]"), 0, "too large"},
      {entry("F32", "[0,9223372036854775807,2]", "[0,0]"), 0, "too large"},
      {entry("F32", "[1]", "[4,8]"), 8, "after a gap"},
      {entry("F32", "[1]", "[0,4]"), 3, "the file has only 3"},
      {entry("F32", "[1]", "[0,4]"), 5, "its tensors end at 4"},
      {R"({"__metadata__":{"a":1}})", 0, "'a' is a JSON number, not a string"},
      {R"({"__metadata__":[]})", 0, "not an object"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
       R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3, "inside the tensor before it"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
       R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       1, "'a' occurs twice"},
      {R"({"a":[[[[[]]]]]})", 0, "nested too deeply"},
      {std::string(100000, '['), 0, "nested too deeply"},
      {"{\"\xff\":1}", 0, "not JSON"},
  };
  for (const auto& [header, bytes, text] : cases) {
    const std::string message = refusal(file_of(header, bytes));
    EXPECT_THAT(message, testing::StartsWith("load_file: x: not a valid safetensors file: "));
    EXPECT_THAT(message, HasSubstr(text)) << header.substr(0, 200);
  }
  EXPECT_THAT(refusal({}), HasSubstr("only 0 bytes"));
  std::vector<std::byte> file = file_of("{}", 0);
  EXPECT_EQ(refusal(file), "accepted");
  file[0] = std::byte{3};
  EXPECT_THAT(refusal(file), HasSubstr("said to have 3 bytes"));
  file[7] = std::byte{0xff};
  EXPECT_THAT(refusal(file), HasSubstr("at most 100000000 are allowed"));
}

TEST(Safetensors, MutatedFilesAreReadOrRefused) {
  const TemporaryFolder folder;
  save_file({{"weight", ramp({4, 3}, DType::Float32)},
             {"index", ramp({5}, DType::Int64)},
             {"mask", ramp({7}, DType::Bool)}},
            folder / "x", {{"format", "pt"}});
  std::ifstream input(folder / "x", std::ios::binary);
  const std::string original((std::istreambuf_iterator<char>(input)), {});
  std::mt19937 random(1);
  const auto below = [&](size_t n) { return random() % n; };
  size_t refused = 0;
  constexpr size_t kRuns = 20000;
  for (size_t run = 0; run < kRuns; ++run) {
    std::string text = original;
    for (size_t changes = 1 + below(3); changes > 0 && !text.empty(); --changes) {
      const size_t at = below(text.size());
      switch (below(5)) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text[at] = "0123456789[]{},:\""[below(17)];
          break;
        case 2:
          text.erase(at, 1 + below(8));
          break;
        case 3:
          text.insert(at, text.substr(below(text.size()), below(16)));
          break;
        default:
          text.resize(std::max<size_t>(1, at));
          break;
      }
    }
    const std::span file(reinterpret_cast<const std::byte*>(text.data()), text.size());
    try {
      const SafetensorsHeader header = parse_safetensors(file, "fuzz");
      for (const TensorPlace& place : header.tensors)
        ASSERT_LE(header.data_start + place.end, text.size());
    } catch (const ValueError&) {
      ++refused;
    }
  }
  // Only changes of the data, and few of the header, may pass.
  EXPECT_GT(refused, kRuns / 2);
}

TEST(Safetensors, SavingIsWholeOrNotAtAll) {
  const TemporaryFolder folder;
  save_file({{"t", ramp({4}, DType::Float32)}}, folder / "x");
  save_file({{"u", ramp({4}, DType::Float32)}}, folder / "x");
  EXPECT_EQ(load_file(folder / "x").tensors.count("u"), 1U);
  EXPECT_EQ(folder.files(), 1U);
  EXPECT_THROW(save_file({{"__metadata__", ramp({1}, DType::Bool)}}, folder / "x"), ValueError);
  EXPECT_THROW(save_file({{"\xff", ramp({1}, DType::Bool)}}, folder / "x"), ValueError);
  EXPECT_THROW(save_file({{"t", Tensor()}}, folder / "x"), ValueError);
  EXPECT_EQ(load_file(folder / "x").tensors.count("u"), 1U);
  EXPECT_EQ(folder.files(), 1U);
}

TEST(Safetensors, EnvironmentErrorsNameThePathAndTheReason) {
  const TemporaryFolder folder;
  const auto message = [](const auto& action) -> std::string {
    try {
      action();
    } catch (const EnvironmentError& error) {
      return error.what();
    }
    return "nothing was thrown";
  };
  EXPECT_THAT(message([&] { load_file(folder / "missing"); }),
              HasSubstr("missing': No such file or directory"));
  EXPECT_THAT(message([&] { load_file(folder / "."); }), HasSubstr("Is a directory"));
  EXPECT_THAT(message([&] { save_file({}, folder / "."); }), HasSubstr("Is a directory"));
  EXPECT_THAT(message([&] { save_file({}, folder / "no/x"); }),
              HasSubstr("No such file or directory; what was there is unchanged"));
}

TEST(Safetensors, LinksAreFollowed) {
  const TemporaryFolder folder;
  save_file({{"t", ramp({1}, DType::Bool)}}, folder / "x");
  std::filesystem::create_symlink("x", folder / "link");
  save_file({{"u", ramp({1}, DType::Bool)}}, folder / "link");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(load_file(folder / "x").tensors.count("u"), 1U);
}

}  // namespace
}  // namespace flambeau::io
