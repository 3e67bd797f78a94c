#include "compile/recording.h"

namespace flambeau::compile {

void Recording::clear() {
  entries.clear();
  operands.clear();
  numbers.clear();
  integers.clear();
  windows.clear();
  slots.clear();
}

int32_t Recording::window_of(const Tensor& tensor, PendingWork& owner) {
  const Storage& storage = *tensor->storage;
  if (storage.pending() != &owner) {
    storage.set_pending(&owner, static_cast<int>(slots.size()));
    slots.push_back({tensor->storage});
  }
  const int32_t slot = storage.pending_slot();
  Slot& known = slots[static_cast<size_t>(slot)];
  for (const int32_t window : known.windows) {
    const Window& w = windows[static_cast<size_t>(window)];
    if (w.offset == tensor->offset && w.info.dtype == tensor.dtype() &&
        w.info.sizes == tensor.sizes() && w.info.strides == tensor.strides())
      return window;
  }
  const auto window = static_cast<int32_t>(windows.size());
  windows.push_back({slot, tensor.info(), tensor->offset});
  known.windows.push_back(window);
  return window;
}

void Recording::add_written(std::span<const Tensor> tensors, Range& range, PendingWork& owner) {
  range.begin = static_cast<int32_t>(operands.size());
  for (const Tensor& tensor : tensors) {
    if (!tensor.defined()) {
      operands.push_back(-1);
      continue;
    }
    const int32_t window = window_of(tensor, owner);
    operands.push_back(window);
    slots[static_cast<size_t>(windows[static_cast<size_t>(window)].slot)].written = true;
  }
  range.end = static_cast<int32_t>(operands.size());
}

void Recording::add(const Executable& program, std::shared_ptr<const RunShape> shape,
                    std::span<const Tensor> parameters, std::span<const Scalar> call_numbers,
                    std::span<const int64_t> call_integers, std::span<const Tensor> blocks,
                    std::span<const Tensor> outputs, std::span<const Tensor> results,
                    PendingWork& owner) {
  Entry entry{&program, std::move(shape), {}, {}, {}, {}, {}, {}};
  entry.parameters.begin = static_cast<int32_t>(operands.size());
  for (const Tensor& parameter : parameters) operands.push_back(window_of(parameter, owner));
  entry.parameters.end = static_cast<int32_t>(operands.size());
  add_written(blocks, entry.blocks, owner);
  add_written(outputs, entry.outputs, owner);
  add_written(results, entry.results, owner);
  entry.numbers.begin = static_cast<int32_t>(numbers.size());
  numbers.insert(numbers.end(), call_numbers.begin(), call_numbers.end());
  entry.numbers.end = static_cast<int32_t>(numbers.size());
  entry.integers.begin = static_cast<int32_t>(integers.size());
  integers.insert(integers.end(), call_integers.begin(), call_integers.end());
  entry.integers.end = static_cast<int32_t>(integers.size());
  entries.push_back(std::move(entry));
}

Tensor Recording::tensor(int32_t window) const {
  const Window& w = windows[static_cast<size_t>(window)];
  return Tensor(make_ref<TensorImpl>(slots[static_cast<size_t>(w.slot)].storage, w.info, w.offset));
}

}  // namespace flambeau::compile
