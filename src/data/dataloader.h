#pragma once
// Batches of a dataset, in the order of the Python package's DataLoader.

#include <memory>
#include <optional>

#include "data/dataset.h"
#include "nn/state.h"
#include "tensor/generator.h"

namespace flambeau::data {

struct DataLoaderOptions {
  int64_t batch_size = 1;
  bool shuffle = false;
  bool drop_last = false;
};

/// Endless epochs. Each draws a base seed from the default generator and, where it shuffles, the
/// seed of its permutation: the stream of a Python loader without a generator of its own.
class DataLoader {
 public:
  /// ValueError for a batch size below 1 and for a dataset that gives no batch.
  DataLoader(std::shared_ptr<const Dataset> dataset, const DataLoaderOptions& options);
  /// The number of batches in an epoch.
  int64_t size() const;
  /// The next batch of this epoch, each tensor of the items stacked; nothing at its end, after
  /// which the next epoch begins.
  std::optional<TensorList> next();
  /// The next batch, of the next epoch where this one is at its end.
  TensorList next_of_any_epoch();

  /// The default generator's state when the epoch began (undefined between epochs; uint8), and the
  /// number of batches given since.
  struct Position {
    Tensor epoch_start;
    int64_t batches = 0;
  };
  Position position() const { return position_; }
  /// The position as the Python package's loader gives it, and back.
  nn::State state_dict() const;
  void load_state_dict(const nn::State& state);
  /// The next batch is the one that followed `position`. The default generator stays as it is.
  void set_position(const Position& position);

 private:
  void begin_epoch();
  std::shared_ptr<const Dataset> dataset_;
  DataLoaderOptions options_;
  std::vector<int64_t> order_;
  Position position_;
};

/// The default generator's state as a uint8 tensor, as the Python package keeps it, and back.
Tensor get_rng_state();
void set_rng_state(const Tensor& state);

}  // namespace flambeau::data
