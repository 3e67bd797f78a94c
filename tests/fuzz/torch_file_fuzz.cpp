// Any bytes are read as a checkpoint or refused with a ValueError; the tensors of a file that was
// read lie inside their storages, which hold no more than the file does.

#include <cstring>

#include "base/error.h"
#include "io/torch_file.h"

using namespace flambeau;  // NOLINT(google-build-using-namespace): a program of one function

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Ref<Storage> bytes = make_ref<Storage>(size);
  if (size > 0) std::memcpy(bytes->data(), data, size);
  io::TorchFile file;
  try {
    file = io::read_torch_file(bytes, {"a.b"}, "fuzz");
  } catch (const ValueError&) {
    return 0;
  }
  for (const Ref<Storage>& storage : file.storages)
    require(storage->bytes() <= size, "a storage lies in the file");
  for (const io::RebuiltTensor& rebuilt : file.tensors) {
    const Tensor& tensor = rebuilt.tensor;
    if (tensor.numel() == 0) continue;
    int64_t last = tensor->offset;
    for (size_t axis = 0; axis < tensor.sizes().size(); ++axis)
      last += (tensor.sizes()[axis] - 1) * tensor.strides()[axis];
    require(static_cast<uint64_t>(last + 1) * size_of(tensor.dtype()) <= tensor->storage->bytes(),
            "a tensor lies in its storage");
  }
  return 0;
}
