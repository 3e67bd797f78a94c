#include "eager/small_run.h"

namespace flambeau {

Results SmallRun::run(std::span<const Tensor> inputs, std::span<const Scalar> numbers,
                      std::span<const Tensor> outputs) const {
  SmallVector<void*, 8> memory;
  memory.resize(static_cast<size_t>(value_count));
  SmallVector<const Tensor*, 8> tensors;
  tensors.resize(static_cast<size_t>(value_count));
  const auto place = [&](int value, const Tensor& tensor) {
    if (value < 0) return;
    memory[static_cast<size_t>(value)] = tensor.data_ptr();
    tensors[static_cast<size_t>(value)] = &tensor;
  };
  for (size_t i = 0; i < inputs.size(); ++i) place(parameters[i], inputs[i]);
  for (size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].defined()) place(results[i], outputs[i]);
  SmallVector<Tensor, 4> fresh;
  fresh.reserve(made.size());  // `tensors` points into it
  for (const Made& m : made) {
    if (m.window_of < 0) {
      fresh.push_back(Tensor::empty_strided(m.info.sizes, m.info.strides, m.info.dtype));
    } else {
      const Tensor& source = *tensors[static_cast<size_t>(m.window_of)];
      fresh.push_back(source.alias(m.info.sizes, m.info.strides, source->offset + m.offset));
    }
    place(m.value, fresh.back());
  }
  for (const DirectLaunch& launch : launches) launch.run({memory.data(), memory.size()}, numbers);
  Results out;
  for (const int result : results) out.push_back(*tensors[static_cast<size_t>(result)]);
  return out;
}

}  // namespace flambeau
