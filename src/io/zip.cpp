#include "io/zip.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace flambeau::io {
namespace {

// Signatures and fields as the format's specification (APPNOTE.TXT) places them.
constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kDirectoryHeader = 0x02014b50;
constexpr uint32_t kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50;
constexpr uint32_t kEnd64Locator = 0x07064b50;
constexpr size_t kLocalBytes = 30;
constexpr size_t kDirectoryBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kLocatorBytes = 20;
constexpr size_t kEnd64Bytes = 56;
constexpr size_t kLongestComment = 0xffff;
constexpr uint16_t kZip64Extra = 1;
constexpr uint32_t kIn64 = 0xffffffff;  ///< the value is in the zip64 part

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), source_(source) {}

  ZipEntries read() {
    find_directory();
    ZipEntries entries;
    std::vector<std::pair<const std::byte*, const std::byte*>> places;
    uint64_t at = directory_;
    for (uint64_t i = 0; i < count_; ++i) {
      auto [name, data] = entry(at);
      if (data.data() != nullptr) places.emplace_back(data.data(), data.data() + data.size());
      if (!entries.emplace(name, data).second) refuse("the entry '", name, "' is there twice");
    }
    std::sort(places.begin(), places.end());
    for (size_t i = 1; i < places.size(); ++i)
      if (places[i].first < places[i - 1].second) refuse("two of its entries overlap");
    return entries;
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw ValueError(concat(source_, ": not a valid zip archive: ", parts...));
  }

  /// `count` bytes at `at`, which must be inside.
  std::span<const std::byte> part(uint64_t at, uint64_t count, const char* what) const {
    if (at > bytes_.size() || count > bytes_.size() - at) refuse(what, " is cut off");
    return bytes_.subspan(at, count);
  }
  template <class Integer>
  static Integer field(std::span<const std::byte> bytes, size_t at) {
    Integer value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
  }

  void find_directory() {
    if (bytes_.size() < kEndBytes) refuse("it has only ", bytes_.size(), " bytes");
    const size_t last = bytes_.size() - kEndBytes;
    const size_t first = last - std::min(last, kLongestComment);
    size_t end = last;
    while (field<uint32_t>(bytes_, end) != kEnd ||
           field<uint16_t>(bytes_, end + 20) != bytes_.size() - end - kEndBytes) {
      if (end == first) refuse("its directory is not found; is the file cut off?");
      --end;
    }
    const auto record = bytes_.subspan(end, kEndBytes);
    if (field<uint16_t>(record, 4) != 0 && field<uint16_t>(record, 4) != 0xffff)
      refuse("it is split into several files");
    count_ = field<uint16_t>(record, 10);
    directory_ = field<uint32_t>(record, 16);
    if (end >= kLocatorBytes && field<uint32_t>(bytes_, end - kLocatorBytes) == kEnd64Locator) {
      const auto place = field<uint64_t>(bytes_, end - kLocatorBytes + 8);
      const auto record64 = part(place, kEnd64Bytes, "its zip64 record");
      if (field<uint32_t>(record64, 0) != kEnd64) refuse("its zip64 record is not found");
      count_ = field<uint64_t>(record64, 32);
      directory_ = field<uint64_t>(record64, 48);
    }
    if (count_ > bytes_.size() / kDirectoryBytes)
      refuse("it is said to have ", count_, " entries, more than fit");
  }

  /// Sizes and place of an entry that are too large for its 32 bits, in the order in which they
  /// stand.
  void read_zip64(std::span<const std::byte> extra, std::span<uint64_t* const> fields) const {
    while (extra.size() >= 4) {
      const auto kind = field<uint16_t>(extra, 0);
      const auto size = field<uint16_t>(extra, 2);
      if (size > extra.size() - 4) break;
      if (kind == kZip64Extra) {
        auto values = extra.subspan(4, size);
        for (uint64_t* value : fields) {
          if (*value != kIn64) continue;
          if (values.size() < sizeof *value) refuse("a zip64 size is missing");
          *value = field<uint64_t>(values, 0);
          values = values.subspan(sizeof *value);
        }
        return;
      }
      extra = extra.subspan(4 + size);
    }
  }

  void check_name(const std::string& name) const {
    if (name.empty() || name.front() == '/' || name.find('\\') != std::string::npos ||
        name.find('\0') != std::string::npos ||
        ("/" + name + "/").find("/../") != std::string::npos)
      refuse("the name of an entry, '", name, "', is not allowed");
  }

  /// The directory's entry at `at`, which is moved behind it.
  std::pair<std::string, std::span<const std::byte>> entry(uint64_t& at) const {
    const auto header = part(at, kDirectoryBytes, "its directory");
    if (field<uint32_t>(header, 0) != kDirectoryHeader) refuse("its directory is damaged");
    const uint64_t name_bytes = field<uint16_t>(header, 28);
    const uint64_t extra_bytes = field<uint16_t>(header, 30);
    const auto name_part = part(at + kDirectoryBytes, name_bytes, "its directory");
    std::string name(reinterpret_cast<const char*>(name_part.data()), name_part.size());
    check_name(name);
    uint64_t packed = field<uint32_t>(header, 20);
    uint64_t size = field<uint32_t>(header, 24);
    uint64_t place = field<uint32_t>(header, 42);
    uint64_t* const fields[] = {&size, &packed, &place};
    read_zip64(part(at + kDirectoryBytes + name_bytes, extra_bytes, "its directory"), fields);
    at += kDirectoryBytes + name_bytes + extra_bytes + field<uint16_t>(header, 32);
    if ((field<uint16_t>(header, 8) & 1) != 0) refuse("the entry '", name, "' is encrypted");
    if (field<uint16_t>(header, 10) != 0 || packed != size)
      refuse("the entry '", name, "' is compressed, which checkpoints are not");
    const auto local = part(place, kLocalBytes, "an entry");
    if (field<uint32_t>(local, 0) != kLocalHeader) refuse("the entry '", name, "' is not found");
    const uint64_t start =
        place + kLocalBytes + field<uint16_t>(local, 26) + field<uint16_t>(local, 28);
    return {std::move(name), part(start, size, "an entry")};
  }

  std::span<const std::byte> bytes_;
  const std::string& source_;
  uint64_t directory_ = 0;
  uint64_t count_ = 0;
};

}  // namespace

bool is_zip(std::span<const std::byte> bytes) {
  uint32_t signature = 0;
  if (bytes.size() < sizeof signature) return false;
  std::memcpy(&signature, bytes.data(), sizeof signature);
  return signature == kLocalHeader;
}

ZipEntries read_zip(std::span<const std::byte> bytes, const std::string& source) {
  return Reader(bytes, source).read();
}

}  // namespace flambeau::io
