#include "nn/module.h"

#include <algorithm>
#include <array>

#include "autograd/engine.h"
#include "autograd/grad_mode.h"
#include "base/error.h"
#include "nn/functional/operation.h"

namespace flambeau::nn {

void Module::check_name(const std::string& name) const {
  check<ValueError>(!name.empty() && name.find('.') == std::string::npos, [&] {
    return concat("Module: '", name, "' is no name: it must not be empty or contain '.'");
  });
  const auto has = [&](const auto& entries) {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const auto& entry) { return entry.first == name; });
  };
  check<ValueError>(!has(parameters_) && !has(buffers_) && !has(children_),
                    [&] { return concat("Module: the name '", name, "' is taken"); });
}

Tensor Module::register_parameter(const std::string& name, Tensor tensor) {
  check_name(name);
  set_requires_grad(tensor, true);
  parameters_.emplace_back(name, tensor);
  return tensor;
}

Tensor Module::register_buffer(const std::string& name, Tensor tensor) {
  check_name(name);
  buffers_.emplace_back(name, tensor);
  return tensor;
}

void Module::collect(const std::string& prefix, Named Module::* member, Named& result) const {
  for (const auto& [name, tensor] : this->*member) result.emplace_back(prefix + name, tensor);
  for (const auto& [name, child] : children_) child->collect(prefix + name + ".", member, result);
}

std::vector<std::pair<std::string, Tensor>> Module::named_parameters() const {
  Named result;
  collect("", &Module::parameters_, result);
  return result;
}

std::vector<std::pair<std::string, Tensor>> Module::named_buffers() const {
  Named result;
  collect("", &Module::buffers_, result);
  return result;
}

TensorList Module::parameters() const {
  TensorList result;
  for (auto& [name, tensor] : named_parameters()) result.push_back(tensor);
  return result;
}

void Module::train(bool on) {
  training_ = on;
  for (const auto& [name, child] : children_) child->train(on);
}

void Module::zero_grad() const {
  for (const Tensor& parameter : parameters()) set_grad(parameter, {});
}

NamedTensors Module::state_dict() const {
  NamedTensors result;
  for (auto& [name, tensor] : named_parameters()) result.emplace(name, tensor.detach());
  for (auto& [name, tensor] : named_buffers()) result.emplace(name, tensor.detach());
  return result;
}

void Module::load_state_dict(const NamedTensors& state) const {
  const NamedTensors mine = state_dict();
  std::string errors;
  for (const auto& [name, tensor] : mine) {
    const auto found = state.find(name);
    if (found == state.end())
      errors += concat("\n  missing: ", name);
    else if (found->second.sizes() != tensor.sizes())
      errors += concat("\n  ", name, " has shape ", list_text(found->second.sizes()), ", expected ",
                       list_text(tensor.sizes()));
  }
  for (const auto& [name, tensor] : state)
    if (!mine.contains(name)) errors += concat("\n  unexpected: ", name);
  check(errors.empty(), [&] { return concat("load_state_dict: the state does not fit:", errors); });
  static const functional::Operation copy("copy_");
  const GradModeGuard no_grad(false);
  for (const auto& [name, tensor] : mine) copy(tensor, state.at(name));
}

void backward(const Tensor& loss) {
  const std::array<Tensor, 1> gradient;
  run_backward({&loss, 1}, gradient);
}

}  // namespace flambeau::nn
