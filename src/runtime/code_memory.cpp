#include "runtime/code_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/fork.h"

namespace flambeau {
namespace {

constexpr size_t kArenaBytes = size_t{2} << 20;
constexpr size_t kCodeAlignment = 64;
/// Left in front of the first image of a mapping: sanitizers look at the bytes before a function.
constexpr size_t kFront = 64;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

size_t page_bytes() {
  static const size_t bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

/// A file in memory, seen through an executable mapping; images are written through a writable one
/// that exists only for the time of the copy.
class CodeMemory {
 public:
  static CodeMemory& get();
  const void* load(std::span<const std::byte> image);
  void unload(const void* code);

 private:
  CodeMemory();
  bool new_arena(size_t bytes);
  const void* append(std::span<const std::byte> image);
  const void* map_alone(std::span<const std::byte> image);
  void add_mapping(void* begin, size_t bytes) {
    mappings_[static_cast<const std::byte*>(begin)] = {begin, bytes};
  }
  void unmap_if_unused(const std::byte* begin);

  /// Some pages with code, and how many images in them are in use.
  struct Mapping {
    void* begin = nullptr;
    size_t bytes = 0;
    size_t images = 0;
  };

  ForkSafe<std::mutex> mutex_;
  std::map<const std::byte*, Mapping> mappings_;
  int file_ = -1;
  const std::byte* arena_ = nullptr;  // that is being filled
  size_t capacity_ = 0;
  size_t used_ = 0;
};

CodeMemory& CodeMemory::get() {
  // Never destroyed: kernels may run while the process exits.
  static CodeMemory* const memory = new CodeMemory;
  return *memory;
}

CodeMemory::CodeMemory() {
  on_fork({.in_child = [] {
    // The arena's pages are shared with the parent, which goes on filling them; the child runs the
    // code in it, and begins an arena of its own for more.
    CodeMemory& memory = get();
    if (memory.file_ >= 0) close(memory.file_);
    memory.file_ = -1;
    memory.arena_ = nullptr;
    memory.capacity_ = memory.used_ = 0;
  }});
}

const void* CodeMemory::load(std::span<const std::byte> image) {
  check<ValueError>(!image.empty(), [] { return std::string("load_code: the image is empty"); });
  const std::lock_guard lock(mutex_);
  const size_t bytes = round_up(image.size(), kCodeAlignment);
  const bool room = capacity_ - used_ >= bytes;
  const void* code =
      room || new_arena(std::max(kArenaBytes, round_up(kFront + bytes, page_bytes())))
          ? append(image)
          : nullptr;
  if (code == nullptr) code = map_alone(image);
  check<EnvironmentError>(code != nullptr, [&] {
    return concat("load_code: the system gave no executable memory for ", image.size(),
                  " bytes: ", std::strerror(errno));
  });
  ++std::prev(mappings_.upper_bound(static_cast<const std::byte*>(code)))->second.images;
  return code;
}

void CodeMemory::unload(const void* code) {
  const std::lock_guard lock(mutex_);
  const auto place = std::prev(mappings_.upper_bound(static_cast<const std::byte*>(code)));
  --place->second.images;
  if (place->first != arena_) unmap_if_unused(place->first);
}

void CodeMemory::unmap_if_unused(const std::byte* begin) {
  const auto place = mappings_.find(begin);
  if (place == mappings_.end() || place->second.images > 0) return;
  munmap(place->second.begin, place->second.bytes);
  mappings_.erase(place);
}

bool CodeMemory::new_arena(size_t bytes) {
  if (file_ >= 0) close(file_);
  capacity_ = used_ = 0;
  unmap_if_unused(std::exchange(arena_, nullptr));
#ifdef MFD_EXEC
  file_ = memfd_create("flambeau-code", MFD_CLOEXEC | MFD_EXEC);
  if (file_ < 0)
#endif
    file_ = memfd_create("flambeau-code", MFD_CLOEXEC);
  if (file_ < 0 || ftruncate(file_, static_cast<off_t>(bytes)) != 0) return false;
  void* const code = mmap(nullptr, bytes, PROT_READ | PROT_EXEC, MAP_SHARED, file_, 0);
  if (code == MAP_FAILED) return false;
  add_mapping(code, bytes);
  arena_ = static_cast<const std::byte*>(code);
  capacity_ = bytes;
  used_ = kFront;
  return true;
}

const void* CodeMemory::append(std::span<const std::byte> image) {
  const size_t begin = used_ / page_bytes() * page_bytes();
  const size_t bytes = used_ - begin + image.size();
  void* const window =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, static_cast<off_t>(begin));
  if (window == MAP_FAILED) return nullptr;
  std::memcpy(static_cast<std::byte*>(window) + (used_ - begin), image.data(), image.size());
  munmap(window, bytes);
  const std::byte* const code = arena_ + used_;
  used_ += round_up(image.size(), kCodeAlignment);
  return code;
}

/// Where files in memory are forbidden: pages that are first writable, then executable.
const void* CodeMemory::map_alone(std::span<const std::byte> image) {
  const size_t bytes = round_up(kFront + image.size(), page_bytes());
  void* const pages =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  std::byte* const code = static_cast<std::byte*>(pages) + kFront;
  std::memcpy(code, image.data(), image.size());
  if (mprotect(pages, bytes, PROT_READ | PROT_EXEC) == 0) {
    add_mapping(pages, bytes);
    return code;
  }
  const int error = errno;
  munmap(pages, bytes);
  errno = error;
  return nullptr;
}

}  // namespace

const void* load_code(std::span<const std::byte> image) { return CodeMemory::get().load(image); }
void unload_code(const void* code) { CodeMemory::get().unload(code); }

}  // namespace flambeau
