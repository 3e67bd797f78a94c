#pragma once
// Function signatures in PyTorch's schema syntax:
//   "add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor"
//   "transpose(Tensor(a) self, int dim0, int dim1) -> Tensor(a)"

#include <string>
#include <string_view>
#include <vector>

#include "ops/argument.h"

namespace flambeau::ops {

enum class ArgumentType : uint8_t {
  Tensor,
  TensorList,
  Number,
  NumberList,
  Int,
  IntList,
  Float,
  FloatList,
  Bool,
  BoolList,
  String,
  DType,
  Device,
  Layout,
  MemoryFormat,
  Generator,
};

struct Parameter {
  std::string name;
  ArgumentType type = ArgumentType::Tensor;
  bool optional = false;        ///< "Tensor?", "int[]?": None is allowed
  bool optional_items = false;  ///< "Tensor?[]": the list may hold None
  bool keyword_only = false;
  bool has_default = false;
  Argument default_value;
  int list_length = 0;   ///< of "int[2]": one int stands for that many; 0: any length
  char alias = 0;        ///< 'a' of "Tensor(a) self"
  bool written = false;  ///< "Tensor(a!)"
};

struct ReturnType {
  ArgumentType type = ArgumentType::Tensor;
  std::string name;  ///< of "(Tensor values, Tensor indices)"
  char alias = 0;
  bool written = false;
};

struct Schema {
  std::string name;      ///< "add"
  std::string overload;  ///< "Tensor", or empty
  std::vector<Parameter> parameters;
  std::vector<ReturnType> returns;

  /// Position of the parameter `name`; InternalError if there is none.
  int index_of(std::string_view name) const;
  /// The text again, in PyTorch's form.
  std::string text() const;
};

/// InternalError with the position for text outside the grammar.
Schema parse_schema(std::string_view text);

/// "Tensor", "int[]": PyTorch's word for the type.
std::string_view name_of(ArgumentType type);

}  // namespace flambeau::ops
