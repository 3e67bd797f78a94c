#pragma once
// Operations by name, for the C++ front end.

#include <array>
#include <span>
#include <string_view>

#include "autograd/call.h"

namespace flambeau::nn::functional {

/// One overload of an operation; meant to be a function's static constant.
class Operation {
 public:
  /// InternalError if there is no such overload.
  explicit Operation(std::string_view name, std::string_view overload = {});

  /// Calls it with these arguments in the schema's order; the others have their defaults. An
  /// undefined tensor is None.
  template <class... Given>
  Results operator()(const Given&... given) const {
    const std::array<ops::Argument, sizeof...(Given)> arguments{argument(given)...};
    return call_with(arguments);
  }

 private:
  static ops::Argument argument(const Tensor& tensor) {
    if (!tensor.defined()) return {};
    return static_cast<const TensorInfo*>(tensor.impl());
  }
  static ops::Argument argument(const TensorList& tensors) {
    ops::TensorRefs refs;
    for (const Tensor& tensor : tensors) refs.push_back(tensor.impl());
    return refs;
  }
  static ops::Argument argument(const Ints& values) { return values; }
  static ops::Argument argument(DType dtype) { return dtype; }
  static ops::Argument argument(const Scalar& number) { return number; }
  /// None.
  static ops::Argument argument(std::nullopt_t /*none*/) { return {}; }

  Results call_with(std::span<const ops::Argument> given) const;

  const ops::Definition& definition_;
};

}  // namespace flambeau::nn::functional
