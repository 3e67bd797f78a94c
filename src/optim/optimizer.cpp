#include "optim/optimizer.h"

#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "base/error.h"
#include "eager/copy.h"
#include "nn/functional/operation.h"

namespace flambeau::optim {

using nn::functional::Operation;

namespace {

void check_not_negative(const char* what, double value) {
  check<ValueError>(value >= 0, [&] { return concat("Invalid ", what, ": ", value); });
}

Tensor zeros_like(const Tensor& tensor) {
  static const Operation zeros("zeros_like");
  return zeros(tensor)[0];
}

}  // namespace

Optimizer::Optimizer(TensorList parameters, double rate)
    : lr(rate), parameters_(std::move(parameters)) {
  check<ValueError>(!parameters_.empty(),
                    [] { return std::string("optimizer got an empty parameter list"); });
  check_not_negative("learning rate", lr);
}

void Optimizer::zero_grad() const {
  for (const Tensor& parameter : parameters_) set_grad(parameter, {});
}

Optimizer::Updated Optimizer::updated() const {
  Updated result;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor gradient = grad(parameters_[i]);
    if (!gradient.defined()) continue;
    result.positions.push_back(i);
    result.parameters.push_back(parameters_[i]);
    result.gradients.push_back(gradient);
  }
  return result;
}

Tensor Optimizer::loaded(const std::map<std::string, Tensor>& state, size_t position,
                         const char* name) const {
  const std::string key = concat(position, '.', name);
  const auto found = state.find(key);
  if (found == state.end()) return {};
  const Tensor& parameter = parameters_[position];
  check(found->second.sizes() == parameter.sizes() && found->second.dtype() == parameter.dtype(),
        [&] {
          return concat("load_state_dict: ", key, " has shape ", list_text(found->second.sizes()),
                        ", expected ", list_text(parameter.sizes()));
        });
  const Tensor result = Tensor::empty(parameter.sizes(), parameter.dtype());
  copy_elements(found->second, result);
  return result;
}

SGD::SGD(TensorList parameters, const SGDOptions& options)
    : Optimizer(std::move(parameters), options.lr), options_(options) {
  check_not_negative("momentum value", options.momentum);
  check_not_negative("weight_decay value", options.weight_decay);
  check<ValueError>(!options.nesterov || (options.momentum > 0 && options.dampening == 0), [] {
    return std::string("Nesterov momentum requires a momentum and zero dampening");
  });
  buffers_.resize(this->parameters().size());
}

void SGD::update(const Updated& some, const TensorList& buffers, bool first) const {
  if (some.parameters.empty()) return;
  static const Operation with_momentum("_fused_sgd_", "momentum");
  with_momentum(some.parameters, some.gradients, buffers, lr, options_.weight_decay,
                options_.momentum, options_.dampening, options_.nesterov, first);
}

void SGD::step() {
  const GradModeGuard no_grad(false);
  const Updated all = updated();
  if (options_.momentum == 0) {
    static const Operation plain("_fused_sgd_");
    if (!all.parameters.empty()) plain(all.parameters, all.gradients, lr, options_.weight_decay);
    return;
  }
  Updated fresh;
  Updated known;
  TensorList fresh_buffers;
  TensorList known_buffers;
  for (size_t i = 0; i < all.positions.size(); ++i) {
    Tensor& buffer = buffers_[all.positions[i]];
    const bool first = !buffer.defined();
    if (first) buffer = zeros_like(all.parameters[i]);
    Updated& part = first ? fresh : known;
    part.parameters.push_back(all.parameters[i]);
    part.gradients.push_back(all.gradients[i]);
    (first ? fresh_buffers : known_buffers).push_back(buffer);
  }
  update(fresh, fresh_buffers, true);
  update(known, known_buffers, false);
}

std::map<std::string, Tensor> SGD::state_dict() const {
  std::map<std::string, Tensor> result;
  for (size_t i = 0; i < buffers_.size(); ++i)
    if (buffers_[i].defined()) result.emplace(concat(i, ".momentum_buffer"), buffers_[i]);
  return result;
}

void SGD::load_state_dict(const std::map<std::string, Tensor>& state) {
  TensorList buffers;
  for (size_t i = 0; i < buffers_.size(); ++i)
    buffers.push_back(loaded(state, i, "momentum_buffer"));
  buffers_ = std::move(buffers);
}

AdamW::AdamW(TensorList parameters, const AdamWOptions& options)
    : Optimizer(std::move(parameters), options.lr),
      options_(options),
      states_(this->parameters().size()) {
  check_not_negative("epsilon value", options.eps);
  check_not_negative("weight_decay value", options.weight_decay);
  for (const double beta : {options.beta1, options.beta2})
    check<ValueError>(beta >= 0 && beta < 1,
                      [&] { return concat("Invalid beta parameter: ", beta); });
}

void AdamW::step() {
  static const Operation update("_fused_adamw_");
  const GradModeGuard no_grad(false);
  const Updated all = updated();
  // Parameters that have made the same number of steps share an update; usually all have.
  struct Group {
    TensorList parameters, gradients, exp_avgs, exp_avg_sqs;
  };
  std::map<double, Group> groups;
  for (size_t i = 0; i < all.positions.size(); ++i) {
    State& state = states_[all.positions[i]];
    if (!state.exp_avg.defined()) {
      state.exp_avg = zeros_like(all.parameters[i]);
      state.exp_avg_sq = zeros_like(all.parameters[i]);
    }
    state.steps += 1;
    Group& group = groups[state.steps];
    group.parameters.push_back(all.parameters[i]);
    group.gradients.push_back(all.gradients[i]);
    group.exp_avgs.push_back(state.exp_avg);
    group.exp_avg_sqs.push_back(state.exp_avg_sq);
  }
  for (const auto& [steps, group] : groups)
    update(group.parameters, group.gradients, group.exp_avgs, group.exp_avg_sqs, lr, options_.beta1,
           options_.beta2, options_.weight_decay, options_.eps, steps);
}

std::map<std::string, Tensor> AdamW::state_dict() const {
  std::map<std::string, Tensor> result;
  for (size_t i = 0; i < states_.size(); ++i) {
    const State& state = states_[i];
    if (!state.exp_avg.defined()) continue;
    result.emplace(concat(i, ".exp_avg"), state.exp_avg);
    result.emplace(concat(i, ".exp_avg_sq"), state.exp_avg_sq);
    result.emplace(concat(i, ".step"), Tensor::from_scalar(state.steps, DType::Float64));
  }
  return result;
}

void AdamW::load_state_dict(const std::map<std::string, Tensor>& state) {
  std::vector<State> states(states_.size());
  for (size_t i = 0; i < states.size(); ++i) {
    states[i] = {loaded(state, i, "exp_avg"), loaded(state, i, "exp_avg_sq")};
    const auto steps = state.find(concat(i, ".step"));
    check(states[i].exp_avg.defined() == states[i].exp_avg_sq.defined() &&
              states[i].exp_avg.defined() == (steps != state.end()),
          [&] { return concat("load_state_dict: the state of parameter ", i, " is incomplete"); });
    if (steps != state.end()) states[i].steps = steps->second.item().to_double();
  }
  states_ = std::move(states);
}

}  // namespace flambeau::optim
