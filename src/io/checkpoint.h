#pragma once
// Checkpoints: a State in one safetensors file. Tensors are the file's tensors, named by their path
// ("model.head.weight"); the rest is JSON in its metadata. The Python package (flambeau.io) reads
// and writes the same files.

#include <string>

#include "nn/state.h"

namespace flambeau::io {

/// Writes `state`, a dict; at every moment `path` is a whole checkpoint, the new one or the old
/// one. EnvironmentError where it cannot be written, ValueError for text that is not UTF-8.
void save_checkpoint(const nn::State& state, const std::string& path);

/// What save_checkpoint wrote. EnvironmentError if it cannot be read, ValueError for a file that is
/// damaged or no checkpoint.
nn::State load_checkpoint(const std::string& path);

}  // namespace flambeau::io
