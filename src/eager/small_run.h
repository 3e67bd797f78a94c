#pragma once
// The run of an executable on small tensors, as its geometry decides it: what is allocated, which
// kernels are called with which integers. Runs of the same geometry repeat it on other memory.

#include <memory>
#include <span>

#include "eager/executable.h"
#include "runtime/launch.h"

namespace flambeau {

class SmallRun {
 public:
  /// A value that the run makes: fresh row-major memory, or a window of an earlier value.
  struct Made {
    int value;
    TensorInfo info;
    int window_of = -1;  ///< the value, -1: fresh memory
    int64_t offset = 0;  ///< of the window from the value's first element
  };
  /// Pointers are those of values.
  std::vector<DirectLaunch> launches;
  std::vector<Made> made;
  SmallVector<int, 6> parameters;  ///< per parameter: its value, -1 if nothing reads it
  SmallVector<int, 2> results;     ///< per result: its value
  int value_count = 0;
  /// False: the geometry needs the general way.
  bool possible = true;

  /// As flambeau::run; every output that is defined is written by the kernels.
  Results run(std::span<const Tensor> inputs, std::span<const Scalar> numbers,
              std::span<const Tensor> outputs) const;
};

}  // namespace flambeau
