#include "io/torch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <random>

#include "base/error.h"
#include "io/zip.h"

namespace flambeau::io {
namespace {

using testing::HasSubstr;

template <class Integer>
std::string little(Integer value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/// A zip archive of stored entries.
std::string archive(const std::vector<std::pair<std::string, std::string>>& entries) {
  std::string file;
  std::string directory;
  for (const auto& [name, data] : entries) {
    const auto place = static_cast<uint32_t>(file.size());
    const std::string sizes = little<uint32_t>(0) + little(static_cast<uint32_t>(data.size())) +
                              little(static_cast<uint32_t>(data.size()));
    const std::string lengths = little(static_cast<uint16_t>(name.size())) + little<uint16_t>(0);
    const std::string common = std::string(10, '\0') + sizes + lengths;
    file += std::string("PK\3\4", 4) + common + name + data;
    directory +=
        std::string("PK\1\2\0\0", 6) + common + std::string(10, '\0') + little(place) + name;
  }
  const auto count = static_cast<uint16_t>(entries.size());
  return file + directory + std::string("PK\5\6\0\0\0\0", 8) + little(count) + little(count) +
         little(static_cast<uint32_t>(directory.size())) +
         little(static_cast<uint32_t>(file.size())) + little<uint16_t>(0);
}

std::string text(const std::string& value) {
  return "X" + little(static_cast<uint32_t>(value.size())) + value;
}

/// A float tensor of shape [2, 3] on storage "0", of 8 elements, from its element 1.
const std::string kTensor = std::string("ctorch._utils\n_rebuild_tensor_v2\n((") + text("storage") +
                            "ctorch\nFloatStorage\n" + text("0") + text("cpu") +
                            "K\x08tQK\1K\2K\3\x86" + "K\3K\1\x86\x88" +
                            "ccollections\nOrderedDict\n)RtR";

std::string pickle(const std::string& body) { return "\x80\x02" + body + "."; }

std::string checkpoint(const std::string& body) {
  std::string data;
  for (int i = 0; i < 8; ++i) data += little(static_cast<float>(i));
  return archive({{"x/data.pkl", pickle(body)}, {"x/data/0", data}, {"x/version", "3\n"}});
}

TorchFile read(const std::string& bytes, const AllowedNames& allowed = {}) {
  const Ref<Storage> storage = make_ref<Storage>(bytes.size());
  if (!bytes.empty()) std::memcpy(storage->data(), bytes.data(), bytes.size());
  return read_torch_file(storage, allowed, "file.pt");
}

std::string refusal(const std::string& bytes, const AllowedNames& allowed = {}) {
  try {
    read(bytes, allowed);
  } catch (const ValueError& error) {
    return error.what();
  }
  return "nothing";
}

TEST(TorchFile, TensorsLieInTheFile) {
  const TorchFile file = read(checkpoint(kTensor));
  ASSERT_EQ(file.tensors.size(), 1);
  const auto& [tensor, requires_grad] = file.tensors[0];
  EXPECT_TRUE(requires_grad);
  EXPECT_EQ(tensor.sizes(), (Ints{2, 3}));
  EXPECT_EQ(tensor->storage->bytes(), 32);
  EXPECT_EQ(static_cast<const float*>(tensor.data_ptr())[5], 6);
  EXPECT_EQ(file.locations, (std::set<std::string>{"cpu"}));
}

TEST(TorchFile, StepsKeepTheirOrder) {
  const TorchFile file = read(checkpoint("}" + text("a") + "]K\1as"));
  std::vector<StepKind> kinds;
  for (const Step& step : file.pickle.steps) kinds.push_back(step.kind);
  EXPECT_EQ(kinds, (std::vector{StepKind::Dict, StepKind::Text, StepKind::List, StepKind::Int,
                                StepKind::Append, StepKind::SetItems}));
}

TEST(TorchFile, NamesAreRefusedTogether) {
  const std::string body = "cos\nsystem\n" + text("x") + "\x85R0cb\nc\n";
  EXPECT_EQ(refusal(checkpoint(body)),
            "file.pt: it uses types that are not part of a checkpoint: b.c, os.system. Nothing of "
            "them was "
            "run. If you trust the file, allow them by name: "
            "torch.serialization.add_safe_globals([b.c, os.system])");
  EXPECT_EQ(refusal(checkpoint(body), {"os.system", "b.c"}), "nothing");
  EXPECT_THAT(refusal(checkpoint(body), {"os.system"}), HasSubstr("checkpoint: b.c."));
}

TEST(TorchFile, RefusalsSayWhatIsWrong) {
  const std::pair<std::string, const char*> cases[] = {
      {checkpoint("K\1]s"), "an instruction lacks its operands"},
      {checkpoint("}]K\1s"), "a key of a dict or set is no number, text or tuple of these"},
      {checkpoint("}K\1a"), "it changes a value that is no list, dict, set or object"},
      {checkpoint("I1\n"), "the pickle instruction INT, which no checkpoint needs"},
      {checkpoint("K\1Q"), "a persistent id that is no storage"},
      {checkpoint("])R"), "it calls what is no function of checkpoints"},
      {checkpoint("ctorch\nFloatStorage\n"), "torch.FloatStorage is no value"},
      {archive({{"x/data.pkl", pickle(kTensor)}}), "the data of storage '0' is not in the file"},
      {archive({{"x/data.pkl", pickle(kTensor)}, {"x/data/0", "abc"}}),
       "storage '0' is said to have 32 bytes, but the file has only 3 of it"},
      {archive({{"x/data.pkl", pickle("N")}, {"x/data.pkl", ""}}), "'x/data.pkl' is there twice"},
      {archive({{"x/data.pkl", pickle("N")}, {"../y", ""}}), "'../y', is not allowed"},
      {archive({{"x/data.pkl", pickle("N")}, {"x/constants.pkl", "N."}}), "TorchScript"},
      {archive({{"x/data.pkl", pickle("N")}, {"x/byteorder", "big"}}), "its byte order is 'big'"},
      {archive({{"data", ""}}), "it has no data.pkl"},
      {checkpoint("N").substr(0, 60), "its directory is not found"},
      {"", "it ends early"},
      {"N.", "neither a zip archive nor a checkpoint"},
  };
  for (const auto& [bytes, message] : cases) EXPECT_THAT(refusal(bytes), HasSubstr(message));
}

/// Changes some bytes of a file, or cuts it, or repeats a part of it.
std::string mutated(std::string bytes, std::mt19937& random) {
  const auto below = [&](size_t limit) {
    return static_cast<size_t>(random()) % std::max<size_t>(limit, 1);
  };
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(bytes.size());
    if (bytes.empty()) break;
    switch (below(5)) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 2:
        bytes.erase(at, 1 + below(8));
        break;
      case 3:
        bytes.insert(at, bytes.substr(below(bytes.size()), below(16)));
        break;
      default:
        bytes.replace(at, 4, little<uint32_t>(below(2) == 0 ? 0xffffffff : 0x7fffffff));
    }
  }
  return bytes;
}

void read_mutations(size_t count, std::chrono::seconds limit) {
  const std::string legacy = std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.", 15) +
                             "\x80\x02M\xe9\x03.\x80\x02}." + pickle(kTensor) + "\x80\x02]" +
                             text("0") + "a." + little<uint64_t>(8) + std::string(32, 'a');
  const std::string seeds[] = {
      checkpoint("}(" + text("a") + kTensor + text("b") +
                 "](K\1G\1\2\3\4\5\6\7\x08\x88NeK\1K\2\x86Nu"),
      legacy,
      checkpoint("ccollections\nOrderedDict\n)R(" + text("k") + "ctorch\nSize\n(K\1K\2t\x85R" +
                 text("d") + "ctorch\nfloat16\nu}b"),
      checkpoint("ca\nb\n)\x81}" + text("x") + "K\1sb"),
  };
  for (const std::string& seed : seeds) EXPECT_EQ(refusal(seed, {"a.b"}), "nothing");
  const auto end = std::chrono::steady_clock::now() + limit;
  std::mt19937 random(7);
  int read_count = 0;
  for (size_t i = 0; i < count && std::chrono::steady_clock::now() < end; ++i) {
    const std::string bytes = mutated(seeds[i % std::size(seeds)], random);
    try {
      const TorchFile file = read(bytes, {"a.b"});
      for (const Ref<Storage>& storage : file.storages) EXPECT_LE(storage->bytes(), bytes.size());
      ++read_count;
    } catch (const ValueError& error) {
      EXPECT_THAT(error.what(), testing::StartsWith("file.pt: "));
    }
  }
  EXPECT_GT(read_count, 0);
}

TEST(TorchFile, MutationsAreReadOrRefused) { read_mutations(30'000, std::chrono::seconds(10)); }
TEST(TorchFile, SlowMillionMutations) { read_mutations(1'000'000, std::chrono::seconds(120)); }

TEST(Zip, EntriesAreFoundByTheDirectory) {
  const std::string bytes = archive({{"a", "xyz"}, {"b/c", ""}});
  const ZipEntries entries = read_zip(std::as_bytes(std::span(bytes)), "file.zip");
  ASSERT_EQ(entries.size(), 2);
  EXPECT_EQ(entries.at("a").size(), 3);
  EXPECT_EQ(static_cast<char>(entries.at("a")[1]), 'y');
  EXPECT_TRUE(entries.at("b/c").empty());
}

}  // namespace
}  // namespace flambeau::io
