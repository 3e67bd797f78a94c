#pragma once
// A tensor program made ready to run: a list of steps (kernels, contractions, views) whose code is
// found or compiled at first use.

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/function_ref.h"
#include "ir/program.h"
#include "tensor/tensor.h"

namespace flambeau::lower {
struct Plan;
}

namespace flambeau {

class Generator;
struct PreparedCall;

using Results = SmallVector<Tensor, 2>;

/// Immutable; shared by every call of the same program.
class Executable;
/// A run that can be repeated (eager/bound_run.h).
class BoundRun;

/// The executable of `program`, cached by the program's hash.
std::shared_ptr<const Executable> make_executable(ir::Program program);
const ir::Program& program_of(const Executable& executable);
/// True if the program is for tensors of some sizes alone: extents above 1 are constants in it.
bool is_for_one_shape(const Executable& executable);
/// The steps of its runs.
const lower::Plan& plan_of(const Executable& executable);

/// True if result number `result` is a parameter itself or shares its memory (or that of another
/// value, by index maps alone).
bool is_alias(const Executable& executable, size_t result);

/// Runs it. `parameters` fit its types (any strides), `numbers` its numbers, `integers` its integer
/// arguments. Where `outputs[i]` is defined, result i is written there (same shape and dtype; it
/// may share memory with parameters); else it is a fresh row-major tensor, or an alias of a
/// parameter where the program only maps indices. No tape, no version counting.
Results run(const Executable& executable, std::span<const Tensor> parameters,
            std::span<const Scalar> numbers, std::span<const int64_t> integers,
            std::span<const Tensor> outputs = {});

/// What a run gives, as its arguments decide it, without running.
struct RunShape {
  /// Fresh row-major memory.
  struct Block {
    int value;  ///< of the executable's plan
    TensorInfo info;
  };
  /// A result: a window of a parameter or of a block.
  struct Place {
    enum class Kind : uint8_t { Parameter, Window, Block } kind;  ///< Parameter: that one itself
    int source;  ///< number of the parameter or block
    TensorInfo info;
    int64_t offset;  ///< in elements, from the source's first one
  };
  std::vector<Block> blocks;
  std::vector<Place> results;
  /// Results are views that only a run knows (of complex numbers).
  bool runs_at_once = false;
};
/// Cached by all that decides it. `parameters` and `integers` as for run().
std::shared_ptr<const RunShape> shape_of_run(const Executable& executable,
                                             std::span<const Tensor> parameters,
                                             std::span<const int64_t> integers);
/// The results of such a run before it runs, where they are not defined: windows of parameters, and
/// fresh memory, which `blocks` (one per block of the shape) receives where it is needed.
void place_results(const RunShape& shape, std::span<const Tensor> parameters,
                   std::span<Tensor> results, std::span<Tensor> blocks);
/// As run(), with the memory of the shape's blocks given (an undefined one is the run's own).
Results run_in_blocks(const Executable& executable, const RunShape& shape,
                      std::span<const Tensor> blocks, std::span<const Tensor> parameters,
                      std::span<const Scalar> numbers, std::span<const int64_t> integers,
                      std::span<const Tensor> outputs);

/// What the runs of a thread are for, as reports and errors say it: the innermost one's name, of an
/// operation or a node of autograd, which must outlive it.
class RunLabel {
 public:
  explicit RunLabel(std::string_view name) : before_(innermost) { innermost = name; }
  ~RunLabel() { innermost = before_; }
  RunLabel(const RunLabel&) = delete;
  RunLabel& operator=(const RunLabel&) = delete;
  static std::string_view current() { return innermost; }

 private:
  std::string_view before_;
  static thread_local constinit std::string_view innermost;
};

/// What a run is given. Results that are defined are written in place, the others are made.
struct PlanRun {
  const Executable& executable;
  std::span<const Tensor> parameters;
  std::span<const Scalar> numbers;
  std::span<const int64_t> integers;
  std::span<Tensor> results;
};

/// Where runs go before they run (compile/recorder.h).
class RunSink {
 public:
  virtual ~RunSink() = default;
  /// Takes over a run, and gives the results that are not defined, or declines: it runs now.
  virtual bool take(const PlanRun& run) = 0;
  /// A call looks at the values of its arguments before it runs; `check` does that.
  virtual void check_values(const PreparedCall& /*call*/, FunctionRef<void()> check) { check(); }
  /// A call is told where in its storage a window of `tensor` begins.
  virtual void note_offset(const Tensor& /*tensor*/) {}
  /// A call drew the key of its random numbers.
  virtual void key_drawn(const Generator& /*generator*/, uint64_t /*key*/) {}
  /// The host kernel of `op` draws from a generator.
  virtual void draws_on_host(std::string_view /*op*/) {}
};
/// The sink of this thread, null for none.
RunSink* run_sink();
void set_run_sink(RunSink* sink);

/// True where a run computes shapes alone: a tensor that it reads or writes is meta, or fresh ones
/// are.
bool runs_without_memory(std::span<const Tensor> parameters, std::span<const Tensor> results);

/// As run(): results that are defined are written, the others become what it gives, saved values
/// included. Keeps in `bound` what calls of the same geometry repeat.
void run_into(std::shared_ptr<const BoundRun>& bound, const Executable& executable,
              std::span<const Tensor> parameters, std::span<const Scalar> numbers,
              std::span<const int64_t> integers, std::span<Tensor> results);

}  // namespace flambeau
