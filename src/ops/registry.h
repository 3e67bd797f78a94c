#pragma once
// The index of all operations: the one header of ops/ that other layers use beside the types.

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ops/definition.h"

namespace flambeau::ops {

/// Every definition, in a stable order (by name, then order of registration): id = position.
std::span<const Definition* const> all_definitions();

/// The overloads of `name` ("add"), in order of registration; empty if there is none.
std::span<const Definition* const> find_overloads(std::string_view name);

/// The definition with this name and overload; InternalError if there is none.
const Definition& find_definition(std::string_view name, std::string_view overload = {});

/// permute(self, dims) and view(self, size): how autograd puts the axes of a tensor into another
/// order, and takes away or adds some of extent 1.
const Definition& permute_operation();
const Definition& view_operation();

/// Strides that an elementwise op gives a result of `sizes`: inputs that agree in a dense layout
/// keep it, otherwise axes are ordered as in the inputs, the first that decides winning; row-major
/// if that says nothing (PyTorch's TensorIterator). `numbers`: Python numbers stand among the
/// inputs.
Ints elementwise_strides(std::span<const TensorInfo* const> inputs, const Ints& sizes,
                         bool numbers);
/// True if the elements fill a block of memory without gaps, in some order of the axes.
bool is_dense(const TensorInfo& info);
/// The strides with which the elements of `input` can be seen under `sizes` (of the same number of
/// elements) without a copy; nothing if there are none.
std::optional<Ints> view_strides(const TensorInfo& input, const Ints& sizes);

/// Brings `arguments` (schema order, defaults filled in) to the form that all functions below
/// expect: axes in [0, rank), and what the definition's `canonical` does.
void canonicalize(const Definition& definition, Arguments& arguments);
/// False where canonicalize does nothing.
inline bool has_canonical_form(const Definition& definition) {
  return definition.canonical != nullptr || !definition.axes.empty();
}

/// Definition::role() of argument number `i`; where the call fixes extents of its first tensor,
/// integers are static, too.
Definition::Role role_in(const Call& call, size_t i);

/// The run-time values of a call in the order of the program's numbers and integers. The key of a
/// random op is not among them: it comes last of the numbers.
struct DynamicValues {
  SmallVector<Scalar, 2> numbers;
  Ints integers;
};
/// Appends a number of a call as the program takes it: a complex one as its two parts.
void append_number(SmallVector<Scalar, 2>& numbers, const Scalar& number);
DynamicValues dynamic_values(const Call& call);

/// The call of item `i` of an op with `per_item`: tensor lists are replaced by their item.
Arguments item_arguments(const Definition& definition, std::span<const Argument> arguments,
                         size_t item);
/// The number of items; RuntimeError if the lists differ in length (empty ones are left out).
size_t item_count(const Definition& definition, std::span<const Argument> arguments);

/// Result types of a call: promotion and the shape rule, then the stride rule.
ResultInfos infer(const Call& call);

/// The dtype of float results of integers and numbers: float32 unless set_default_dtype changed it.
DType default_dtype();
/// TypeError for a dtype that is not floating.
void set_default_dtype(DType dtype);

/// The dtype to which promotion brings the call's inputs (Promotion::None: that of the first
/// tensor). PyTorch's categories: tensors, 0-dim tensors, Python numbers.
DType common_dtype(const Call& call);

/// The composition of a call and where its results and saved values are in it.
struct LoweredCall {
  std::unique_ptr<Builder> builder;
  std::vector<Expr>
      parameters;  ///< one per tensor argument (lists flattened, None skipped), own dtype
  std::vector<Expr> numbers;  ///< one per dynamic number
  std::vector<Expr> results;  ///< in the results' dtypes
  std::vector<Expr> saved;
  std::unique_ptr<Lowering> lowering;  ///< refers to the call's arguments
};
/// Runs `lower` on the symbolic form of `call`: extents of 1 are constants, others Dim::size; the
/// dynamic ints are Dim::integer in schema order (lists flattened). Ops without `lower` give only
/// parameters, numbers and (of rank as inferred) further parameters for their results, from which
/// their vjp starts.
LoweredCall lower(const Call& call);
/// The gradients of the `wanted` parameters (bit i: parameter i), from the definition's vjp or by
/// differentiating; `cotangents` are expressions of `lowered.builder`.
std::vector<Expr> gradients(const Call& call, LoweredCall& lowered,
                            std::span<const Expr> cotangents, std::span<const bool> wanted);

}  // namespace flambeau::ops
