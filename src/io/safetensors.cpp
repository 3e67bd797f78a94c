#include "io/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/error.h"
#include "eager/copy.h"
#include "io/file.h"

namespace flambeau::io {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr size_t kLengthBytes = 8;
// The header is padded to this, so that every tensor is aligned for its dtype.
constexpr size_t kHeaderAlignment = 8;
constexpr int kDeepest = 3;

[[noreturn]] void refuse(const std::string& source, const std::string& what) {
  throw ValueError(concat(source, ": not a valid safetensors file: ", what));
}

/// The header as JSON, each name at most once.
Json parse_json(std::span<const std::byte> text, const std::string& source) {
  std::vector<std::set<std::string>> names;
  const auto check_event = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kDeepest) refuse(source, "the header is nested too deeply");
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key && !names.back().insert(value.get<std::string>()).second)
      refuse(source, concat("'", value.get<std::string>(), "' occurs twice in the header"));
    return true;
  };
  const auto* begin = reinterpret_cast<const char*>(text.data());
  Json header;
  try {
    header = Json::parse(begin, begin + text.size(), check_event);
  } catch (const Json::exception& error) {
    refuse(source, concat("the header is not JSON: ", error.what()));
  }
  if (!header.is_object())
    refuse(source, concat("the header is a JSON ", header.type_name(), ", not an object"));
  return header;
}

Metadata parse_metadata(const Json& value, const std::string& source) {
  if (!value.is_object())
    refuse(source, concat(kMetadataKey, " is a JSON ", value.type_name(), ", not an object"));
  Metadata metadata;
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string())
      refuse(source,
             concat(kMetadataKey, " '", key, "' is a JSON ", text.type_name(), ", not a string"));
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

DType dtype_of(const Json& value, const std::string& name, const std::string& source) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  for (int i = 0; i < kDTypeCount; ++i)
    if (const auto dtype = static_cast<DType>(i); !text.empty() && info(dtype).file_name == text)
      return dtype;
  refuse(source, concat("tensor '", name, "' has the unknown dtype '", text, "'"));
}

std::vector<uint64_t> integers(const Json& value, const char* what, const std::string& name,
                               const std::string& source) {
  const bool fits = value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& v) {
                      return v.is_number_unsigned();
                    });
  if (!fits)
    refuse(source, concat("tensor '", name, "' has the ", what, " ", value.dump(),
                          ", expected a list of non-negative integers"));
  return value.get<std::vector<uint64_t>>();
}

TensorPlace parse_place(const std::string& name, const Json& value, const std::string& source) {
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value.contains("shape") || !value.contains("data_offsets"))
    refuse(source,
           concat("tensor '", name, "' must have exactly dtype, shape and data_offsets, found ",
                  value.dump()));
  TensorPlace place{.name = name, .dtype = dtype_of(value["dtype"], name, source), .sizes = {}};
  const std::vector<uint64_t> shape = integers(value["shape"], "shape", name, source);
  const std::vector<uint64_t> offsets = integers(value["data_offsets"], "offsets", name, source);
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    refuse(source, concat("tensor '", name, "' has the offsets ", list_text(offsets),
                          ", expected [begin, end] with begin <= end"));
  place.begin = offsets[0];
  place.end = offsets[1];
  // The product of the extents other than 0 must fit, as strides are made from them.
  uint64_t bytes = size_of(place.dtype);
  bool is_empty = false;
  for (const uint64_t extent : shape) {
    is_empty = is_empty || extent == 0;
    if (__builtin_mul_overflow(bytes, std::max<uint64_t>(extent, 1), &bytes) || bytes >> 63 != 0)
      refuse(source, concat("tensor '", name, "' has the shape ", list_text(shape),
                            ", which is too large"));
    place.sizes.push_back(static_cast<int64_t>(extent));
  }
  if (is_empty) bytes = 0;
  if (bytes != place.end - place.begin)
    refuse(source, concat("tensor '", name, "' of shape ", list_text(shape), " and dtype ",
                          info(place.dtype).name, " needs ", bytes, " bytes, but its offsets ",
                          list_text(offsets), " span ", place.end - place.begin));
  return place;
}

void check_cover(std::vector<TensorPlace>& tensors, uint64_t data_bytes,
                 const std::string& source) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorPlace& a, const TensorPlace& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t expected = 0;
  for (const TensorPlace& tensor : tensors) {
    if (tensor.begin != expected)
      refuse(source,
             concat("tensor '", tensor.name, "' begins at byte ", tensor.begin,
                    tensor.begin < expected ? ", inside the tensor before it" : ", after a gap",
                    "; expected ", expected));
    expected = tensor.end;
    if (expected > data_bytes)
      refuse(source, concat("tensor '", tensor.name, "' ends at byte ", tensor.end,
                            " of the data, but the file has only ", data_bytes));
  }
  if (expected != data_bytes)
    refuse(source, concat("the file has ", data_bytes, " bytes of data, but its tensors end at ",
                          expected));
}

