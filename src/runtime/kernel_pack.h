#pragma once
// A pack of compiled kernels that ships with the package, so that a first run need not compile what
// most programs use. Its keys are those of the kernel cache: a pack of another version, or for
// other instruction sets, simply has none of the kernels that are asked for.
//
//   file  = header (magic, version, number of records, checksum of the records) record* bytes
//   record = key, offset of its bytes in the file, their length and checksum; ascending keys
//
// Numbers are little-endian.

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <vector>

#include "base/hash.h"

namespace flambeau {

/// The order of a pack's records.
struct KeyOrder {
  bool operator()(const Hash128& a, const Hash128& b) const {
    return a.high != b.high ? a.high < b.high : a.low < b.low;
  }
};

/// A pack's content: what each key holds.
using PackedKernels = std::map<Hash128, std::vector<std::byte>, KeyOrder>;

class KernelPack {
 public:
  /// Maps the file. What is no whole pack is treated as an empty one; so is a missing file.
  explicit KernelPack(const std::filesystem::path& file);
  ~KernelPack();
  KernelPack(const KernelPack&) = delete;
  KernelPack& operator=(const KernelPack&) = delete;

  /// The bytes of `key`, which live as long as the pack; empty if it has none, or damaged ones.
  std::span<const std::byte> find(const Hash128& key) const;
  size_t size() const { return count_; }

 private:
  const std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  size_t count_ = 0;
};

/// Writes a pack: to a new file, which then takes the place of `file`. EnvironmentError if it
/// cannot be written.
void write_kernel_pack(const std::filesystem::path& file, const PackedKernels& kernels);

}  // namespace flambeau
