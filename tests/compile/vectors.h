#pragma once
// Tensors of one axis of float32 and their values.

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "flambeau/flambeau.h"

namespace flambeau {

inline Tensor numbers(std::initializer_list<float> list) {
  const Tensor result = Tensor::empty({static_cast<int64_t>(list.size())});
  std::copy(list.begin(), list.end(), result.data<float>());
  return result;
}
inline std::vector<float> values(const Tensor& tensor) {
  const auto* data = tensor.data<float>();
  return {data, data + tensor.numel()};
}

}  // namespace flambeau
