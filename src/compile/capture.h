#pragma once
// What a thread's recorder keeps of a call that is to be replayed (compile/replay.h), and refuses.

#include <string>
#include <vector>

#include "eager/dispatch.h"

namespace flambeau {
class Generator;
}

namespace flambeau::compiler {

/// A key of random numbers that a call drew. A replayed one draws its own.
struct Draw {
  const Generator* generator;
  int64_t key;
};

/// A look at the values of arguments (indices within range), which a replayed call takes again.
struct ValueCheck {
  const ops::Definition* op;
  ops::Arguments arguments;
  /// The arguments' tensors, in order; what has no memory yet was not looked at.
  struct Input {
    TensorInfo info;
    Tensor tensor;
  };
  std::vector<Input> inputs{};
};

struct Capture {
  /// What later calls may find elsewhere.
  std::vector<Tensor> sources;
  std::vector<Draw> draws{};
  /// Of the default generator, before the call.
  std::vector<std::byte> generator_state{};
  std::vector<ValueCheck> checks{};
  /// Where sources begin in their storages was asked for.
  bool offsets_are_fixed = false;
  /// States of generators that the call took, which would be others in a replayed one.
  std::vector<Tensor> states{};
  /// Not empty: why the recording is not all of the call.
  std::string broken{};
  /// Not empty: the error that the call was given for what it cannot do here.
  std::string refused{};
  /// The call whose arguments are being checked, or null.
  const PreparedCall* checking = nullptr;
};

/// True if one of the call's draws gave `number`.
bool is_drawn(const Capture& capture, const Scalar& number);

}  // namespace flambeau::compiler
