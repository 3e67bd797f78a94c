#include "eager/bound_run.h"

namespace flambeau {

void BoundRun::run(std::span<const Tensor> parameters, std::span<const Scalar> numbers,
                   std::span<Tensor> given) const {
  const size_t given_end = parameters.size() + given.size();
  SmallVector<void*, 12> memory(given_end + made.size());
  for (size_t i = 0; i < parameters.size(); ++i)
    memory[i] = const_cast<void*>(parameters[i].readable_data_ptr());
  for (size_t i = 0; i < given.size(); ++i)
    if (given[i].defined()) memory[parameters.size() + i] = given[i].data_ptr();

  SmallVector<Tensor, 4> fresh;
  const auto tensor = [&](int number) -> const Tensor& {
    const auto place = static_cast<size_t>(number);
    if (place >= given_end) return fresh[place - given_end];
    return place < parameters.size() ? parameters[place] : given[place - parameters.size()];
  };
  for (const Step& step : steps) {
    if (step.kind == Step::Kind::Launch) {
      launches[step.index].run(memory.data(), numbers);
    } else if (step.kind == Step::Kind::Drop) {
      fresh[step.index] = Tensor();
    } else {
      const Made& m = made[step.index];
      if (m.window_of < 0) {
        fresh.push_back(Tensor::empty_strided(m.info.sizes, m.info.strides, m.info.dtype));
      } else {
        const Tensor& source = tensor(m.window_of);
        fresh.push_back(source.window(m.info, source->offset + m.offset));
      }
      memory[given_end + step.index] = fresh.back().data_ptr();
    }
  }
  for (size_t i = 0; i < given.size(); ++i)
    if (!given[i].defined()) given[i] = tensor(results[i]);
}

}  // namespace flambeau
