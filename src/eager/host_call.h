#pragma once
// Host kernels on tensors.

#include "eager/dispatch.h"

namespace flambeau {

/// The tensor whose info an argument points to.
inline Tensor tensor_of(const TensorInfo* info) {
  return Tensor(Ref<TensorImpl>(static_cast<TensorImpl*>(const_cast<TensorInfo*>(info))));
}

/// Calls visit(info) for each tensor of a call's arguments, in order.
template <class Visit>
void for_each_info(ops::Arguments& arguments, const Visit& visit) {
  for (ops::Argument& argument : arguments) {
    if (auto* one = std::get_if<const TensorInfo*>(&argument)) {
      if (*one != nullptr) visit(*one);
    } else if (auto* list = std::get_if<ops::TensorRefs>(&argument)) {
      for (const TensorInfo*& info : *list)
        if (info != nullptr) visit(info);
    }
  }
}

class HostCallOnTensors final : public ops::HostCall {
 public:
  explicit HostCallOnTensors(const PreparedCall& prepared);
  ~HostCallOnTensors() override;
  const ops::Call& call() const override { return call_; }
  ops::HostTensor input(std::string_view parameter, bool contiguous) override;
  ops::HostTensor input(std::string_view list, size_t i, bool contiguous) override;
  ops::HostTensor output(size_t i) override;
  ops::HostTensor output(size_t i, const TensorInfo& info) override;
  RandomSource& random() override;
  void in_parallel(int64_t count, int64_t cost,
                   FunctionRef<void(int64_t begin, int64_t end)> body) override;

  /// What the kernel made, in order; for parameters marked (a!) those tensors.
  Results take_outputs();

 private:
  class LockedRandom;
  ops::HostTensor input(const TensorInfo* info, bool contiguous);

  const PreparedCall& prepared_;
  ops::Call call_;
  std::vector<Tensor> copies_;  // keeps what input() made
  Results outputs_;
  std::unique_ptr<LockedRandom> random_;
};

/// The generator given to the call, or the default one.
Generator& generator_of(const ops::Call& call);

/// A fresh Philox key from the generator of the call (its argument, or the default one).
int64_t random_key(const ops::Call& call);

}  // namespace flambeau