/// Tensors in the order in which they are written: larger elements first, for alignment.
std::vector<NamedTensors::const_pointer> in_file_order(const NamedTensors& tensors) {
  std::vector<NamedTensors::const_pointer> order;
  for (const auto& entry : tensors) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) {
    const size_t size_a = size_of(a->second.dtype());
    const size_t size_b = size_of(b->second.dtype());
    return size_a != size_b ? size_a > size_b : a->first < b->first;
  });
  return order;
}

uint64_t byte_count(const Tensor& tensor) {
  return static_cast<uint64_t>(tensor.numel()) * size_of(tensor.dtype());
}

std::string header_text(const std::vector<NamedTensors::const_pointer>& order,
                        const Metadata& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[std::string(kMetadataKey)] = metadata;
  uint64_t begin = 0;
  for (const auto* entry : order) {
    const auto& [name, tensor] = *entry;
    check<ValueError>(!info(tensor.dtype()).file_name.empty(), [&] {
      return concat("save_file: tensor '", name, "' has dtype ", info(tensor.dtype()).name,
                    ", which safetensors files do not have");
    });
    const uint64_t end = begin + byte_count(tensor);
    header[name] = {{"dtype", info(tensor.dtype()).file_name},
                    {"shape", std::vector<int64_t>(tensor.sizes().begin(), tensor.sizes().end())},
                    {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& error) {
    throw ValueError(concat("save_file: names and metadata must be UTF-8: ", error.what()));
  }
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  return text;
}

}  // namespace

SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& source) {
  if (file.size() < kLengthBytes) refuse(source, concat("it has only ", file.size(), " bytes"));
  uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kLongestHeader)
    refuse(source, concat("its header is said to have ", length, " bytes, at most ", kLongestHeader,
                          " are allowed"));
  if (length > file.size() - kLengthBytes)
    refuse(source, concat("its header is said to have ", length, " bytes, but the file has only ",
                          file.size()));
  SafetensorsHeader header;
  header.data_start = kLengthBytes + length;
  const Json json = parse_json(file.subspan(kLengthBytes, length), source);
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadataKey)
      header.metadata = parse_metadata(value, source);
    else
      header.tensors.push_back(parse_place(name, value, source));
  }
  check_cover(header.tensors, file.size() - header.data_start, source);
  return header;
}

LoadedFile load_file(const std::string& path, FileAccess access) {
  const Ref<Storage> storage = map_file(path, access == FileAccess::ReadOnly);
  auto* bytes = static_cast<std::byte*>(storage->data());
  SafetensorsHeader header = parse_safetensors({bytes, storage->bytes()}, "load_file: " + path);
  LoadedFile result;
  result.metadata = std::move(header.metadata);
  for (TensorPlace& place : header.tensors) {
    const size_t size = size_of(place.dtype);
    const uint64_t start = header.data_start + place.begin;
    TensorInfo type{place.dtype, place.sizes, contiguous_strides(place.sizes)};
    Tensor tensor;
    if (start % size == 0) {
      tensor = Tensor(make_ref<TensorImpl>(storage, type, static_cast<int64_t>(start / size)));
    } else {
      // Another writer's file need not be aligned; kernels need their elements to be.
      tensor = Tensor::empty(place.sizes, place.dtype);
      if (place.end > place.begin)
        std::memcpy(tensor.data_ptr(), bytes + start, place.end - place.begin);
    }
    result.tensors.emplace(std::move(place.name), std::move(tensor));
  }
  return result;
}

void save_file(const NamedTensors& tensors, const std::string& path, const Metadata& metadata) {
  check<ValueError>(!tensors.contains(std::string(kMetadataKey)), [] {
    return concat("save_file: '", kMetadataKey, "' is not allowed as the name of a tensor");
  });
  for (const auto& [name, tensor] : tensors)
    check<ValueError>(tensor.defined(),
                      [&] { return concat("save_file: tensor '", name, "' is undefined"); });
  const auto order = in_file_order(tensors);
  const std::string header = header_text(order, metadata);
  const uint64_t length = header.size();
  ReplacedFile file(path);
  file.write(&length, sizeof length);
  file.write(header.data(), header.size());
  for (const auto* entry : order) {
    const Tensor dense = row_major(entry->second);
    if (const uint64_t count = byte_count(dense); count > 0) file.write(dense.data_ptr(), count);
  }
  file.commit();
}

}  // namespace flambeau::io
