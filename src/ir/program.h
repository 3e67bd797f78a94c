#pragma once
// Tensor programs: SSA values with dtype and symbolic shape; every node is a primitive.
//
//   program(p0: f32[s0.0, s0.1]) {
//     %0 = parameter {index=0} : f32[s0.0, s0.1]
//     %1 = reduce_max %0 {axes=[1]} : f32[s0.0]
//     %2 = broadcast %1 {axes=[0], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]
//     %3 = sub %0, %2 : f32[s0.0, s0.1]
//     return %3
//   }

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/primitive.h"

namespace flambeau::ir {

struct Node {
  const Primitive* primitive = nullptr;
  SmallVector<NodeId, 4> arguments;
  Attributes attributes;
  Type type;
};

/// A finished program. Nodes are in topological order; parameters and numbers are nodes of the
/// Source class whose `index` counts from 0 in each kind.
struct Program {
  std::vector<Node> nodes;
  std::vector<Type> parameters;  ///< dtype and symbolic shape of each tensor parameter
  std::vector<DType> numbers;    ///< dtype of each scalar parameter: Float64, Int64 or Bool
  SmallVector<NodeId, 4> results;

  /// The text form, which parse() reads back to an equal program.
  std::string text() const;
  /// Hash of all fields.
  Hash128 hash() const;
};

/// Reads the text form; ValueError with line and column for anything else.
Program parse_program(std::string_view text);

/// Checks every rule of the IR (operands precede uses, types are what the rows infer, parameters
/// agree); throws InternalError that quotes the offending node.
void verify(const Program& program);

/// A handle to a value of the program under construction. Cheap to copy.
class Expr {
 public:
  Expr() = default;
  Expr(Builder* builder, NodeId id) : builder_(builder), id_(id) {}
  bool valid() const { return builder_ != nullptr; }
  Builder& builder() const { return *builder_; }
  NodeId id() const { return id_; }
  const Node& node() const;
  const Type& type() const;
  DType dtype() const { return type().dtype; }
  /// A copy: adding nodes moves the builder's own.
  Shape shape() const { return type().shape; }
  int rank() const { return static_cast<int>(type().shape.size()); }
  /// Extent of `axis`, which may be negative.
  Dim dim(int axis) const;

 private:
  Builder* builder_ = nullptr;
  NodeId id_ = -1;
};

/// Builds a program. Equal nodes are shared (hash-consing), so common subexpressions never exist
/// twice. The functions that spell the primitives are in prim/build.h.
class Builder {
 public:
  Builder() = default;
  /// Continues a finished program (for derivatives); its results are forgotten.
  explicit Builder(const Program& program);
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  /// A new tensor parameter.
  Expr parameter(DType dtype, const Shape& shape);
  /// A new scalar parameter (a number of the call: Float64, Int64 or Bool), shape [].
  Expr number(DType dtype);
  /// The node `primitive(arguments)`, or an equal one that exists. The type is inferred.
  Expr add(const Primitive* primitive, std::span<const Expr> arguments, Attributes attributes = {});
  Expr expr(NodeId id) { return {this, id}; }

  const std::vector<Node>& nodes() const { return program_.nodes; }
  /// The program that computes `results`: dead nodes are dropped, parameters all stay.
  Program finish(std::span<const Expr> results) const;

 private:
  Expr append(Node node, uint64_t hash);

  Program program_;
  std::unordered_multimap<uint64_t, NodeId> by_hash_;
};

inline const Node& Expr::node() const { return builder_->nodes()[static_cast<size_t>(id_)]; }
inline const Type& Expr::type() const { return node().type; }

}  // namespace flambeau::ir
