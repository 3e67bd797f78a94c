#pragma once
// The code of one contraction, loaded part by part when a call first needs it.

#include <atomic>
#include <mutex>

#include "base/error.h"
#include "base/fork.h"
#include "runtime/cpu/contraction_driver.h"

namespace flambeau {

class ContractionKernel::State {
 public:
  State(ir::Contraction contraction, Isa isa, std::unique_ptr<ContractionLoader> loader)
      : contraction_(std::move(contraction)),
        operand_(contraction_.of_bfloat16 ? DType::BFloat16
                                          : ir::accumulator_dtype(contraction_.a)),
        multiplied_(codegen::multiplied_dtype(operand_, isa)),
        tile_(codegen::contraction_tile(operand_, isa)),
        loader_(std::move(loader)) {
    for (const DType dtype : {contraction_.a, contraction_.b})
      require(ir::accumulator_dtype(dtype) == accumulator(),
              "contraction: operands of different kinds");
  }

  const ir::Contraction& contraction() const { return contraction_; }
  DType accumulator() const { return tile_.accumulator; }
  /// That of elements which micro-kernels can read in place.
  DType multiplied() const { return multiplied_; }
  const codegen::ContractionTile& tile() const { return tile_; }
  /// True if a tile of sums is a tile of the output.
  bool sums_are_output() const {
    return contraction_.is_plain && contraction_.buffers[0].dtype == accumulator();
  }

  const CodeEntry* micro_kernels(codegen::RowLayout layout, codegen::ColumnLayout columns,
                                 bool whole) {
    return once(micro_[static_cast<int>(layout)][static_cast<int>(columns)][whole ? 1 : 0], [&] {
      return loader_->load(codegen::MicroKernelPart{operand_, layout, columns, whole});
    });
  }
  const CodeEntry* pack(bool of_b) {
    return once(pack_[of_b ? 1 : 0], [&] {
      return loader_->load(codegen::PackPart{of_b ? contraction_.b : contraction_.a, operand_});
    });
  }
  ir::KernelFunction epilogue(bool transposed, bool unit_output) {
    return once(epilogue_[transposed ? 1 : 0][unit_output ? 1 : 0], [&] {
      return loader_->load(ir::epilogue_program(contraction_, transposed, unit_output));
    });
  }

 private:
  template <class T, class Load>
  T once(std::atomic<T>& slot, Load&& load) {
    T value = slot.load(std::memory_order_acquire);
    if (value == nullptr) {
      const std::lock_guard lock(mutex_);
      value = slot.load(std::memory_order_relaxed);
      if (value == nullptr) slot.store(value = load(), std::memory_order_release);
    }
    return value;
  }

  const ir::Contraction contraction_;
  const DType operand_;  // of the parts
  const DType multiplied_;
  const codegen::ContractionTile tile_;
  const std::unique_ptr<ContractionLoader> loader_;
  ForkSafe<std::mutex> mutex_;
  std::atomic<const CodeEntry*> micro_[2][2][2] = {};
  std::atomic<const CodeEntry*> pack_[2] = {};
  std::atomic<ir::KernelFunction> epilogue_[2][2] = {};
};

}  // namespace flambeau
