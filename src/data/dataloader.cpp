#include "data/dataloader.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>

#include "base/distributions.h"
#include "base/error.h"
#include "nn/functional/functional.h"

namespace flambeau::data {
namespace {

/// torch.empty((), dtype=int64).random_()
uint64_t draw_seed() {
  Generator& generator = default_generator();
  const std::lock_guard lock(generator.mutex());
  return generator.random64() & (~uint64_t{0} >> 1);
}

}  // namespace

Tensor get_rng_state() {
  const std::vector<std::byte> state = default_generator().get_state();
  const Tensor result = Tensor::empty({static_cast<int64_t>(state.size())}, DType::UInt8);
  std::memcpy(result.data_ptr(), state.data(), state.size());
  return result;
}

void set_rng_state(const Tensor& state) {
  check<TypeError>(state.dtype() == DType::UInt8 && state.is_contiguous(),
                   [] { return std::string("set_rng_state: expected a tensor of uint8"); });
  default_generator().set_state(
      {static_cast<const std::byte*>(state.data_ptr()), static_cast<size_t>(state.numel())});
}

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options)
    : dataset_(std::move(dataset)), options_(options) {
  check<ValueError>(options.batch_size > 0, [&] {
    return concat("DataLoader: batch_size should be positive, got ", options.batch_size);
  });
  check<ValueError>(size() > 0, [&] {
    return concat("DataLoader: ", dataset_->size(), " items make no batch of ", options.batch_size);
  });
}

int64_t DataLoader::size() const {
  const int64_t rounding = options_.drop_last ? 0 : options_.batch_size - 1;
  return (dataset_->size() + rounding) / options_.batch_size;
}

void DataLoader::begin_epoch() {
  position_ = {get_rng_state(), 0};
  draw_seed();  // the base seed of worker processes, of which there are none
  order_.resize(static_cast<size_t>(dataset_->size()));
  std::iota(order_.begin(), order_.end(), 0);
  if (!options_.shuffle) return;
  Generator generator(draw_seed());
  fill_permutation(generator, order_.data(), DType::Int64, dataset_->size());
}

std::optional<TensorList> DataLoader::next() {
  if (!position_.epoch_start.defined()) begin_epoch();
  if (position_.batches == size()) {
    position_ = {};
    return std::nullopt;
  }
  const int64_t begin = position_.batches * options_.batch_size;
  const int64_t end = std::min(begin + options_.batch_size, dataset_->size());
  std::vector<TensorList> columns;
  for (int64_t i = begin; i < end; ++i) {
    const TensorList item = dataset_->get(order_[static_cast<size_t>(i)]);
    columns.resize(item.size());
    for (size_t k = 0; k < item.size(); ++k) columns[k].push_back(item[k]);
  }
  TensorList batch;
  for (const TensorList& column : columns) batch.push_back(nn::functional::stack(column));
  ++position_.batches;
  return batch;
}

TensorList DataLoader::next_of_any_epoch() {
  while (true)
    if (std::optional<TensorList> batch = next()) return *std::move(batch);
}

nn::State DataLoader::state_dict() const {
  const Tensor& start = position_.epoch_start;
  return nn::State::Dict{{"batches", position_.batches},
                         {"epoch_start", start.defined() ? nn::State(start) : nn::State()},
                         {"generator", {}}};
}
void DataLoader::load_state_dict(const nn::State& state) {
  const nn::State& start = state["epoch_start"];
  set_position({start.is_none() ? Tensor() : start.tensor(), state["batches"].to_int()});
}

void DataLoader::set_position(const Position& position) {
  check<ValueError>(position.batches >= 0 && position.batches <= size(), [&] {
    return concat("DataLoader: position ", position.batches, " is outside an epoch of ", size(),
                  " batches");
  });
  position_ = position;
  if (!position.epoch_start.defined()) return;
  const Tensor now = get_rng_state();
  set_rng_state(position.epoch_start);
  begin_epoch();
  position_.batches = position.batches;
  set_rng_state(now);
}

}  // namespace flambeau::data
