#include "nn/activation.h"

#include "flambeau/functions.h"

namespace flambeau::nn {
namespace activation {

Tensor identity(const Tensor& input) { return input; }
Tensor gelu(const Tensor& input) { return flambeau::gelu(input); }
Tensor relu(const Tensor& input) { return flambeau::relu(input); }
Tensor silu(const Tensor& input) { return flambeau::silu(input); }
Tensor mish(const Tensor& input) { return flambeau::mish(input); }
Tensor tanh(const Tensor& input) { return flambeau::tanh(input); }
Tensor sigmoid(const Tensor& input) { return flambeau::sigmoid(input); }
Tensor hardswish(const Tensor& input) { return flambeau::hardswish(input); }

}  // namespace activation

Tensor LeakyReLU::forward(const Tensor& input) {
  return flambeau::leaky_relu(input, negative_slope_);
}
Tensor ELU::forward(const Tensor& input) { return flambeau::elu(input, alpha_); }
Tensor Softmax::forward(const Tensor& input) { return flambeau::softmax(input, dim_); }
Tensor LogSoftmax::forward(const Tensor& input) { return flambeau::log_softmax(input, dim_); }

}  // namespace flambeau::nn
