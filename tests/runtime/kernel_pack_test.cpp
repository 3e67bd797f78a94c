// The pack of shipped kernels: what is written is found, and damage is never taken for a kernel.

#include "runtime/kernel_pack.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"

namespace flambeau {
namespace {

class KernelPacks : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / concat("kernel_pack_", getpid());
    std::filesystem::create_directory(folder_);
    file_ = folder_ / "kernels.pack";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  static Hash128 key(int i) { return hash_bytes(&i, sizeof i); }
  static std::vector<std::byte> value(int i) {
    return std::vector<std::byte>(static_cast<size_t>(i % 300), static_cast<std::byte>(i));
  }
  static PackedKernels kernels(int count) {
    PackedKernels out;
    for (int i = 1; i <= count; ++i) out[key(i)] = value(i);
    return out;
  }
  /// The number of keys 1..count whose bytes are found, all of which must be right.
  static int found_of(const KernelPack& pack, int count) {
    int found = 0;
    for (int i = 1; i <= count; ++i) {
      const std::span<const std::byte> bytes = pack.find(key(i));
      if (bytes.empty()) continue;
      EXPECT_EQ(std::vector<std::byte>(bytes.begin(), bytes.end()), value(i)) << i;
      ++found;
    }
    return found;
  }
  std::string content() const {
    std::ifstream in(file_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void set_content(const std::string& bytes) const {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << bytes;
  }

  std::filesystem::path folder_, file_;
};

TEST_F(KernelPacks, WhatIsWrittenIsFound) {
  for (const int count : {0, 1, 2, 299}) {
    write_kernel_pack(file_, kernels(count));
    const KernelPack pack(file_);
    EXPECT_EQ(pack.size(), static_cast<size_t>(count));
    EXPECT_EQ(found_of(pack, count), count);
    EXPECT_TRUE(pack.find(key(-1)).empty());
    EXPECT_TRUE(pack.find(key(count + 1)).empty());
  }
  EXPECT_FALSE(std::filesystem::exists(file_.string() + ".new"));
}

TEST_F(KernelPacks, NoFileAndForeignFilesHoldNothing) {
  EXPECT_EQ(KernelPack(file_).size(), 0U);
  EXPECT_EQ(KernelPack(folder_).size(), 0U);
  for (const std::string& text : {std::string(), std::string("hello"), std::string(4096, 'x')}) {
    set_content(text);
    const KernelPack pack(file_);
    EXPECT_EQ(pack.size(), 0U);
    EXPECT_TRUE(pack.find(key(1)).empty());
  }
}

TEST_F(KernelPacks, TruncatedPacksHoldNothing) {
  write_kernel_pack(file_, kernels(40));
  const std::string whole = content();
  for (size_t length = 0; length < whole.size(); length += 97) {
    set_content(whole.substr(0, length));
    const KernelPack pack(file_);
    EXPECT_EQ(found_of(pack, 40), 0) << length;
  }
}

TEST_F(KernelPacks, EveryDamagedByteIsNoticed) {
  write_kernel_pack(file_, kernels(12));
  const std::string whole = content();
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    set_content(damaged);
    EXPECT_LT(found_of(KernelPack(file_), 12), 12) << at;
  }
}

TEST_F(KernelPacks, AFileThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(write_kernel_pack(folder_ / "none" / "kernels.pack", kernels(3)), EnvironmentError);
  std::filesystem::create_directory(file_);  // what would be replaced is a folder
  EXPECT_THROW(write_kernel_pack(file_, kernels(3)), EnvironmentError);
  EXPECT_FALSE(std::filesystem::exists(file_.string() + ".new"));
}

}  // namespace
}  // namespace flambeau
