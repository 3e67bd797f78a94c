#pragma once
// A call of a host kernel as an executable, so that it can be recorded and run later.

#include <memory>
#include <span>

#include "base/hash.h"
#include "eager/executable.h"
#include "ops/registry.h"

namespace flambeau {

/// A call but for its tensors, its numbers and its dynamic integers. Immutable.
class HostProgram {
 public:
  /// `key` tells calls of different recipes apart.
  HostProgram(const ops::Call& call, std::string_view key);

  const Hash128& hash() const { return hash_; }
  /// Types of the tensors of the call and of its results; extents stand for themselves.
  const std::vector<TensorInfo>& inputs() const { return inputs_; }
  const ops::ResultInfos& results() const { return results_; }
  /// Integers of a run that the call itself has; the results' extents follow them.
  int integer_count() const { return integer_count_; }

  /// Calls the kernel, which writes `outputs` (row-major memory of the results' types). It raises
  /// nothing for the values of its inputs: that is what an op's `checks` are for.
  void run(std::span<const Tensor> inputs, std::span<const Scalar> numbers, const int64_t* integers,
           std::span<const Tensor> outputs) const;

 private:
  const ops::Definition& op_;
  ops::Arguments arguments_;
  std::vector<TensorInfo> inputs_;
  ops::ResultInfos results_;
  int integer_count_ = 0;
  Hash128 hash_;
};

/// True if a kernel of `call` may run later than it is called: it draws from no generator, and its
/// results' shapes are known without their values.
bool may_run_later(const ops::Call& call);

/// Its executable: parameters are the tensors of the call, integers those of the call and then the
/// extents of all results. Not cached.
std::shared_ptr<const Executable> make_executable(std::shared_ptr<const HostProgram> program);
/// What the executable runs, if it is a host kernel; else null.
const HostProgram* host_program_of(const Executable& executable);

}  // namespace flambeau
