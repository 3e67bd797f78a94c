#pragma once
// State: what a state_dict holds. Nothing, numbers, texts, tensors, and lists, tuples and dicts of
// them, as the Python package's checkpoints do.

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tensor/tensor.h"

namespace flambeau::nn {

class State {
 public:
  using List = std::vector<State>;
  /// In order of insertion; a key is a text or an integer.
  using Dict = std::vector<std::pair<State, State>>;
  struct Tuple {
    List items;
  };

  State() = default;                                                ///< nothing: Python's None
  State(bool value) : value_(value) {}                              // NOLINT
  State(int value) : value_(int64_t{value}) {}                      // NOLINT
  State(int64_t value) : value_(value) {}                           // NOLINT
  State(double value) : value_(value) {}                            // NOLINT
  State(const char* value) : value_(std::string(value)) {}          // NOLINT
  State(std::string value) : value_(std::move(value)) {}            // NOLINT
  State(const Tensor& value) : value_(value) {}                     // NOLINT
  State(List value) : value_(std::move(value)) {}                   // NOLINT
  State(Tuple value) : value_(std::move(value)) {}                  // NOLINT
  State(Dict value) : value_(std::move(value)) {}                   // NOLINT
  State(const std::map<std::string, Tensor>& tensors);              // NOLINT
  State(const std::vector<std::pair<std::string, Tensor>>& named);  // NOLINT

  bool is_none() const { return std::holds_alternative<std::monostate>(value_); }
  template <class T>
  bool is() const {
    return std::holds_alternative<T>(value_);
  }
  /// The value as this kind, ValueError that names what it is instead.
  bool to_bool() const;
  int64_t to_int() const;
  double to_double() const;  ///< of an integer too
  const std::string& text() const;
  const Tensor& tensor() const;
  const List& list() const;  ///< of a tuple too
  const Dict& dict() const;
  /// The tensors of a dict of tensors by name.
  std::map<std::string, Tensor> tensors() const;

  /// The entry of a dict; ValueError if there is none.
  const State& operator[](const State& key) const;
  /// The entry of a dict, or null.
  const State* find(const State& key) const;
  /// True for the same text or integer.
  bool is_key(const State& other) const;

  const auto& value() const { return value_; }

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, Tensor, List, Tuple, Dict>
      value_;
};

}  // namespace flambeau::nn
