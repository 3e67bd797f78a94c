#include <new>

#include "base/error.h"
#include "tensor/tensor.h"

namespace flambeau {
namespace {

constexpr std::align_val_t kAlignment{64};

void* allocate(size_t bytes) {
  if (bytes == 0) return nullptr;
  void* data = ::operator new(bytes, kAlignment, std::nothrow);
  check(data != nullptr,
        [&] { return concat("empty: not enough memory for a tensor of ", bytes, " bytes"); });
  return data;
}

}  // namespace

Storage::Storage(size_t bytes) : data_(allocate(bytes)), bytes_(bytes) {}

Storage::Storage(void* data, size_t bytes, std::function<void()> release, bool read_only)
    : data_(data), bytes_(bytes), read_only_(read_only), release_(std::move(release)) {
  require(static_cast<bool>(release_), "Storage: memory of somebody else needs a release function");
}

Storage::~Storage() {
  if (release_)
    release_();
  else
    ::operator delete(data_, kAlignment);
}

}  // namespace flambeau
