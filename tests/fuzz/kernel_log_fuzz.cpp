// A file of the kernel cache made of whole records, records that lie about themselves and any
// bytes, cut off anywhere: what is read for a key is its value or nothing, and the file takes new
// records.

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "runtime/kernel_log.h"

using namespace flambeau;  // NOLINT(google-build-using-namespace): a program of one function

namespace {

using Bytes = std::vector<std::byte>;
constexpr uint64_t kUnit = 64;
constexpr uint64_t kKeys = 6;

Hash128 key_of(uint64_t number) { return hash_bytes(&number, sizeof number); }
Bytes value_of(uint64_t number) { return Bytes(1 + number * 53, static_cast<std::byte>(number)); }

/// Takes pieces of the fuzzer's input.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  Bytes take(size_t count) {
    count = std::min(count, size_);
    Bytes bytes(count);
    if (count > 0) std::memcpy(bytes.data(), data_, count);
    data_ += count;
    size_ -= count;
    return bytes;
  }
  uint64_t number(size_t bytes) {
    uint64_t value = 0;
    const Bytes taken = take(bytes);
    if (!taken.empty()) std::memcpy(&value, taken.data(), taken.size());
    return value;
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

void put(Bytes& file, size_t at, uint64_t value) { std::memcpy(&file[at], &value, sizeof value); }

/// A record whose checksums are right, though its length may not be.
void add_record(Bytes& file, const Hash128& key, const Bytes& payload, uint64_t length,
                int64_t last_used) {
  const size_t at = file.size();
  file.resize(at + kUnit + (payload.size() + kUnit - 1) / kUnit * kUnit);
  put(file, at, 0x6472'6f63'6572'4c46);
  std::memcpy(&file[at + 8], &key, sizeof key);
  put(file, at + 24, length);
  put(file, at + 32, hash_bytes(payload.data(), payload.size()).low);
  put(file, at + 40, hash_bytes(&file[at], 40).low);
  put(file, at + 48, static_cast<uint64_t>(last_used));
  std::copy(payload.begin(), payload.end(), file.begin() + static_cast<ptrdiff_t>(at + kUnit));
}

Bytes make_file(Input& input) {
  Bytes file(kUnit);
  if (input.number(1) % 8 != 0) {
    std::memcpy(file.data(), "Flambeau kernels", 16);
    put(file, 16, 1);
  }
  while (!input.empty()) {
    const uint64_t number = input.number(1);
    switch (number % 4) {
      case 0:
        add_record(file, key_of(number / 4 % kKeys), value_of(number / 4 % kKeys),
                   value_of(number / 4 % kKeys).size(), static_cast<int64_t>(input.number(8)));
        break;
      case 1:  // nobody's key: its content is unknown
        add_record(file, key_of(100 + number), input.take(number / 4), input.number(8),
                   static_cast<int64_t>(input.number(8)));
        break;
      case 2: {
        const Bytes raw = input.take(number / 4);
        file.insert(file.end(), raw.begin(), raw.end());
        break;
      }
      default:
        file.resize(file.size() - std::min<size_t>(file.size(), input.number(1)));
        break;
    }
  }
  return file;
}

/// The folder of this process, removed at its end.
const std::filesystem::path& folder() {
  static const std::filesystem::path path = [] {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "kernel_log_fuzz-XXXXXX").string();
    require(mkdtemp(pattern.data()) != nullptr, "a temporary folder can be made");
    return std::filesystem::path(pattern);
  }();

  static const bool registered = std::atexit([] { std::filesystem::remove_all(folder()); }) == 0;
  require(registered, "the folder is removed at the end");
  return path;
}

void check_values(KernelLog& log) {
  for (uint64_t i = 0; i < kKeys; ++i) {
    const std::optional<Bytes> value = log.read(key_of(i));
    require(!value || *value == value_of(i), "a value is its key's");
  }
}

}  // namespace

// The log says what is wrong with each file; nobody wants to read that.
extern "C" int LLVMFuzzerInitialize(int* /*count*/, char*** /*arguments*/) {
  stderr = std::fopen("/dev/null", "w");
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint64_t bound = 2048 + input.number(2);
  const Bytes file = make_file(input);
  const std::filesystem::path path = folder() / "kernels";
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  std::filesystem::permissions(
      path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  {
    KernelLog log(folder(), bound);
    if (!log.open()) return 0;
    check_values(log);
    for (uint64_t i = 0; i < kKeys; ++i) {
      log.append(key_of(i), value_of(i));
      const std::optional<Bytes> value = log.read(key_of(i));
      require(value.has_value() && *value == value_of(i), "a value is found when it was appended");
    }
    require(log.file_bytes() <= std::max<uint64_t>(bound, file.size()), "the file has its bound");
  }
  KernelLog again(folder(), uint64_t{1} << 20);
  require(again.open(), "the file can be opened again");
  check_values(again);
  return 0;
}
