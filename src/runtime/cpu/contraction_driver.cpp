#include "runtime/cpu/contraction_driver.h"

#include "runtime/cpu/contraction_runner.h"

namespace flambeau {

ContractionKernel::ContractionKernel(ir::Contraction contraction, Isa isa,
                                     std::unique_ptr<ContractionLoader> loader)
    : state_(std::make_shared<State>(std::move(contraction), isa, std::move(loader))) {}

const ir::Contraction& ContractionKernel::contraction() const { return state_->contraction(); }

namespace {

/// Drops the last batch axis by making it part of the rows (or columns) of the product, where all
/// of the axis use the same b (or a) and strides allow it.
bool merge_last_batch_axis(ContractionArguments& x) {
  const auto stride = [](const ContractionArguments::Matrix& matrix) {
    return matrix.batch_strides.back();
  };
  const int64_t extent = x.batch.back();
  const auto merge = [&](ContractionArguments::Matrix& varying, int64_t& varying_stride,
                         const ContractionArguments::Matrix& fixed, int64_t& out_stride,
                         int64_t& length) {
    if (stride(fixed) != 0 || varying.is_window()) return false;
    if (length == 1) {
      varying_stride = stride(varying);
      out_stride = stride(x.out);
    } else if (stride(varying) != length * varying_stride || stride(x.out) != length * out_stride) {
      return false;
    }
    length *= extent;
    return true;
  };
  if (extent != 1 && !merge(x.a, x.a.row_stride, x.b, x.out.row_stride, x.m) &&
      !merge(x.b, x.b.column_stride, x.a, x.out.column_stride, x.n))
    return false;
  for (Ints* strides : {&x.a.batch_strides, &x.b.batch_strides, &x.out.batch_strides, &x.batch})
    strides->pop_back();
  return true;
}

/// Calls `use` with the runner of the product, unless its output is empty.
template <class Use>
void with_runner(const ContractionKernel& kernel, const ContractionArguments& arguments,
                 const Use& use) {
  if (arguments.m == 0 || arguments.n == 0) return;
  for (const int64_t extent : arguments.batch)
    if (extent == 0) return;
  // Operands of an epilogue would have to merge as well.
  if (arguments.batch.empty() || !kernel.contraction().is_plain) {
    ContractionRunner runner(kernel.state(), arguments);
    return use(runner);
  }
  ContractionArguments merged = arguments;
  while (!merged.batch.empty() && merge_last_batch_axis(merged)) {
  }
  ContractionRunner runner(kernel.state(), merged);
  use(runner);
}

}  // namespace

void run_contraction(const ContractionKernel& kernel, const ContractionArguments& arguments) {
  with_runner(kernel, arguments, [](ContractionRunner& runner) { runner.run(); });
}

void load_contraction(const ContractionKernel& kernel, const ContractionArguments& arguments) {
  with_runner(kernel, arguments, [](ContractionRunner& runner) { runner.load(); });
}

}  // namespace flambeau
