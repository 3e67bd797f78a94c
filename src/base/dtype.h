#pragma once
// The element types of tensors, and one table that says everything about them.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace flambeau {

/// Element type of a tensor. The order is also the order of promotion inside a category.
enum class DType : uint8_t {
  Bool,
  UInt8,
  Int8,
  Int16,
  Int32,
  Int64,
  Float16,
  BFloat16,
  Float32,
  Float64,
};

inline constexpr int kDTypeCount = 10;

/// PyTorch's promotion categories, lowest first.
enum class DTypeCategory : uint8_t { Bool, Integer, Float };

struct DTypeInfo {
  std::string_view name;        ///< PyTorch's name: "float32"
  std::string_view ir_name;     ///< short name in printed programs: "f32"
  std::string_view file_name;   ///< safetensors' name: "F32"
  std::string_view numpy_name;  ///< NumPy's type string, "<f4"; empty where NumPy has none
  uint8_t size;                 ///< bytes of one element
  DTypeCategory category;
  bool is_signed;
};

/// The row of `dtype` in the table.
const DTypeInfo& info(DType dtype);

inline size_t size_of(DType dtype) { return info(dtype).size; }
inline bool is_float(DType dtype) { return dtype >= DType::Float16; }
inline bool is_integer(DType dtype) { return dtype > DType::Bool && dtype < DType::Float16; }
inline bool is_bool(DType dtype) { return dtype == DType::Bool; }
/// True for the 16-bit floats, which are computed in float32 and rounded once.
inline bool is_half(DType dtype) { return dtype == DType::Float16 || dtype == DType::BFloat16; }

/// The dtype in which an operation on `dtype` computes: float32 for the 16-bit floats, else itself.
inline DType compute_dtype(DType dtype) { return is_half(dtype) ? DType::Float32 : dtype; }

/// PyTorch's promotion of two dtypes of equal standing (torch.promote_types).
DType promote_types(DType a, DType b);

/// True if PyTorch lets a result of type `from` be written to a tensor of type `to`
/// (torch.can_cast).
bool can_cast(DType from, DType to);

/// The dtype with this PyTorch name; throws ValueError for an unknown one.
DType dtype_from_name(std::string_view name);
/// The dtype with this printed-program name ("f32"); throws ValueError for an unknown one.
DType dtype_from_ir_name(std::string_view name);

}  // namespace flambeau
