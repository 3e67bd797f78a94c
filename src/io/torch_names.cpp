#include "io/torch_names.h"

#include <algorithm>
#include <array>

namespace flambeau::io {
namespace {

struct Row {
  std::string_view module;
  std::string_view name;
  TorchName meaning;
};

constexpr size_t kAny = 1;

constexpr std::array<Row, 22> kNames{{
    {"collections", "OrderedDict", {TorchCall::OfIterable, Meaning::OrderedDict, 0, kAny}},
    {"collections", "Counter", {TorchCall::OfIterable, Meaning::Counter, 0, kAny}},
    {"builtins", "set", {TorchCall::OfIterable, Meaning::PlainSet, 0, kAny}},
    {"__builtin__", "set", {TorchCall::OfIterable, Meaning::PlainSet, 0, kAny}},
    {"builtins", "complex", {TorchCall::OfNumbers, Meaning::ComplexNumber, 2, 2}},
    {"__builtin__", "complex", {TorchCall::OfNumbers, Meaning::ComplexNumber, 2, 2}},
    {"_codecs", "encode", {TorchCall::OfTexts, Meaning::PlainBytes, 2, 2}},
    {"builtins", "bytearray", {TorchCall::OfBytes, Meaning::ByteArray, 0, 1}},
    {"__builtin__", "bytearray", {TorchCall::OfBytes, Meaning::ByteArray, 0, 1}},
    {"torch._utils", "_rebuild_tensor", {TorchCall::RebuildTensor, Meaning::Tensor, 4, 4}},
    {"torch._utils", "_rebuild_tensor_v2", {TorchCall::RebuildTensor, Meaning::Tensor, 5, 6}},
    {"torch._utils", "_rebuild_tensor_v3", {TorchCall::RebuildTensor, Meaning::Tensor, 7, 8}},
    {"torch._utils", "_rebuild_parameter", {TorchCall::RebuildParameter, Meaning::Parameter, 3, 3}},
    {"torch._utils",
     "_rebuild_parameter_with_state",
     {TorchCall::RebuildParameter, Meaning::Parameter, 4, 4}},
    {"torch._tensor", "_rebuild_from_type_v2", {TorchCall::FromType, Meaning::Tensor, 4, 4}},
    {"torch", "Tensor", {TorchCall::TensorType}},
    {"torch", "Size", {TorchCall::OfTuple, Meaning::Size, 1, 1}},
    {"torch", "device", {TorchCall::Device, Meaning::Device, 1, 2}},
    {"torch.storage", "UntypedStorage", {TorchCall::Storage}},
    {"torch", "UntypedStorage", {TorchCall::Storage}},
    {"torch.serialization", "_get_layout", {TorchCall::OfTexts, Meaning::Layout, 1, 1}},
    {"torch", "ByteStorage", {TorchCall::Storage, Meaning::Plain, 0, 0, true, DType::UInt8}},
}};

struct StorageName {
  std::string_view word;
  DType dtype;
};
constexpr std::array<StorageName, 12> kStorages{{
    {"Double", DType::Float64},
    {"Float", DType::Float32},
    {"Half", DType::Float16},
    {"BFloat16", DType::BFloat16},
    {"Long", DType::Int64},
    {"Int", DType::Int32},
    {"Short", DType::Int16},
    {"Char", DType::Int8},
    {"Byte", DType::UInt8},
    {"Bool", DType::Bool},
    {"ComplexDouble", DType::Complex128},
    {"ComplexFloat", DType::Complex64},
}};
constexpr std::string_view kStorage = "Storage";

/// Dtypes that are names here.
constexpr std::array<std::string_view, 9> kNamedDTypes{
    "uint16",      "uint32",          "uint64",         "float8_e4m3fn", "float8_e4m3fnuz",
    "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu", "quint8"};

}  // namespace

std::optional<TorchName> find_torch_name(std::string_view module, std::string_view name) {
  for (const Row& row : kNames)
    if (row.module == module && row.name == name) return row.meaning;
  if (module != "torch") return std::nullopt;
  if (name.ends_with(kStorage)) {
    const std::string_view word = name.substr(0, name.size() - kStorage.size());
    for (const StorageName& storage : kStorages)
      if (storage.word == word)
        return TorchName{TorchCall::Storage, Meaning::Plain, 0, 0, true, storage.dtype};
  }
  for (int i = 0; i < kDTypeCount; ++i)
    if (const auto dtype = static_cast<DType>(i); info(dtype).name == name)
      return TorchName{TorchCall::None, Meaning::DType, 0, 0, true, dtype};
  if (std::find(kNamedDTypes.begin(), kNamedDTypes.end(), name) != kNamedDTypes.end())
    return TorchName{TorchCall::None, Meaning::NamedDType};
  return std::nullopt;
}

}  // namespace flambeau::io
