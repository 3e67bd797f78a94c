#include "eager/host_call.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "eager/copy.h"
#include "runtime/thread_pool.h"
#include "tensor/generator.h"

namespace flambeau {

using ops::HostTensor;

namespace {

/// What a kernel reads.
HostTensor host_input(const Tensor& tensor) {
  return {tensor.info(), const_cast<void*>(tensor.readable_data_ptr())};
}

}  // namespace

Generator& generator_of(const ops::Call& call) {
  for (const ops::Argument& argument : call.arguments())
    if (void* const* given = std::get_if<void*>(&argument))
      if (*given != nullptr) return *static_cast<Generator*>(*given);
  return default_generator();
}

/// A generator, locked for the length of the call.
class HostCallOnTensors::LockedRandom {
 public:
  explicit LockedRandom(Generator& generator) : generator_(generator), lock_(generator.mutex()) {}
  Generator& generator() { return generator_; }

 private:
  Generator& generator_;
  std::lock_guard<ForkSafe<std::mutex>> lock_;
};

HostCallOnTensors::HostCallOnTensors(const PreparedCall& prepared)
    : prepared_(prepared),
      call_(*prepared.op, {prepared.arguments.data(), prepared.arguments.size()}) {}

HostCallOnTensors::~HostCallOnTensors() = default;

HostTensor HostCallOnTensors::input(const TensorInfo* info, bool contiguous) {
  if (info == nullptr) return {};
  Tensor tensor = tensor_of(info);
  if (contiguous) tensor = row_major(tensor);
  copies_.push_back(tensor);
  return host_input(tensor);
}

HostTensor HostCallOnTensors::input(std::string_view parameter, bool contiguous) {
  return input(call_.optional_tensor(parameter), contiguous);
}

HostTensor HostCallOnTensors::input(std::string_view list, size_t i, bool contiguous) {
  for (const TensorInfo* info : call_.tensors(list))
    if (info != nullptr && i-- == 0) return input(info, contiguous);
  throw InternalError(
      concat(call_.name(), ": the host kernel asks for a tensor that is not in '", list, "'"));
}

HostTensor HostCallOnTensors::output(size_t i) { return output(i, prepared_.plan->results[i]); }

HostTensor HostCallOnTensors::output(size_t i, const TensorInfo& info) {
  if (outputs_.size() <= i) outputs_.resize(i + 1);
  Tensor& output = outputs_[i];
  // A tensor that is written gets its values directly if it is laid out as the kernel writes, and
  // if that ends no recording.
  if (i < prepared_.outputs.size() && prepared_.outputs[i].sizes() == info.sizes &&
      prepared_.outputs[i].dtype() == info.dtype && prepared_.outputs[i].is_contiguous() &&
      (run_sink() == nullptr || prepared_.outputs[i]->storage->pending() == nullptr))
    output = prepared_.outputs[i];
  else
    output = Tensor::empty(info.sizes, info.dtype);
  return {output.info(), output.data_ptr()};
}

RandomSource& HostCallOnTensors::random() {
  require(prepared_.op->random != nullptr,
          "host kernel: it draws random numbers, and its definition does not say so");
  if (RunSink* const sink = run_sink()) sink->draws_on_host(call_.name());
  if (random_ == nullptr) random_ = std::make_unique<LockedRandom>(generator_of(call_));
  return random_->generator();
}

void HostCallOnTensors::in_parallel(int64_t count, int64_t cost,
                                    FunctionRef<void(int64_t begin, int64_t end)> body) {
  constexpr int64_t kPieces = 64;
  const int64_t pieces = std::min(count, kPieces);
  parallel_for(
      pieces,
      [&](int64_t piece, int) { body(count * piece / pieces, count * (piece + 1) / pieces); },
      count * cost);
}

Results HostCallOnTensors::take_outputs() { return std::move(outputs_); }

int64_t random_key(const ops::Call& call) {
  Generator& generator = generator_of(call);
  const uint64_t key = next_philox_key(generator);
  if (RunSink* const sink = run_sink()) sink->key_drawn(generator, key);
  return static_cast<int64_t>(key);
}

}  // namespace flambeau
