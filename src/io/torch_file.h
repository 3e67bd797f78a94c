#pragma once
// PyTorch's checkpoints (.pt, .pth, .bin), read without a pickle machine: what a file says is made
// only of the types below. Both containers are read: zip archives, and the format before
// PyTorch 1.6.

#include <set>
#include <string>
#include <vector>

#include "io/pickle.h"
#include "tensor/tensor.h"

namespace flambeau::io {

/// What a step of the pickle means.
enum class Meaning : uint8_t {
  Plain,        ///< what its kind says: numbers, texts, containers
  OrderedDict,  ///< a call: an OrderedDict, of nothing or of an iterable
  Counter,
  PlainSet,    ///< a call: a set of an iterable
  PlainBytes,  ///< a call: bytes, from a text of which each letter is a byte
  ByteArray,
  ComplexNumber,
  Size,
  Device,
  DType,       ///< `index` is the dtype
  NamedDType,  ///< a dtype that has no tensors here: the step's name says which
  Tensor,      ///< `index` into tensors
  Parameter,   ///< the tensor `index` as a parameter; operands as `_rebuild_parameter` has them
  Storage,     ///< `index` into storages
  Layout,
  Named,   ///< a class or function that was allowed by name
  Unused,  ///< has a meaning only in a call
};

struct StepMeaning {
  Meaning meaning = Meaning::Plain;
  uint32_t index = 0;
};

struct RebuiltTensor {
  Tensor tensor;
  bool requires_grad = false;
};

struct TorchFile {
  Ref<Storage> bytes;  ///< what the pickle's texts lie in
  Pickle pickle = {};
  std::vector<StepMeaning> meanings = {};  ///< of each step
  std::vector<RebuiltTensor> tensors = {};
  std::vector<Ref<Storage>> storages = {};
  std::set<std::string> locations = {};  ///< devices on which tensors were: "cpu", "cuda:0"
};

/// Names ("module.name") that a file may use besides those of checkpoints.
using AllowedNames = std::set<std::string, std::less<>>;

/// The checkpoint that `bytes` are. Tensors lie in `bytes` itself where they are aligned for their
/// dtype. Memory that is taken is in proportion to the file's size, whatever it says. ValueError
/// that begins with `source` and says what is refused: names that are not allowed (all of them),
/// containers and instructions that checkpoints do not have, storages that end past the file,
/// tensors past their storage.
TorchFile read_torch_file(const Ref<Storage>& bytes, const AllowedNames& allowed,
                          const std::string& source);

}  // namespace flambeau::io
