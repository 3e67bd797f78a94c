#include "nn/init.h"

#include <cmath>
#include <mutex>

#include "base/distributions.h"
#include "base/error.h"
#include "tensor/element.h"
#include "tensor/generator.h"

namespace flambeau::nn::init {
namespace {

void require_dense(const Tensor& tensor, const char* name) {
  check<ValueError>(tensor.is_contiguous() && is_float(tensor.dtype()), [&] {
    return concat(name, ": expected a contiguous float tensor, got ", info(tensor.dtype()).name,
                  " of shape ", list_text(tensor.sizes()));
  });
}

struct Fans {
  double in;
  double out;
};
Fans fans_of(const Tensor& tensor, const char* name) {
  check<ValueError>(tensor.dim() >= 2, [&] {
    return concat(name, ": fan in and fan out need at least 2 dimensions, got shape ",
                  list_text(tensor.sizes()));
  });
  double field = 1;
  for (int i = 2; i < tensor.dim(); ++i) field *= static_cast<double>(tensor.size(i));
  return {static_cast<double>(tensor.size(1)) * field, static_cast<double>(tensor.size(0)) * field};
}

}  // namespace

Tensor uniform_(const Tensor& tensor, double from, double to) {
  require_dense(tensor, "uniform_");
  Generator& generator = default_generator();
  const std::lock_guard lock(generator.mutex());
  fill_uniform(generator, tensor.data_ptr(), tensor.dtype(), tensor.numel(), from, to);
  tensor.bump_version("uniform_");
  return tensor;
}

Tensor normal_(const Tensor& tensor, double mean, double std) {
  require_dense(tensor, "normal_");
  Generator& generator = default_generator();
  const std::lock_guard lock(generator.mutex());
  fill_normal(generator, tensor.data_ptr(), tensor.dtype(), tensor.numel(), mean, std);
  tensor.bump_version("normal_");
  return tensor;
}

Tensor constant_(const Tensor& tensor, double value) {
  require_dense(tensor, "constant_");
  auto* data = static_cast<char*>(tensor.data_ptr());
  const auto size = static_cast<int64_t>(size_of(tensor.dtype()));
  for (int64_t i = 0; i < tensor.numel(); ++i)
    store_element(data + i * size, tensor.dtype(), value);
  tensor.bump_version("constant_");
  return tensor;
}

Tensor xavier_uniform_(const Tensor& tensor, double gain) {
  const Fans fans = fans_of(tensor, "xavier_uniform_");
  const double bound = std::sqrt(3.0) * gain * std::sqrt(2.0 / (fans.in + fans.out));
  return uniform_(tensor, -bound, bound);
}
Tensor xavier_normal_(const Tensor& tensor, double gain) {
  const Fans fans = fans_of(tensor, "xavier_normal_");
  return normal_(tensor, 0, gain * std::sqrt(2.0 / (fans.in + fans.out)));
}
Tensor kaiming_uniform_(const Tensor& tensor, double a) {
  if (tensor.numel() == 0) return tensor;
  const double fan_in = fans_of(tensor, "kaiming_uniform_").in;
  const double bound = std::sqrt(3.0) * std::sqrt(2.0 / (1 + a * a)) / std::sqrt(fan_in);
  return uniform_(tensor, -bound, bound);
}
Tensor kaiming_normal_(const Tensor& tensor, double a) {
  if (tensor.numel() == 0) return tensor;
  const double fan_in = fans_of(tensor, "kaiming_normal_").in;
  return normal_(tensor, 0, std::sqrt(2.0 / (1 + a * a)) / std::sqrt(fan_in));
}
Tensor ones_(const Tensor& tensor) { return constant_(tensor, 1); }
Tensor zeros_(const Tensor& tensor) { return constant_(tensor, 0); }

}  // namespace flambeau::nn::init
