#pragma once
// flambeau::compile: a function whose tensor operations are recorded and run as one program.

#include <utility>

#include "compile/recorder.h"

namespace flambeau {

/// `function` with its operations recorded. What follows on its results (backward, clipping, an
/// optimiser's update) joins; all of it runs as one program when a value is needed, or when a
/// compiled function is called again. The results are those of eager calls, to the bit; with
/// {.numerics = compiler::Numerics::Fast} they may differ in the last ones.
///
///   const auto forward = flambeau::compile([&](const Tensor& x) { return model(x); });
template <class Function>
auto compile(Function function, const compiler::Options& options = {}) {
  return [function = std::move(function), options](auto&&... arguments) mutable -> decltype(auto) {
    const compiler::Scope scope(options);
    return function(std::forward<decltype(arguments)>(arguments)...);
  };
}

}  // namespace flambeau
