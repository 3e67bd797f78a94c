#include "runtime/kernel_pack.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "runtime/file_handle.h"

namespace flambeau {
namespace {

struct Header {
  std::array<char, 16> magic{'F', 'l', 'a', 'm', 'b', 'e', 'a', 'u',
                             ' ', 'k', 'e', 'r', 'n', 'e', 'l', '1'};
  uint64_t count = 0;
  uint64_t checksum = 0;  // of the records
};

struct Record {
  Hash128 key;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t checksum = 0;
};

Record record_at(const std::byte* data, size_t i) {
  Record record;
  std::memcpy(&record, data + sizeof(Header) + i * sizeof(Record), sizeof record);
  return record;
}

/// The number of records of the pack at `data`, if it is a whole one; else 0.
size_t checked_count(const std::byte* data, size_t bytes) {
  Header header;
  if (bytes < sizeof header) return 0;
  std::memcpy(&header, data, sizeof header);
  if (header.magic != Header{}.magic || header.count > (bytes - sizeof header) / sizeof(Record))
    return 0;
  const size_t table = header.count * sizeof(Record);
  if (hash_bytes(data + sizeof header, table).low != header.checksum) return 0;
  for (size_t i = 0; i < header.count; ++i) {
    const Record record = record_at(data, i);
    if (record.offset > bytes || record.length > bytes - record.offset) return 0;
  }
  return header.count;
}

}  // namespace

KernelPack::KernelPack(const std::filesystem::path& file) {
  const FileHandle handle(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!handle || fstat(handle.get(), &status) != 0 || status.st_size <= 0) return;
  const auto bytes = static_cast<size_t>(status.st_size);
  void* const data = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, handle.get(), 0);
  if (data == MAP_FAILED) return;
  data_ = static_cast<const std::byte*>(data);
  bytes_ = bytes;
  count_ = checked_count(data_, bytes_);
}

KernelPack::~KernelPack() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), bytes_);
}

std::span<const std::byte> KernelPack::find(const Hash128& key) const {
  size_t low = 0;
  size_t high = count_;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (KeyOrder{}(record_at(data_, middle).key, key))
      low = middle + 1;
    else
      high = middle;
  }
  if (low == count_) return {};
  const Record record = record_at(data_, low);
  if (record.key != key || hash_bytes(data_ + record.offset, record.length).low != record.checksum)
    return {};
  return {data_ + record.offset, record.length};
}

void write_kernel_pack(const std::filesystem::path& file, const PackedKernels& kernels) {
  std::vector<Record> records;
  uint64_t offset = sizeof(Header) + kernels.size() * sizeof(Record);
  for (const auto& [key, bytes] : kernels) {
    records.push_back({key, offset, bytes.size(), hash_bytes(bytes.data(), bytes.size()).low});
    offset += bytes.size();
  }
  Header header;
  header.count = records.size();
  header.checksum = hash_bytes(records.data(), records.size() * sizeof(Record)).low;

  const std::filesystem::path fresh = file.string() + ".new";
  std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
  out.write(reinterpret_cast<const char*>(&header), sizeof header);
  out.write(reinterpret_cast<const char*>(records.data()),
            static_cast<std::streamsize>(records.size() * sizeof(Record)));
  for (const auto& [key, bytes] : kernels)
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
  out.close();
  std::error_code error;
  if (out) std::filesystem::rename(fresh, file, error);
  check<EnvironmentError>(out && !error, [&] {
    const std::string reason = error ? error.message() : std::string(std::strerror(errno));
    std::filesystem::remove(fresh, error);
    return concat("kernel pack: cannot write ", file.string(), ": ", reason);
  });
}

}  // namespace flambeau
