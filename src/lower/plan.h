#pragma once
// Tensor program -> steps that run one after the other. Elementwise chains, reductions over the
// same axes and index maps become one kernel each; contractions and scans are steps of their own.

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ir/block_scan.h"
#include "ir/contraction.h"
#include "lower/kernel_template.h"

namespace flambeau::lower {

/// Runs a kernel.
struct KernelStep {
  std::shared_ptr<const KernelTemplate> kernel;
  /// Its two buffers become equal: nothing is to be done where they are the same memory.
  bool is_copy = false;
};

/// result = a @ b over strided windows of materialised values, or what `epilogue` makes of it.
struct ContractStep {
  struct Operand {
    int value = -1;
    /// Per axis of the value: affine in the loops batch.., m, n, k, and those of `digits`.
    SmallVector<AxisIndex, 5> axes;
    /// A window's joined axes: loop number batch_rank + 3 + i is a digit of `loop` (m, n or k),
    /// the most significant of each first.
    struct Digit {
      int loop;
      Dim extent;
    };
    SmallVector<Digit, 6> digits;
  };
  Operand a, b;
  int result = -1;
  int batch_rank = 0;
  Dim m, n, k;
  SmallVector<Dim, 3> batch;
  bool of_bfloat16 = false;  ///< a and b hold values of it, in whatever dtype
  /// A pointwise kernel over [batch.., m, n] (loops of extent 1 left out) that reads the product
  /// from its buffer `product_buffer` and writes `result`; null: the product is the result.
  std::shared_ptr<const KernelTemplate> epilogue;
  int product_buffer = -1;
};

/// The epilogue of `step` for a contraction kernel; `step.epilogue` is set. Loads whose entry in
/// `column_strides` (one per access) is not Other have that stride along n.
struct ContractionEpilogue {
  ir::Contraction contraction;
  std::vector<int> operands;  ///< per buffer from number 1 on: the access it serves
  /// Per slot: the access whose stride it is (`column`: along n, else along m), or the
  /// template's slot.
  struct Slot {
    int access = -1;
    bool column = false;
    int source = -1;
  };
  std::vector<Slot> slots;
};
ContractionEpilogue make_epilogue(const ContractStep& step, DType a, DType b,
                                  std::span<const StrideClass> column_strides);

/// The result shares the value's memory: an affine window, or (reshape) a reinterpretation that
/// becomes a row-major copy where strides do not allow it.
struct AliasStep {
  int value = -1;
  int result = -1;
  bool reshape = false;
  SmallVector<AxisIndex, 5> axes;  ///< window: per axis of the value, affine in the result's axes
};

/// Runs the body of a block scan over the blocks of its operands.
struct ScanStep {
  ir::BlockScan form;
  std::shared_ptr<const ir::Program> body;  ///< on some members of the batch at a time
  std::vector<int> operands;
  std::vector<int> results;  ///< carried values, then outputs
  bool by_rows = false;      ///< the body keeps rows apart: they may be taken in pieces
};

using Step = std::variant<KernelStep, ContractStep, AliasStep, ScanStep>;

/// One value in memory: a parameter, a temporary or a result.
struct PlannedValue {
  DType dtype{};
  ir::Shape shape;
  int parameter = -1;  ///< number of the parameter it is, or -1
  int alias_of = -1;   ///< value whose memory it shares, or -1
  int last_use = -1;   ///< last step that reads it; results live on
};

struct Plan {
  std::vector<PlannedValue> values;
  std::vector<Step> steps;
  std::vector<int> results;        ///< value number per program result
  std::vector<bool> overwritable;  ///< per parameter: see find_overwritable()
};

Plan make_plan(const ir::Program& program);

/// The steps as text, one a line, for dumps and tests.
std::string text_of(const Plan& plan);
std::string text_of(const Step& step);

}  // namespace flambeau::lower
