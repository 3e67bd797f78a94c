#include "data/dataset.h"

#include <algorithm>

#include "base/error.h"
#include "nn/functional/functional.h"

namespace flambeau::data {

TensorDataset::TensorDataset(TensorList tensors) : tensors_(std::move(tensors)) {
  check<ValueError>(!tensors_.empty(), [] { return std::string("TensorDataset: no tensors"); });
  for (const Tensor& tensor : tensors_)
    check<ValueError>(tensor.size(0) == tensors_[0].size(0), [&] {
      return concat("TensorDataset: the tensors have lengths ", tensors_[0].size(0), " and ",
                    tensor.size(0));
    });
}
int64_t TensorDataset::size() const { return tensors_[0].size(0); }
TensorList TensorDataset::get(int64_t index) const {
  TensorList item;
  for (const Tensor& tensor : tensors_) item.push_back(nn::functional::select(tensor, 0, index));
  return item;
}

ByteWindows::ByteWindows(std::string text, int64_t context)
    : text_(std::move(text)), context_(context) {
  check<ValueError>(context > 0,
                    [&] { return concat("ByteWindows: context must be positive, got ", context); });
}
int64_t ByteWindows::size() const {
  return std::max<int64_t>(0, (static_cast<int64_t>(text_.size()) - 1) / context_);
}
TensorList ByteWindows::get(int64_t index) const {
  TensorList item;
  for (int64_t shift = 0; shift < 2; ++shift) {
    const Tensor tokens = Tensor::empty({context_}, DType::Int64);
    const auto first = text_.begin() + index * context_ + shift;
    std::transform(first, first + context_, tokens.data<int64_t>(),
                   [](char byte) { return static_cast<unsigned char>(byte); });
    item.push_back(tokens);
  }
  return item;
}

}  // namespace flambeau::data
