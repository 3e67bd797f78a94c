#pragma once
// The recipe of a call: its forward program and, on demand, those of its derivative.

#include <mutex>
#include <unordered_map>

#include "base/fork.h"
#include "eager/dispatch.h"

namespace flambeau {

/// `prepared` must be of the recipe's class whenever a program has yet to be made.
class CallRecipe final : public Recipe {
 public:
  /// `call` in canonical form; `output_dtypes` of InPlace and Out forms (else empty).
  /// `key` tells it apart from other recipes.
  CallRecipe(const ops::Call& call, SmallVector<DType, 2> output_dtypes, std::string_view key);

  /// Null for ops with a host kernel.
  const std::shared_ptr<const Executable>& forward() const { return forward_; }
  /// True if every element of result `i` is one number, as the program shows.
  bool gives_one_number(size_t i) const;
  /// Calls the op's host kernel; null if it has none, or it cannot run later than it is called.
  const std::shared_ptr<const Executable>& host() const { return host_; }
  const Derivative& derivative(uint64_t wanted) const override;

 private:
  ops::LoweredCall lower_call() const;

  const ops::Definition& op_;
  // The first call of the class, whose sizes only the program's constants depend on.
  std::vector<TensorInfo> infos_;
  ops::Arguments arguments_;
  SmallVector<DType, 2> output_dtypes_;
  std::shared_ptr<const Executable> forward_;
  std::shared_ptr<const Executable> host_;
  mutable ForkSafe<std::mutex> mutex_;
  mutable std::unordered_map<uint64_t, std::unique_ptr<const Derivative>> derivatives_;
};

}  // namespace flambeau
