#include "nn/state.h"

#include <array>

#include "base/error.h"

namespace flambeau::nn {
namespace {

constexpr std::array<const char*, 9> kKinds = {"nothing", "a bool",  "an integer",
                                               "a float", "a text",  "a tensor",
                                               "a list",  "a tuple", "a dict"};

[[noreturn]] void refuse(const State& state, const char* wanted) {
  throw ValueError(
      concat("State: expected ", wanted, ", found ", kKinds.at(state.value().index())));
}

template <class T>
const T& as(const State& state, const char* wanted) {
  if (const T* value = std::get_if<T>(&state.value())) return *value;
  refuse(state, wanted);
}

std::string key_text(const State& key) {
  return key.is<std::string>() ? concat('\'', key.text(), '\'') : std::to_string(key.to_int());
}

}  // namespace

State::State(const std::map<std::string, Tensor>& tensors) {
  Dict dict;
  for (const auto& [name, tensor] : tensors) dict.emplace_back(name, tensor);
  value_ = std::move(dict);
}
State::State(const std::vector<std::pair<std::string, Tensor>>& named) {
  Dict dict;
  for (const auto& [name, tensor] : named) dict.emplace_back(name, tensor);
  value_ = std::move(dict);
}

bool State::to_bool() const { return as<bool>(*this, "a bool"); }
int64_t State::to_int() const { return as<int64_t>(*this, "an integer"); }
double State::to_double() const {
  if (is<int64_t>()) return static_cast<double>(std::get<int64_t>(value_));
  return as<double>(*this, "a number");
}
const std::string& State::text() const { return as<std::string>(*this, "a text"); }
const Tensor& State::tensor() const { return as<Tensor>(*this, "a tensor"); }
const State::List& State::list() const {
  if (is<Tuple>()) return std::get<Tuple>(value_).items;
  return as<List>(*this, "a list");
}
const State::Dict& State::dict() const { return as<Dict>(*this, "a dict"); }

std::map<std::string, Tensor> State::tensors() const {
  std::map<std::string, Tensor> result;
  for (const auto& [name, value] : dict()) result.emplace(name.text(), value.tensor());
  return result;
}

bool State::is_key(const State& other) const {
  if (is<std::string>() && other.is<std::string>()) return text() == other.text();
  return is<int64_t>() && other.is<int64_t>() && to_int() == other.to_int();
}

const State* State::find(const State& key) const {
  for (const auto& [name, value] : dict())
    if (name.is_key(key)) return &value;
  return nullptr;
}
const State& State::operator[](const State& key) const {
  const State* found = find(key);
  check<ValueError>(found != nullptr,
                    [&] { return concat("State: there is no entry ", key_text(key)); });
  return *found;
}

}  // namespace flambeau::nn
