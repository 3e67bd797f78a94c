#pragma once
// The names that checkpoints of PyTorch's use, and what each may be used for.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/dtype.h"
#include "io/torch_file.h"

namespace flambeau::io {

/// What a name may be called with.
enum class TorchCall : uint8_t {
  None,              ///< it is a value
  Storage,           ///< it says the type of a storage
  TensorType,        ///< Tensor, as the type of a tensor with attributes
  RebuildTensor,     ///< storage, offset, shape, strides, requires_grad, hooks, dtype
  RebuildParameter,  ///< tensor, requires_grad, hooks, attributes
  FromType,          ///< function, type, arguments, attributes
  OfTexts,
  OfBytes,
  OfTuple,
  OfNumbers,
  OfIterable,
  Device,
};

struct TorchName {
  TorchCall call = TorchCall::None;
  Meaning meaning = Meaning::Plain;  ///< of the value, or of what the call gives
  size_t fewest = 0;                 ///< arguments
  size_t most = 0;
  bool dtype_known = false;
  DType dtype = DType::Float32;
};

/// Type of the elements of a storage; a storage of bytes has none.
struct StorageType {
  bool dtype_known = false;
  DType dtype = DType::Float32;
  size_t item_bytes = 1;
};

/// What `module.name` is in a checkpoint; nothing for any other name.
std::optional<TorchName> find_torch_name(std::string_view module, std::string_view name);

}  // namespace flambeau::io
