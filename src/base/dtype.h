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
  Complex32,
  Complex64,
  Complex128,
};

inline constexpr int kDTypeCount = 13;

/// PyTorch's promotion categories, lowest first.
enum class DTypeCategory : uint8_t { Bool, Integer, Float, ComplexNumber };

struct DTypeInfo {
  std::string_view name;        ///< PyTorch's name: "float32"
  std::string_view word;        ///< PyTorch's word in messages: "Float"
  std::string_view ir_name;     ///< short name in printed programs: "f32"
  std::string_view file_name;   ///< safetensors' name: "F32"; empty where it has none
  std::string_view numpy_name;  ///< NumPy's type string, "<f4"; empty where NumPy has none
  uint8_t size;                 ///< bytes of one element
  DTypeCategory category;
  bool is_signed;
};

/// The row of `dtype` in the table.
const DTypeInfo& info(DType dtype);

inline size_t size_of(DType dtype) { return info(dtype).size; }
/// True for the real floats.
inline bool is_float(DType dtype) { return dtype >= DType::Float16 && dtype <= DType::Float64; }
inline bool is_complex(DType dtype) { return dtype >= DType::Complex32; }
/// True for floats and complex numbers: what may have a gradient.
inline bool is_inexact(DType dtype) { return dtype >= DType::Float16; }
inline bool is_integer(DType dtype) { return dtype > DType::Bool && dtype < DType::Float16; }
inline bool is_bool(DType dtype) { return dtype == DType::Bool; }
/// True for the 16-bit floats, which are computed in float32 and rounded once.
inline bool is_half(DType dtype) { return dtype == DType::Float16 || dtype == DType::BFloat16; }

/// The dtype in which an operation on `dtype` computes: float32 for the 16-bit floats, complex64
/// for pairs of them, else itself.
inline DType compute_dtype(DType dtype) {
  if (is_half(dtype)) return DType::Float32;
  return dtype == DType::Complex32 ? DType::Complex64 : dtype;
}

/// The dtype of the parts of a complex number; a real dtype itself.
DType real_dtype(DType dtype);
/// The complex dtype whose parts hold values of the float `dtype`; a complex dtype itself.
DType complex_dtype(DType dtype);

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
