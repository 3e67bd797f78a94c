#include "io/checkpoint.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/safetensors.h"

namespace flambeau::io {
namespace {

using nn::State;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "flambeau.checkpoint.1";
// No state is nested as deeply; a hostile file might be.
constexpr int kDeepest = 200;

// What JSON lacks is a one-entry object whose key begins with "$".
Json wrapped(const char* key, Json content) { return Json::object({{key, std::move(content)}}); }

std::string key_path(const State& key) {
  return key.is<std::string>() ? key.text() : std::to_string(key.to_int());
}

class Packer {
 public:
  NamedTensors tensors;

  Json pack(const State& state, const std::string& path) {
    return std::visit([&](const auto& value) { return packed(value, path); }, state.value());
  }

 private:
  static Json packed(std::monostate /*none*/, const std::string& /*path*/) { return nullptr; }
  static Json packed(bool value, const std::string& /*path*/) { return value; }
  static Json packed(int64_t value, const std::string& /*path*/) { return value; }
  static Json packed(const std::string& value, const std::string& /*path*/) { return value; }
  static Json packed(double value, const std::string& /*path*/) {
    if (std::isfinite(value)) return value;
    return wrapped("$float", std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
  }
  Json packed(const Tensor& value, std::string path) {
    while (tensors.contains(path)) path += '\'';
    tensors.emplace(path, value);
    return wrapped("$tensor", path);
  }
  Json packed(const State::List& value, const std::string& path) {
    Json items = Json::array();
    for (size_t i = 0; i < value.size(); ++i) items.push_back(pack(value[i], concat(path, '.', i)));
    return items;
  }
  Json packed(const State::Tuple& value, const std::string& path) {
    return wrapped("$tuple", packed(value.items, path));
  }
  Json packed(const State::Dict& value, const std::string& path) {
    Json object = Json::object();
    Json pairs = Json::array();
    bool plain = true;
    for (const auto& [key, item] : value) {
      const std::string name = key_path(key);
      plain = plain && key.is<std::string>() && !name.starts_with('$');
      Json content = pack(item, path.empty() ? name : concat(path, '.', name));
      pairs.push_back(Json::array({pack(key, path), content}));
      object[name] = std::move(content);
    }
    return plain ? object : wrapped("$dict", pairs);
  }
};

class Unpacker {
 public:
  explicit Unpacker(const NamedTensors& tensors) : tensors_(tensors) {}

  State unpack(const Json& json, int depth = 0) const {
    check<ValueError>(depth < kDeepest, [] { return std::string("it is nested too deeply"); });
    switch (json.type()) {
      case Json::value_t::null:
        return {};
      case Json::value_t::boolean:
        return json.get<bool>();
      case Json::value_t::number_integer:
      case Json::value_t::number_unsigned:
        return json.get<int64_t>();
      case Json::value_t::number_float:
        return json.get<double>();
      case Json::value_t::string:
        return json.get<std::string>();
      case Json::value_t::array:
        return list(json, depth);
      case Json::value_t::object:
        return object(json, depth);
      default:
        throw ValueError("it holds something that is no JSON");
    }
  }

 private:
  State::List list(const Json& json, int depth) const {
    State::List items;
    for (const Json& item : json) items.push_back(unpack(item, depth + 1));
    return items;
  }
  State object(const Json& json, int depth) const {
    if (json.size() == 1) {
      const std::string& key = json.begin().key();
      const Json& content = json.begin().value();
      if (key == "$float") {
        const auto text = content.get<std::string>();
        return text == "nan" ? NAN : text == "-inf" ? -INFINITY : INFINITY;
      }
      if (key == "$tensor") return tensors_.at(content.get<std::string>());
      if (key == "$tuple") return State::Tuple{list(content, depth)};
      if (key == "$dict") {
        State::Dict dict;
        for (const Json& pair : content)
          dict.emplace_back(unpack(pair.at(0), depth + 1), unpack(pair.at(1), depth + 1));
        return dict;
      }
    }
    State::Dict dict;
    for (const auto& [key, value] : json.items()) dict.emplace_back(key, unpack(value, depth + 1));
    return dict;
  }

  const NamedTensors& tensors_;
};

}  // namespace

void save_checkpoint(const State& state, const std::string& path) {
  check<TypeError>(state.is<State::Dict>(),
                   [] { return std::string("save_checkpoint: the state must be a dict"); });
  Packer packer;
  std::string text;
  try {
    text = packer.pack(state, "").dump();
  } catch (const Json::exception& error) {
    throw ValueError(concat("save_checkpoint: texts must be UTF-8: ", error.what()));
  }
  save_file(packer.tensors, path, {{"format", kFormat}, {"state", text}});
}

State load_checkpoint(const std::string& path) {
  const LoadedFile file = load_file(path);
  const auto format = file.metadata.find("format");
  const auto text = file.metadata.find("state");
  check<ValueError>(
      format != file.metadata.end() && format->second == kFormat && text != file.metadata.end(),
      [&] {
        return concat("load_checkpoint: '", path, "' is no checkpoint: expected the format ",
                      kFormat);
      });
  try {
    return Unpacker(file.tensors).unpack(Json::parse(text->second));
  } catch (const std::exception& error) {
    throw ValueError(concat("load_checkpoint: '", path, "' is damaged: ", error.what()));
  }
}

}  // namespace flambeau::io
