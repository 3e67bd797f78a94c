#pragma once
// Running kernels in tests: buffers that end where memory ends, and comparison with the
// interpreter.

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <vector>

#include "base/cpu_features.h"
#include "base/dtype.h"
#include "codegen/codegen.h"
#include "runtime/code_memory.h"

namespace flambeau::test {

/// The levels that this CPU can run.
inline std::vector<Isa> runnable_isas() {
  std::vector<Isa> out;
  for (const Isa isa : kAllIsas)
    if (isa <= cpu_features().isa) out.push_back(isa);
  return out;
}

inline ir::KernelFunction load_kernel(const codegen::KernelImage& image, size_t entry = 0) {
  const auto* code = static_cast<const std::byte*>(load_code(image.code));
  return reinterpret_cast<ir::KernelFunction>(
      reinterpret_cast<uintptr_t>(code + image.entries.at(entry)));
}

/// `bytes` bytes whose last byte is the last before an unreadable page, and whose page before the
/// first is unreadable too.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t bytes) : bytes_(bytes) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (bytes + page - 1) / page * page;
    mapped_ = inner + 2 * page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    if (inner > 0) mprotect(base_ + page, inner, PROT_READ | PROT_WRITE);
    data_ = base_ + page + inner - bytes;
  }
  GuardedBuffer(GuardedBuffer&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)),
        mapped_(other.mapped_),
        data_(other.data_),
        bytes_(other.bytes_) {}
  GuardedBuffer(const GuardedBuffer&) = delete;
  ~GuardedBuffer() {
    if (base_ != nullptr) munmap(base_, mapped_);
  }
  std::byte* data() { return data_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  size_t mapped_ = 0;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace flambeau::test
