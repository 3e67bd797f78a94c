#include "base/error.h"
#include "runtime/allocator.h"
#include "tensor/tensor.h"

namespace flambeau {

Storage::Storage(size_t bytes) : data_(allocate(bytes, "Tensor")), bytes_(bytes) {}

Storage::Storage(void* data, size_t bytes, std::function<void()> release, bool read_only)
    : data_(data), bytes_(bytes), read_only_(read_only), release_(std::move(release)) {
  require(static_cast<bool>(release_), "Storage: memory of somebody else needs a release function");
}

Storage::~Storage() {
  if (release_)
    release_();
  else
    deallocate(data_, bytes_);
}

}  // namespace flambeau
