#pragma once
// A recording made ready to run: its regions, kept for recordings that differ in nothing but
// numbers, integers and memory.

#include <memory>

#include "compile/merge.h"

namespace flambeau::compile {

struct Program {
  std::vector<Region> regions;
  std::vector<SmallVector<int32_t, 4>> last_uses;  ///< per region: slots that no later one touches
  std::vector<int32_t> unused;                     ///< slots that no region touches
};

/// The program of `recording`, cached: the key is all but numbers, integers and memory, and what
/// the program takes for granted of the integers holds.
std::shared_ptr<const Program> program_of(const Recording& recording);

}  // namespace flambeau::compile
