#pragma once
// The type of a row of the primitive table (the rows are in prim/). Passes, interpreters and code
// generation know rows, never names.

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/scalar.h"
#include "ir/dim.h"
#include "ir/emitter.h"

namespace flambeau::ir {

class Builder;
class Expr;
struct Program;
struct Node;
struct ArrayValue;
struct ComplexValue;
using NodeId = int32_t;

/// What kind of thing a primitive does to indices; scheduling goes by this alone.
enum class PrimitiveClass : uint8_t {
  Source,       ///< parameter, number, constant, extent, iota: no tensor operand
  Elementwise,  ///< one output element from the same element of each operand (equal shapes)
  View,         ///< an affine map of indices: broadcast, permute, slice, flip, squeeze
  Reshape,      ///< the same elements in row-major order under another shape
  Pad,          ///< low, high and interior padding by a scalar operand
  Concatenate,
  Reduce,     ///< over `axes`, which vanish from the shape; in the fixed order of reduce_order
  Scan,       ///< running combination along `axes[0]`, in the fixed order of RunningScan
  Gather,     ///< operand 0 read at computed indices
  Scatter,    ///< operand 0 updated at computed indices, ascending source order
  Contract,   ///< batched matrix product
  BlockScan,  ///< a body program run over blocks of an axis, with carried values
};

/// The static fields of a node; which of them a primitive uses is said in its row's doc.
struct Attributes {
  SmallVector<int64_t, 5> axes = {};              ///< permutation, reduced axes, axis map
  SmallVector<Dim, 6> dims = {};                  ///< shapes, slice starts/lengths/steps, paddings
  Scalar value = {};                              ///< of a constant
  int index = 0;                                  ///< number of a parameter or result; a dtype
  std::shared_ptr<const Program> body = nullptr;  ///< of a BlockScan
  friend bool operator==(const Attributes&, const Attributes&);
  void hash_into(Hasher& hasher) const;
};

/// Type of a value: dtype and shape.
struct Type {
  DType dtype = DType::Float32;
  Shape shape;
  friend bool operator==(const Type&, const Type&) = default;
};

/// What a derivative rule sees: the node, its operands and result as expressions of the program
/// being extended, and the cotangent of its result.
struct VjpContext {
  Builder& builder;
  const Node& node;
  std::span<const Expr> arguments;
  const Expr& result;
  const Expr& cotangent;
};

/// What a batching rule sees: operands of which some carry one more leading axis of extent
/// `batch`.
struct BatchContext {
  Builder& builder;
  const Node& node;
  std::span<const Expr> arguments;
  std::span<const bool> batched;
  Dim batch;
};

struct Primitive {
  std::string_view name;
  PrimitiveClass cls;
  int arity;             ///< number of operands, -1 for any
  std::string_view doc;  ///< meaning in one or two sentences, attributes included

  /// The result's type; throws InternalError naming the primitive if operands do not fit.
  Type (*infer)(std::span<const Type> arguments, const Attributes& attributes);
  /// Elementwise: the meaning, in core operations. Scan: the next value from the last one and the
  /// operands' elements; associative if there is one operand. `result` is the node's dtype. Called
  /// through emit_elementwise, which says how 16-bit floats come and go.
  Operand (*emit)(Emitter& emitter, DType result, std::span<const Operand> arguments,
                  const Attributes& attributes) = nullptr;
  /// Elementwise of 32 bits, with the number of a place as the last operand: the Int64 that places
  /// 4 i to 4 i + 3 share, for operands whose last is i. At place 4 i + j `emit` gives the upper
  /// half of it, turned left by 16 j bits. For lanes side by side.
  Operand (*emit_block)(Emitter& emitter, DType result, std::span<const Operand> arguments,
                        const Attributes& attributes) = nullptr;
  /// The others: the meaning, on whole arrays (ir/interpreter.h).
  ArrayValue (*interpret)(const Node& node, std::span<const ArrayValue> arguments,
                          const DimBindings& bindings) = nullptr;
  /// Reduce: the operation that combines, and its identity for a dtype. Scatter: the operation by
  /// which an element takes in another; none: it is replaced.
  std::optional<CoreOp> combine = std::nullopt;
  Scalar (*identity)(DType) = nullptr;
  /// Cotangents of the operands (an invalid Expr: none). Null: not differentiable, zero.
  SmallVector<Expr, 3> (*vjp)(const VjpContext&) = nullptr;
  /// The node on batched operands; the result's axis 0 is the batch. Null only for Elementwise and
  /// Source, whose rule is the same for all (batch.h).
  Expr (*batch)(const BatchContext&) = nullptr;
  /// Elementwise: `emit` takes and gives 16-bit floats as they are (conversions, bitcasts).
  bool raw_halves = false;
  /// The meaning where operands or the result are complex, as real nodes of the program that the
  /// operands belong to (ir/complex.h). Null: not defined for complex numbers. A row that takes and
  /// gives complex values alone is holomorphic, and `vjp` is its derivative in that sense.
  ComplexValue (*on_complex)(const Node& node, std::span<const ComplexValue> arguments) = nullptr;
};

/// What every backend calls for an Elementwise row. Unless the row says raw_halves, operands that
/// are 16-bit floats are converted to Float32 for `emit`, and where `result` is one, what `emit`
/// gives is rounded to it once. The operand returned has dtype `result` (InternalError otherwise).
Operand emit_elementwise(const Primitive& row, Emitter& emitter, DType result,
                         std::span<const Operand> arguments, const Attributes& attributes);

/// The rows of a program's own sources, which Builder::parameter and Builder::number make; their
/// types are those that the Program says. All other rows are in prim/.
const Primitive* parameter_row();
const Primitive* number_row();

/// The row with this name, or nullptr. Filled by prim/ at start-up.
const Primitive* find_primitive(std::string_view name);
/// All rows, in the order of their names.
std::span<const Primitive* const> all_primitives();

/// Adds a row at static initialisation: `static const RegisterPrimitive row{{.name = ...}};`
struct RegisterPrimitive {
  explicit RegisterPrimitive(const Primitive& row);
  const Primitive* row;
};

}  // namespace flambeau::ir
