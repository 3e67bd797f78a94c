#pragma once
// Mixed precision: within a region, operations whose definition has an `autocast` policy get their
// tensors in another dtype. The conversions are calls as any other: recorded on the tape and by the
// compiler, so that a compiled program has the bits of the same calls one by one.

#include <memory>

#include "eager/dispatch.h"
#include "tensor/tensor.h"

namespace flambeau {

/// What holds on this thread.
struct AutocastState {
  bool enabled = false;
  bool caches = true;  ///< a parameter is converted once a region
  DType dtype = DType::BFloat16;
  friend bool operator==(const AutocastState&, const AutocastState&) = default;
};
extern thread_local constinit AutocastState autocast_state;

/// Forgets the converted parameters of this thread.
void clear_autocast_cache();

/// Puts the converted parameters of this thread aside, from its making to its end or close().
class FreshAutocastCache {
 public:
  FreshAutocastCache();
  ~FreshAutocastCache() { close(); }
  FreshAutocastCache(const FreshAutocastCache&) = delete;
  FreshAutocastCache& operator=(const FreshAutocastCache&) = delete;
  /// On the same thread: forgets what was converted since, and has what was before.
  void close();

 private:
  std::shared_ptr<void> before_;
};

/// `tensor` in `dtype`, recorded in grad mode; the same tensor if it is that already.
Tensor converted(const Tensor& tensor, DType dtype);

/// The arguments of a call as `policy` wants them: "lower_precision" and "float32" convert every
/// float32 and half tensor to the region's dtype or to float32, "promote" to the widest of them.
/// Other dtypes stay. While it lives, no call converts its arguments.
class AutocastArguments {
 public:
  AutocastArguments(std::string_view policy, std::span<const ops::Argument> arguments);
  ~AutocastArguments() { autocast_state.enabled = true; }
  AutocastArguments(const AutocastArguments&) = delete;
  AutocastArguments& operator=(const AutocastArguments&) = delete;
  std::span<const ops::Argument> arguments() const {
    return {arguments_.data(), arguments_.size()};
  }

 private:
  ops::Arguments arguments_;
  TensorList alive_;
};

/// The dtype that `policy` brings `tensors` to.
DType autocast_dtype(std::string_view policy, std::span<const TensorInfo* const> tensors);
/// The tensor in `dtype`, if autocast converts tensors like it; parameters by the region's cache.
Tensor autocast(const Tensor& tensor, DType dtype);

}  // namespace flambeau
