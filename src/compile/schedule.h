#pragma once
// A bound program laid flat, for runs that repeat all of it: its memory is planned once, and each
// kernel's pointers are bytes from a few bases.

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "compile/execute.h"
#include "eager/bound_run.h"
#include "runtime/cpu/contraction_driver.h"

namespace flambeau::compiler {

class Schedule {
 public:
  /// A slot whose memory each run is given.
  struct Given {
    size_t slot;
    bool written;
    size_t element_size;  ///< of all windows on it
  };
  /// What the runs have in common.
  struct Layout {
    const std::vector<bool>& given;     ///< per slot
    const std::vector<size_t>& bytes;   ///< per slot: of those that are not given
    const std::vector<bool>& changing;  ///< per number of the recording: each run has its own
  };

  /// Null if a run of `bound` is more than that: a region that has to be found anew, or windows of
  /// different element sizes on a given slot.
  static std::unique_ptr<const Schedule> make(const Recording& recording, const Program& program,
                                              std::shared_ptr<const BoundProgram> bound,
                                              const Layout& layout);
  ~Schedule();

  std::span<const Given> given() const { return given_; }
  /// Runs it on given(), of which `memory` has the addresses that windows of offset 0 have.
  /// `numbers` are the recording's. False, and nothing has happened, if there is no memory: all
  /// that it needs is taken first. Any number of threads may run it at once.
  bool run(std::span<char* const> memory, std::span<const Scalar> numbers) const;

 private:
  friend class ScheduleBuilder;
  /// So many bytes into a base: kArena, kAbsolute, or kFirstGiven and on.
  struct Place {
    uint32_t base;
    int64_t offset;
  };
  static constexpr uint32_t kArena = 0;
  static constexpr uint32_t kAbsolute = 1;
  static constexpr uint32_t kFirstGiven = 2;

  struct Group {
    std::vector<LaunchMember> members;
    LaunchTasks tasks;
    bool is_copy;  ///< one that may be done already
  };
  struct Product {
    const BoundContraction* contraction;
    size_t places;  ///< a, b, the output, and the epilogue's operands
    size_t slots;
  };
  struct Step {
    enum class Kind : uint8_t { Launches, Product } kind;
    size_t index;
  };
  struct Number {
    size_t slot;
    size_t number;
  };
  /// Memory of products, behind the arena.
  struct ProductMemory {
    char* data;
    int workers;
  };
  /// Pointers and slots of a run; the next one finds them as they were.
  struct Frame {
    std::vector<char*> bases;
    std::vector<void*> places;
    std::vector<int64_t> slots;
  };

  Schedule() = default;
  std::unique_ptr<Frame> take_frame(std::span<const Scalar> numbers) const;
  void run_step(const Step& step, const Frame& frame, const ProductMemory& memory) const;

  std::shared_ptr<const BoundProgram> bound_;  // owns the code
  std::vector<Given> given_;
  std::vector<Place> places_;
  std::vector<int64_t> slots_;
  std::vector<Number> constant_, changing_;
  std::vector<Group> groups_;
  std::vector<Product> products_;
  std::vector<Step> steps_;
  size_t arena_bytes_ = 0;
  ContractionWorkspace workspace_;  // the most that a product needs
  int64_t merged_ = 0;              // regions of several entries
  mutable std::atomic<Frame*> idle_{nullptr};
};

}  // namespace flambeau::compiler
