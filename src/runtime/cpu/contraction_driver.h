#pragma once
// Runs batched matrix products on the CPU: cache blocking, packing, threads, around generated
// micro-kernels, packing functions and epilogues.

#include <cstdint>
#include <memory>
#include <span>

#include "codegen/contraction_parts.h"
#include "ir/contraction.h"

namespace flambeau {

/// A function of an image, to be cast to its type.
using CodeEntry = void (*)();

/// Finds or compiles the code of a contraction. What it returns is valid for as long as the loader;
/// it is called by one thread at a time for each kernel.
class ContractionLoader {
 public:
  virtual ~ContractionLoader() = default;
  /// The entry points of the part, by its entry().
  virtual const CodeEntry* load(const codegen::MicroKernelPart& part) = 0;
  virtual const CodeEntry* load(const codegen::PackPart& part) = 0;
  virtual ir::KernelFunction load(const ir::LoopProgram& epilogue) = 0;
};

/// A contraction ready to run. Parts are loaded when a call first needs them. Copies share them.
class ContractionKernel {
 public:
  ContractionKernel(ir::Contraction contraction, Isa isa,
                    std::unique_ptr<ContractionLoader> loader);
  const ir::Contraction& contraction() const;

  class State;
  State& state() const { return *state_; }

 private:
  std::shared_ptr<State> state_;
};

/// Strides and extents are in elements; batch strides have one entry per entry of `batch` and may
/// be 0.
struct ContractionArguments {
  /// A digit of a position: how many values it has, and what each is worth.
  struct Digit {
    int64_t extent, stride;
  };
  using Digits = SmallVector<Digit, 6>;
  struct Matrix {
    Ints batch_strides;
    int64_t row_stride = 0;     ///< of a: m; of b: k; of the output: m
    int64_t column_stride = 0;  ///< of a: k; of b: n; of the output: n
    /// Of an operand that is a window (an image's patches as rows of a matrix): a row or column is
    /// at the sum of its digits, the most significant first, and the stride is not used. Else
    /// empty.
    Digits row_digits = {};
    Digits column_digits = {};
    bool is_window() const { return !row_digits.empty() || !column_digits.empty(); }
  };
  Matrix a, b, out;
  Ints batch;
  int64_t m = 0, n = 0, k = 0;
  SmallVector<Ints, 3> operands;  ///< batch strides of the epilogue's buffers from number 1 on
};

/// What a run reads and writes.
struct ContractionMemory {
  const void* a = nullptr;
  const void* b = nullptr;
  void* out = nullptr;
  std::span<void* const> operands = {};
  /// The epilogue's slots. A plain_contraction needs none here.
  const int64_t* ints = nullptr;
  /// ContractionWorkspace::shared bytes, then `local` bytes for each of so many workers of the
  /// pool; aligned to kAllocationAlignment. Null: the run allocates what it needs.
  char* workspace = nullptr;
  int workers = 0;
};

/// A contraction of known extents and strides, cut up; `kernel` must outlive it.
struct ContractionGeometry;
std::shared_ptr<const ContractionGeometry> geometry_of(const ContractionKernel& kernel,
                                                       ContractionArguments arguments);

/// Bytes that a run needs beside its operands: once, and for each thread.
struct ContractionWorkspace {
  int64_t shared = 0;
  int64_t local = 0;
};
ContractionWorkspace workspace_of(const ContractionGeometry& geometry);

/// Writes every element of the output as ir/interpreter.h defines it (k = 0: the epilogue of zero).
/// Nothing if an extent of the output is 0. The output must not share memory with a or b, and with
/// other operands only where an element of it is read for the same element of the output.
void run_contraction(const ContractionGeometry& geometry, const ContractionMemory& memory);

/// A cautious estimate of the time that it takes one thread, in nanoseconds.
int64_t cost_of(const ContractionGeometry& geometry);

/// Loads every part that run_contraction() needs. What a loader throws is thrown after all have
/// been asked for.
void load_contraction(const ContractionGeometry& geometry, const int64_t* ints);

}  // namespace flambeau
