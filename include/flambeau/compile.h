#pragma once
// flambeau::compile: a function whose tensor operations are recorded and run as one program.

#include <utility>

#include "base/error.h"
#include "compile/recorder.h"

namespace flambeau {

/// A function that compile() gives.
template <class Function>
class Compiled {
 public:
  Compiled(Function function, const compiler::Options& options)
      : function_(std::move(function)), options_(options) {
    flambeau::check<ValueError>(options.memory_budget >= 0 && options.memory_budget <= 1, [&] {
      return concat("compile: memory_budget must be in [0, 1], got ", options.memory_budget);
    });
  }
  template <class... Arguments>
  decltype(auto) operator()(Arguments&&... arguments) {
    const compiler::Scope scope(options_);
    return function_(std::forward<Arguments>(arguments)...);
  }
  template <class... Arguments>
  decltype(auto) operator()(Arguments&&... arguments) const {
    const compiler::Scope scope(options_);
    return function_(std::forward<Arguments>(arguments)...);
  }

 private:
  Function function_;
  compiler::Options options_;
};
/// `function` with its operations recorded. What follows on its results (backward, clipping, an
/// optimiser's update) joins; all of it runs as one program when a value is needed, or when a
/// compiled function is called again. The results are those of eager calls, to the bit; with
/// {.numerics = compiler::Numerics::Fast} they may differ in the last ones.
///
///   const auto forward = flambeau::compile([&](const Tensor& x) { return model(x); });
///
/// ValueError if options.memory_budget is not in [0, 1].
template <class Function>
Compiled<Function> compile(Function function, const compiler::Options& options = {}) {
  return {std::move(function), options};
}

}  // namespace flambeau
