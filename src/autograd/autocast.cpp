#include "autograd/autocast.h"

#include <map>
#include <mutex>

#include "autograd/grad_mode.h"
#include "autograd/node.h"
#include "autograd/program_node.h"
#include "base/error.h"
#include "base/fork.h"
#include "eager/host_call.h"
#include "prim/build.h"

namespace flambeau {

thread_local constinit AutocastState autocast_state;

namespace {

std::shared_ptr<const Executable> conversion(DType from, DType to, int rank) {
  static ForkSafe<std::mutex> mutex;
  static std::map<std::tuple<DType, DType, int>, std::shared_ptr<const Executable>> cache;
  const std::lock_guard lock(mutex);
  std::shared_ptr<const Executable>& entry = cache[{from, to, rank}];
  if (entry != nullptr) return entry;
  ir::Builder builder;
  ir::Shape shape;
  for (int axis = 0; axis < rank; ++axis) shape.push_back(ir::Dim::integer(axis));
  const ir::Expr result = prim::convert(builder.parameter(from, shape), to);
  return entry = make_executable(builder.finish({&result, 1}));
}

/// Parameters that were converted in this region, kept with what they were converted to.
struct Converted {
  Tensor parameter, result;
  uint64_t version;
};
/// By the parameter, and whether its history was to be kept.
using ConvertedParameters = std::map<std::pair<const TensorImpl*, bool>, Converted>;
ConvertedParameters& converted_parameters() {
  static thread_local ConvertedParameters map;
  return map;
}

bool is_converted(DType dtype) { return is_float(dtype) && dtype != DType::Float64; }

bool is_parameter(const Tensor& tensor) {
  const AutogradMeta* meta = find_meta(tensor);
  const bool is_view = meta != nullptr && meta->base.defined();
  return tensor.dtype() == DType::Float32 && requires_grad(tensor) && is_leaf(tensor) && !is_view;
}

}  // namespace

void clear_autocast_cache() { converted_parameters().clear(); }

FreshAutocastCache::FreshAutocastCache()
    : before_(std::make_shared<ConvertedParameters>(std::move(converted_parameters()))) {
  converted_parameters().clear();
}
void FreshAutocastCache::close() {
  if (before_ == nullptr) return;
  converted_parameters() = std::move(*static_cast<ConvertedParameters*>(before_.get()));
  before_ = nullptr;
}

Tensor converted(const Tensor& tensor, DType dtype) {
  if (tensor.dtype() == dtype) return tensor;
  static const std::string kLabel("to");
  const RunLabel label(kLabel);
  return run_recorded(conversion(tensor.dtype(), dtype, tensor.dim()), {&tensor, 1}, {},
                      {tensor.sizes().data(), tensor.sizes().size()},
                      [] { return std::string("ToCopyBackward0"); })[0];
}

DType autocast_dtype(std::string_view policy, std::span<const TensorInfo* const> tensors) {
  if (policy == "float32") return DType::Float32;
  if (policy == "promote")
    for (const TensorInfo* tensor : tensors)
      if (tensor != nullptr && tensor->dtype == DType::Float32) return DType::Float32;
  return autocast_state.dtype;
}

Tensor autocast(const Tensor& tensor, DType dtype) {
  if (!is_converted(tensor.dtype()) || tensor.dtype() == dtype) return tensor;
  if (!autocast_state.caches || dtype != autocast_state.dtype || !is_parameter(tensor))
    return converted(tensor, dtype);
  Converted& known = converted_parameters()[{tensor.impl(), grad_enabled()}];
  if (!known.result.defined() || known.version != tensor.version() ||
      known.result.dtype() != dtype)  // of a region around this one
    known = {tensor, converted(tensor, dtype), tensor.version()};
  return known.result;
}

AutocastArguments::AutocastArguments(std::string_view policy,
                                     std::span<const ops::Argument> arguments)
    : arguments_(arguments.begin(), arguments.end()) {
  SmallVector<const TensorInfo*, 6> tensors;
  for (const ops::Argument& argument : arguments) {
    if (const auto* one = std::get_if<const TensorInfo*>(&argument)) tensors.push_back(*one);
    if (const auto* list = std::get_if<ops::TensorRefs>(&argument))
      for (const TensorInfo* item : *list) tensors.push_back(item);
  }
  const DType dtype = autocast_dtype(policy, {tensors.data(), tensors.size()});
  const auto convert = [&](const TensorInfo*& info) {
    if (info == nullptr || !is_converted(info->dtype) || info->dtype == dtype) return;
    info = alive_.emplace_back(autocast(tensor_of(info), dtype)).impl();
  };
  for (ops::Argument& argument : arguments_) {
    if (auto* one = std::get_if<const TensorInfo*>(&argument)) convert(*one);
    if (auto* list = std::get_if<ops::TensorRefs>(&argument))
      for (const TensorInfo*& item : *list) convert(item);
  }
  autocast_state.enabled = false;
}

}  // namespace flambeau
