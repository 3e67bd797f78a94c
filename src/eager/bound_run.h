#pragma once
// The run of an executable as its geometry decides it: what is allocated, and which kernels are
// called with which integers. Runs of the same geometry repeat it on other memory.

#include <memory>
#include <span>
#include <utility>

#include "eager/executable.h"
#include "runtime/contraction_launch.h"
#include "runtime/launch.h"

namespace flambeau {

/// A part of the memory that tables may take in this process.
class KeptBytes {
 public:
  KeptBytes() = default;
  /// Nothing if `bytes` are too many.
  explicit KeptBytes(size_t bytes);
  KeptBytes(KeptBytes&& other) noexcept : bytes_(std::exchange(other.bytes_, 0)) {}
  KeptBytes& operator=(KeptBytes&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  void add(KeptBytes&& other) { bytes_ += std::exchange(other.bytes_, 0); }
  KeptBytes(const KeptBytes&) = delete;
  KeptBytes& operator=(const KeptBytes&) = delete;
  ~KeptBytes();
  explicit operator bool() const { return bytes_ > 0; }

 private:
  size_t bytes_ = 0;
};

/// The tensors of a run have places: first the parameters, then the results, then what is made.
class BoundRun {
 public:
  struct Step {
    enum class Kind : uint8_t { Make, Drop, Launch, Contract } kind;
    size_t index;        ///< of `made`, `launches` or `contractions`
    size_t planned = 0;  ///< the plan's step that it is of; one behind them for copies
  };
  /// Fresh row-major memory, a window of an earlier place, or what all runs share.
  struct Made {
    TensorInfo info;
    int window_of = -1;  ///< the place, -1: fresh memory
    int64_t offset = 0;  ///< of the window from that place's first element
    Tensor table = {};   ///< defined: it is there (lower/tables.h), and nobody writes it
    /// Of fresh memory.
    size_t bytes() const { return static_cast<size_t>(info.numel()) * size_of(info.dtype); }
  };

  std::shared_ptr<const Executable> owner;  ///< of the code
  std::vector<Step> steps;
  std::vector<BoundLaunch> launches;  ///< the buffers of pointers are places
  std::vector<BoundContraction> contractions;
  std::vector<Made> made;       ///< in the order in which it is made
  SmallVector<int, 2> results;  ///< per result: its place
  /// Where some given result may not be written to its place by the kernels: for each two given
  /// results, and given result and parameter, on one storage, their numbers, and by how much the
  /// first begins later. Empty: every one may.
  using Overlaps = SmallVector<int64_t, 3>;
  Overlaps overlaps;
  KeptBytes of_tables;  ///< of `made`
  /// False: the geometry needs the general way.
  bool possible = true;

  /// Appends the steps of a run that happens inside of this one: the places here of its parameters
  /// and results are `given`, and that of made[0] is `first_made`.
  void append(BoundRun inner, std::span<const int> given, size_t first_made);

  /// As flambeau::run. Every result that is given is written by kernels alone.
  void run(std::span<const Tensor> parameters, std::span<const Scalar> numbers,
           std::span<Tensor> results) const;

  /// The same on the memory of parameters and results, which `memory` begins with; it has room for
  /// what is made. Results that are windows of parameters are nobody's business here.
  /// With `makes_first` all memory is taken before anything is written: OutOfMemory then says that
  /// nothing has happened.
  void run_on(std::span<void*> memory, std::span<const Scalar> numbers,
              bool makes_first = false) const;
  /// True if memory is taken after something was written.
  bool makes_late() const;
  /// An estimate of the time that it takes one thread, in nanoseconds.
  int64_t cost() const;
};

}  // namespace flambeau
