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

void refuse_maximize(const nn::State& options) {
  const nn::State* maximize = options.find("maximize");
  check<ValueError>(maximize == nullptr || !maximize->to_bool(),
                    [] { return std::string("load_state_dict: there is no maximize in C++"); });
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

nn::State Optimizer::state_dict() const {
  nn::State::Dict states;
  nn::State::List numbers;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    numbers.emplace_back(number);
    if (nn::State state = parameter_state(i); !state.is_none())
      states.emplace_back(number, std::move(state));
  }
  nn::State::Dict group{{"lr", lr}};
  for (auto& option : options()) group.push_back(std::move(option));
  group.emplace_back("params", numbers);
  return nn::State::Dict{{"state", states}, {"param_groups", nn::State::List{group}}};
}

void Optimizer::load_state_dict(const nn::State& state) {
  const nn::State::List& groups = state["param_groups"].list();
  check<ValueError>(groups.size() == 1, [&] {
    return concat("load_state_dict: expected one parameter group, found ", groups.size());
  });
  const nn::State& group = groups[0];
  const nn::State::List& numbers = group["params"].list();
  check<ValueError>(numbers.size() == parameters_.size(), [&] {
    return concat("load_state_dict: the state has ", numbers.size(), " parameters, expected ",
                  parameters_.size());
  });
  std::vector<nn::State> states(parameters_.size());
  for (size_t i = 0; i < states.size(); ++i)
    if (const nn::State* found = state["state"].find(numbers[i])) states[i] = *found;
  const double rate = group["lr"].to_double();
  load(states, group);
  lr = rate;
}

Tensor Optimizer::loaded(const nn::State& state, size_t position, const char* name) const {
  const Tensor& tensor = state[name].tensor();
  const Tensor& parameter = parameters_[position];
  check<ValueError>(
      tensor.sizes() == parameter.sizes() && tensor.dtype() == parameter.dtype(), [&] {
        return concat("load_state_dict: ", name, " of parameter ", position, " has shape ",
                      list_text(tensor.sizes()), " and dtype ", info(tensor.dtype()).name,
                      ", expected ", list_text(parameter.sizes()), " and ",
                      info(parameter.dtype()).name);
      });
  const Tensor result = Tensor::empty(parameter.sizes(), parameter.dtype());
  copy_elements(tensor, result);
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

nn::State SGD::parameter_state(size_t position) const {
  if (!buffers_[position].defined()) return {};
  return nn::State::Dict{{"momentum_buffer", buffers_[position]}};
}
nn::State::Dict SGD::options() const {
  return {{"momentum", options_.momentum},
          {"dampening", options_.dampening},
          {"weight_decay", options_.weight_decay},
          {"nesterov", options_.nesterov},
          {"maximize", false},
          {"foreach", {}},
          {"differentiable", false},
          {"fused", {}}};
}
void SGD::load(const std::vector<nn::State>& states, const nn::State& options) {
  refuse_maximize(options);
  SGDOptions read{.lr = lr,
                  .momentum = options["momentum"].to_double(),
                  .dampening = options["dampening"].to_double(),
                  .weight_decay = options["weight_decay"].to_double(),
                  .nesterov = options["nesterov"].to_bool()};
  TensorList buffers(states.size());
  for (size_t i = 0; i < states.size(); ++i) {
    const nn::State* buffer = states[i].is_none() ? nullptr : states[i].find("momentum_buffer");
    if (buffer != nullptr && !buffer->is_none())
      buffers[i] = loaded(states[i], i, "momentum_buffer");
  }
  buffers_ = std::move(buffers);
  options_ = read;
}

Adam::Adam(TensorList parameters, const AdamOptions& options, bool decoupled)
    : Optimizer(std::move(parameters), options.lr),
      options_(options),
      decoupled_(decoupled),
      states_(this->parameters().size()) {
  check_not_negative("epsilon value", options.eps);
  check_not_negative("weight_decay value", options.weight_decay);
  for (const double beta : {options.beta1, options.beta2})
    check<ValueError>(beta >= 0 && beta < 1,
                      [&] { return concat("Invalid beta parameter: ", beta); });
}

void Adam::step() {
  static const Operation coupled("_fused_adam_");
  static const Operation decoupled("_fused_adamw_");
  static const Operation count("_foreach_add_");
  const GradModeGuard no_grad(false);
  const Updated all = updated();
  TensorList exp_avgs;
  TensorList exp_avg_sqs;
  TensorList steps;
  for (size_t i = 0; i < all.positions.size(); ++i) {
    Moments& state = states_[all.positions[i]];
    if (!state.exp_avg.defined()) {
      state.exp_avg = zeros_like(all.parameters[i]);
      state.exp_avg_sq = zeros_like(all.parameters[i]);
      state.step = Tensor::from_scalar(Scalar(0.0), DType::Float32);
    }
    exp_avgs.push_back(state.exp_avg);
    exp_avg_sqs.push_back(state.exp_avg_sq);
    steps.push_back(state.step);
  }
  if (steps.empty()) return;
  count(steps, 1);
  (decoupled_ ? decoupled : coupled)(all.parameters, all.gradients, exp_avgs, exp_avg_sqs, steps,
                                     lr, options_.beta1, options_.beta2, options_.weight_decay,
                                     options_.eps);
}

nn::State Adam::parameter_state(size_t position) const {
  const Moments& state = states_[position];
  if (!state.exp_avg.defined()) return {};
  return nn::State::Dict{
      {"step", state.step}, {"exp_avg", state.exp_avg}, {"exp_avg_sq", state.exp_avg_sq}};
}
nn::State::Dict Adam::options() const {
  return {{"betas", nn::State::Tuple{{options_.beta1, options_.beta2}}},
          {"eps", options_.eps},
          {"weight_decay", options_.weight_decay},
          {"amsgrad", false},
          {"maximize", false},
          {"foreach", {}},
          {"capturable", false},
          {"differentiable", false},
          {"fused", {}},
          {"decoupled_weight_decay", decoupled_}};
}
void Adam::load(const std::vector<nn::State>& states, const nn::State& options) {
  refuse_maximize(options);
  const nn::State* amsgrad = options.find("amsgrad");
  check<ValueError>(amsgrad == nullptr || !amsgrad->to_bool(),
                    [] { return std::string("load_state_dict: there is no amsgrad in C++"); });
  const nn::State::List& betas = options["betas"].list();
  check<ValueError>(betas.size() == 2,
                    [] { return std::string("load_state_dict: expected two betas"); });
  AdamOptions read{.lr = lr,
                   .beta1 = betas[0].to_double(),
                   .beta2 = betas[1].to_double(),
                   .eps = options["eps"].to_double(),
                   .weight_decay = options["weight_decay"].to_double()};
  std::vector<Moments> moments(states.size());
  for (size_t i = 0; i < states.size(); ++i) {
    if (states[i].is_none()) continue;
    moments[i] = {loaded(states[i], i, "exp_avg"), loaded(states[i], i, "exp_avg_sq"),
                  Tensor::from_scalar(states[i]["step"].tensor().item(), DType::Float32)};
  }
  states_ = std::move(moments);
  options_ = read;
}

}  // namespace flambeau::optim
