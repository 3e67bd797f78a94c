#pragma once
// Runs computed by the interpreter of tensor programs, which defines what they mean: the third way,
// beside kernels one by one and compiled programs, that must give the same bits.

#include "eager/executable.h"
#include "ir/array.h"

namespace flambeau::compiler {

/// The elements in row-major order, as the interpreter takes them.
ir::ArrayValue array_of(const Tensor& tensor);

/// While one lives, the runs of this thread give what the interpreter says, slowly.
class Interpreted {
 public:
  Interpreted();
  ~Interpreted();
  Interpreted(const Interpreted&) = delete;
  Interpreted& operator=(const Interpreted&) = delete;

 private:
  RunSink* before_;
};

}  // namespace flambeau::compiler
