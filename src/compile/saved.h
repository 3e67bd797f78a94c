#pragma once
// Programs and kernels of a process as one piece of bytes, for other processes of the same version
// on a processor with the same instruction set. Loading is running: who loads must trust the bytes.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace flambeau::compiler {

/// All programs that are cached, and all kernels that the process has loaded.
std::vector<std::byte> save_programs();

struct Loaded {
  size_t programs = 0;
  size_t kernels = 0;
};
/// ValueError with the reason for bytes that are no whole piece of this version and instruction
/// set; then nothing is loaded.
Loaded load_programs(std::vector<std::byte> bytes);

}  // namespace flambeau::compiler
