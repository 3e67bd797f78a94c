#include "nn/functional/functional.h"

#include "base/error.h"
#include "nn/functional/operation.h"

namespace flambeau::nn::functional {

Tensor linear(const Tensor& input, const Tensor& weight, const Tensor& bias) {
  static const Operation operation("linear");
  return operation(input, weight, bias)[0];
}
Tensor embedding(const Tensor& input, const Tensor& weight) {
  static const Operation operation("_functional_embedding");
  return operation(input, weight)[0];
}
Tensor layer_norm(const Tensor& input, const Ints& shape, const Tensor& weight, const Tensor& bias,
                  double eps) {
  static const Operation operation("layer_norm");
  return operation(input, shape, weight, bias, eps)[0];
}
Tensor gelu(const Tensor& input) {
  static const Operation operation("gelu");
  return operation(input)[0];
}
Tensor relu(const Tensor& input) {
  static const Operation operation("relu");
  return operation(input)[0];
}
Tensor softmax(const Tensor& input, int64_t dim) {
  static const Operation operation("softmax", "int");
  return operation(input, dim)[0];
}
Tensor dropout(const Tensor& input, double p, bool training) {
  check<ValueError>(p >= 0 && p <= 1, [&] {
    return concat("dropout: probability has to be between 0 and 1, but got ", p);
  });
  if (!training || p == 0) return input;
  static const Operation operation("_functional_dropout");
  return operation(input, p, true)[0];
}
Tensor cross_entropy(const Tensor& input, const Tensor& target) {
  static const Operation operation("cross_entropy");
  return operation(input, target)[0];
}
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    double dropout_p, bool is_causal) {
  static const Operation operation("scaled_dot_product_attention");
  return operation(query, key, value, Tensor(), dropout_p, is_causal)[0];
}

Tensor add(const Tensor& a, const Tensor& b) {
  static const Operation operation("add", "Tensor");
  return operation(a, b)[0];
}
Tensor div(const Tensor& a, double b) {
  static const Operation operation("div", "Tensor");
  return operation(a, Scalar(b))[0];
}
Tensor arange(int64_t count) {
  static const Operation operation("arange");
  return operation(count)[0];
}
Tensor stack(const TensorList& tensors, int64_t dim) {
  static const Operation operation("stack");
  return operation(tensors, dim)[0];
}
Tensor view(const Tensor& self, const Ints& sizes) {
  static const Operation operation("view");
  return operation(self, sizes)[0];
}
Tensor reshape(const Tensor& self, const Ints& sizes) {
  static const Operation operation("reshape");
  return operation(self, sizes)[0];
}
Tensor transpose(const Tensor& self, int64_t dim0, int64_t dim1) {
  static const Operation operation("transpose", "int");
  return operation(self, dim0, dim1)[0];
}
Tensor permute(const Tensor& self, const Ints& dims) {
  static const Operation operation("permute");
  return operation(self, dims)[0];
}
Tensor select(const Tensor& self, int64_t dim, int64_t index) {
  static const Operation operation("select", "int");
  return operation(self, dim, index)[0];
}
TensorList unbind(const Tensor& self, int64_t dim) {
  static const Operation operation("unbind", "int");
  const Results results = operation(self, dim);
  return {results.begin(), results.end()};
}

}  // namespace flambeau::nn::functional
