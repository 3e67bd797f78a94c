#pragma once
// Compares what a program does with what its runs do one by one: FLAMBEAU_CHECK=1, and
// compiler.bisect.

#include <string>
#include <vector>

#include "compile/execute.h"

namespace flambeau::compiler {

/// A run, as a message names it.
struct RunName {
  std::string_view label;
  Ref<SourceLine> line;
};
RunName name_of(const Entry& entry);
/// "mul at train.py:12", a line each. Not with locks held.
std::string text_of(const std::vector<RunName>& runs, const char* indent);

/// Where a program and its runs one by one differ first.
struct Difference {
  std::vector<RunName> region;    ///< what runs as one program there
  std::vector<RunName> smallest;  ///< the fewest of them whose program differs by itself
  std::string what;               ///< which result and element, and both values
  std::string program;            ///< the tensor program of `smallest`
};
/// All but the program. Not with locks held.
std::string text_of(const Difference& difference);

/// True if programs are checked: FLAMBEAU_CHECK, or differences are collected.
bool checking();
/// From now on programs are checked, and what differs is collected instead of thrown.
void begin_differences();
std::vector<Difference> take_differences();
std::vector<Difference> end_differences();
bool collecting_differences();
void add_difference(Difference difference);

/// The memory that a recording runs on: a storage per slot.
using Memory = std::vector<Ref<Storage>>;

class Check {
 public:
  /// Before anything of the program has run: runs all of the recording one by one, as recorded, on
  /// copies of the memory that it writes.
  Check(const Recording& recording, const Program& program, const Frame& frame);

  /// Region number `number` has run on the memory; nothing after it has that writes what it wrote.
  void region_has_run(size_t number);
  /// All regions have run.
  void end();
  /// The first difference, if there is one.
  std::optional<Difference>& difference() { return difference_; }

 private:
  struct Output {  // of a region
    size_t region;
    int32_t window;
  };

  Memory copy_of_memory() const;
  void run_one(int32_t entry, const Memory& memory) const;
  void run_merged(const Region& region, const Memory& memory) const;
  Tensor tensor(int32_t window, const Memory& memory) const;
  void find_outputs();
  std::optional<Region> merge_some(const std::vector<int32_t>& entries) const;
  /// Finds the fewest neighbours of a region's runs whose program differs.
  void narrow(size_t number);
  std::string difference_of(const Region& region, const std::vector<int32_t>& before) const;

  const Recording& recording_;
  const Program& program_;
  std::span<const Scalar> numbers_;
  std::span<const int64_t> shifts_;
  std::span<Ref<Storage>> storages_;           // of the program, as it goes on
  Memory memory_;                              // of the program
  Memory initial_;                             // of what is written: as it was
  Memory ours_;                                // of what is written: as it is one by one
  std::vector<std::vector<Output>> outputs_;   // per entry
  std::vector<std::vector<Tensor>> expected_;  // per region and output
  std::optional<Difference> difference_;
};

}  // namespace flambeau::compiler
