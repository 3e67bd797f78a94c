#pragma once
// Datasets in memory.

#include <cstdint>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace flambeau::data {

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  /// The tensors of item `index`, which is in [0, size()).
  virtual TensorList get(int64_t index) const = 0;
};

/// Item i: row i of each tensor. ValueError for tensors of different lengths.
class TensorDataset final : public Dataset {
 public:
  explicit TensorDataset(TensorList tensors);
  int64_t size() const override;
  TensorList get(int64_t index) const override;

 private:
  TensorList tensors_;
};

/// Bytes as tokens. Item i: `context` bytes from i * context on, and the bytes that follow each of
/// them; int64.
class ByteWindows final : public Dataset {
 public:
  ByteWindows(std::string text, int64_t context);
  int64_t size() const override;
  TensorList get(int64_t index) const override;

 private:
  std::string text_;
  int64_t context_;
};

}  // namespace flambeau::data
