#pragma once
// One call of one operation: key, recipe (cached), launch. Knows nothing of gradients but how to
// make their programs; autograd/call.h is the door that everybody else uses.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "eager/executable.h"
#include "ops/registry.h"

namespace flambeau {

/// Which form of the op is called.
enum class CallForm : uint8_t {
  Function,  ///< fresh results (or views)
  InPlace,   ///< `add_`: the first tensor parameter is written and returned
  Out,       ///< results are written to `out` tensors, which are returned
};

/// The gradient of a call or of a program as programs.
struct Derivative {
  /// Where a parameter of `backward` comes from. Cotangent and Result count results.
  struct Source {
    enum class Kind : uint8_t { Input, Result, Saved, Cotangent } kind;
    int index;
    friend bool operator==(const Source&, const Source&) = default;
  };
  /// Gives the results, then the saved values.
  std::shared_ptr<const Executable> forward;
  int saved_count = 0;
  /// Gives one gradient per entry of `targets`. Its numbers are the forward's; its integers those
  /// of backward_integers().
  std::shared_ptr<const Executable> backward;
  /// The same for runs that are recorded (create_graph): saved values have no history, so this one
  /// computes them again. Null if `backward` reads none.
  std::shared_ptr<const Executable> recorded_backward;
  /// `backward` added to one more parameter, the last. Null unless the only gradient is a scatter
  /// into zeros, so that only elements which are met need to be touched.
  std::shared_ptr<const Executable> backward_onto;
  /// One per parameter of `recorded_backward`; those of `backward` are the first of them.
  std::vector<Source> sources;
  std::vector<int> targets;  ///< the inputs that get a gradient; others get none

  bool saves() const {
    return std::any_of(sources.begin(), sources.end(),
                       [](const Source& s) { return s.kind != Source::Kind::Cotangent; });
  }
};

/// Sets of inputs are bit sets; bit 63 stands for input 63 and all that follow.
inline uint64_t input_bit(size_t input) { return uint64_t{1} << (input < 63 ? input : 63); }
inline bool is_wanted(uint64_t wanted, size_t input) { return (wanted & input_bit(input)) != 0; }

/// What is cached for all calls of an op that agree in dtypes, ranks, extents of 1 and static
/// arguments.
class Recipe {
 public:
  virtual ~Recipe() = default;
  /// The derivative with respect to the inputs of the set `wanted`. Built on first use.
  virtual const Derivative& derivative(uint64_t wanted) const = 0;
};

/// What a call is but for its tensors' memory and its numbers. Calls that agree in all that the
/// rules of their op look at share one.
struct CallPlan {
  std::shared_ptr<const Recipe> recipe;
  Ints integers;  ///< the dynamic integers
  ops::ResultInfos results;
  SmallVector<Scalar, 2> numbers;  ///< the dynamic numbers, of the first call
  /// A result that is a window of the first input.
  struct Window {
    TensorInfo info;
    int64_t offset;   ///< in elements of its dtype
    bool from_input;  ///< from the input's first element, else from where its storage begins
  };
  // Found out by the first call (of an op with an alias rule, before it runs). Only the thread that
  // made the plan uses it.
  mutable std::optional<Window> window;
  mutable std::shared_ptr<const BoundRun> run;   ///< of the forward program
  mutable std::shared_ptr<const void> followed;  ///< what autograd keeps of the call's view
  mutable SmallVector<size_t, 2> bytes;          ///< per fresh result
  mutable uint64_t wanted = 0;
  mutable const Derivative* derivative = nullptr;  ///< with respect to the inputs of `wanted`
  mutable const std::string* node_name = nullptr;  ///< "AddBackward0"; lives for ever
  mutable Ints backward_integers;                  ///< once there is a node
};

/// A call whose arguments have been checked and bound. Cheap; lives on the stack.
struct PreparedCall {
  const ops::Definition* op = nullptr;
  std::shared_ptr<const CallPlan> plan;
  CallForm form = CallForm::Function;
  ops::Arguments arguments;        ///< in canonical form; only for ops with host code
  SmallVector<Tensor, 4> inputs;   ///< every tensor argument, lists flattened, None skipped
  SmallVector<Scalar, 2> numbers;  ///< the dynamic numbers
  SmallVector<Tensor, 2> outputs;  ///< InPlace, Out: what is written
  bool without_memory = false;     ///< tensors are meta, or fresh ones are: shapes alone
};

/// Checks the arguments, infers the results and finds the recipe; the user's errors come from
/// here. `arguments` are in schema order with defaults filled in, their TensorInfo pointers those
/// of TensorImpls. Nothing has been written when it throws.
PreparedCall prepare(const ops::Definition& op, std::span<const ops::Argument> arguments,
                     CallForm form = CallForm::Function, std::span<const Tensor> out = {});

/// The integer arguments of the backward of `prepared`, which gave `results`: its own integers,
/// then the sizes of all inputs and of all results, flattened. They live as long as its plan.
std::span<const int64_t> backward_integers(const PreparedCall& prepared,
                                           std::span<const Tensor> results);

/// Runs a prepared call; the results (for InPlace and Out: the outputs, whose version counters go
/// up). With `derivative`, its forward program runs and `saved` receives the saved values.
Results execute(const PreparedCall& prepared, const Derivative* derivative = nullptr,
                std::vector<Tensor>* saved = nullptr);

/// prepare and execute.
Results call_without_tape(const ops::Definition& op, std::span<const ops::Argument> arguments,
                          CallForm form = CallForm::Function, std::span<const Tensor> out = {});

/// The derivative of a backward program (for create_graph): `forward` is the program itself,
/// nothing is saved but inputs, and the integers are the same. Cached by hash and `wanted`.
std::shared_ptr<const Derivative> derive(const std::shared_ptr<const Executable>& program,
                                         uint64_t wanted);

/// `forward` as a program of its first parameter alone, which gives its first result: sizes of
/// parameters are integers, after `integer_count` that it has itself, as in a Derivative.
std::shared_ptr<const Executable> on_first_input(const Executable& forward, size_t integer_count);

}  // namespace flambeau
