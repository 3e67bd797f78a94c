#pragma once
// Modules that hold others.

#include "nn/module.h"

namespace flambeau::nn {

/// One layer after the other, named "0", "1", ...
class Sequential final : public Layer {
 public:
  explicit Sequential(std::vector<std::shared_ptr<Layer>> layers) {
    for (auto& layer : layers) push_back(std::move(layer));
  }
  void push_back(std::shared_ptr<Layer> layer) {
    layers_.push_back(register_module(std::to_string(layers_.size()), std::move(layer)));
  }
  Tensor forward(const Tensor& input) override {
    Tensor result = input;
    for (const auto& layer : layers_) result = layer->forward(result);
    return result;
  }
  size_t size() const { return layers_.size(); }
  Layer& operator[](size_t i) const { return *layers_.at(i); }

 private:
  std::vector<std::shared_ptr<Layer>> layers_;
};

/// Children named "0", "1", ...
template <class Child>
class ModuleList final : public Module {
 public:
  void push_back(std::shared_ptr<Child> child) {
    items_.push_back(register_module(std::to_string(items_.size()), std::move(child)));
  }
  size_t size() const { return items_.size(); }
  Child& operator[](size_t i) const { return *items_[i]; }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<std::shared_ptr<Child>> items_;
};

/// Children by name, in order of insertion.
template <class Child>
class ModuleDict final : public Module {
 public:
  /// ValueError for a name that is taken.
  void insert(const std::string& name, std::shared_ptr<Child> child) {
    items_.emplace_back(name, register_module(name, std::move(child)));
  }
  /// The child of this name, or null.
  std::shared_ptr<Child> find(const std::string& name) const {
    for (const auto& [key, child] : items_)
      if (key == name) return child;
    return nullptr;
  }
  size_t size() const { return items_.size(); }
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }

 private:
  std::vector<std::pair<std::string, std::shared_ptr<Child>>> items_;
};

}  // namespace flambeau::nn
