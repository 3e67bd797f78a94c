#include <algorithm>

#include "base/error.h"
#include "ir/text.h"

namespace flambeau::ir {
namespace {

/// Extents that are both constants are equal; others are compared when a program is bound.
bool may_agree(const Shape& a, const Shape& b) {
  bool same = a.size() == b.size();
  for (size_t i = 0; same && i < a.size(); ++i)
    same = !a[i].is_constant() || !b[i].is_constant() || a[i] == b[i];
  return same;
}

class Verifier {
 public:
  explicit Verifier(const Program& program) : program_(program) {}

  void run() {
    for (const Type& type : program_.parameters) check_dims(type.shape);
    for (const DType dtype : program_.numbers)
      expect(dtype == DType::Float64 || dtype == DType::Int64 || dtype == DType::Bool,
             "a number of a call is f64, i64 or b1");
    seen_parameters_.resize(program_.parameters.size());
    seen_numbers_.resize(program_.numbers.size());
    for (size_t i = 0; i < program_.nodes.size(); ++i) {
      id_ = static_cast<NodeId>(i);
      check_node(program_.nodes[i]);
    }
    id_ = -1;
    expect(!std::count(seen_parameters_.begin(), seen_parameters_.end(), false),
           "every parameter has a node");
    expect(!std::count(seen_numbers_.begin(), seen_numbers_.end(), false),
           "every number has a node");
    for (const NodeId result : program_.results)
      expect(result >= 0 && static_cast<size_t>(result) < program_.nodes.size(),
             "a result is a node of the program");
  }

 private:
  /// Fails with the node in the message unless `condition` holds.
  void expect(bool condition, std::string_view rule) const {
    check<InternalError>(condition, [&] {
      if (id_ < 0) return concat("program: rule broken: ", rule);
      const Node& node = program_.nodes[static_cast<size_t>(id_)];
      const std::string text = node.primitive == nullptr ? concat('%', id_) : node_text(node, id_);
      return concat("program: rule broken: ", rule, ", by ", text);
    });
  }

  void check_node(const Node& node) {
    expect(node.primitive != nullptr, "a node has a primitive");
    const Primitive& row = *node.primitive;
    expect(row.arity < 0 || node.arguments.size() == static_cast<size_t>(row.arity),
           "the number of operands is the primitive's");
    for (const NodeId id : node.arguments)
      expect(id >= 0 && id < id_, "operands come before the node");
    check_dims(node.type.shape);
    check_dims(node.attributes.dims);
    if (node.attributes.body != nullptr) verify(*node.attributes.body);
    if (node.primitive == parameter_row()) {
      const size_t index = check_source(node, seen_parameters_);
      expect(node.type == program_.parameters[index], "a parameter has the program's type");
    } else if (node.primitive == number_row()) {
      const size_t index = check_source(node, seen_numbers_);
      expect(node.type == Type{program_.numbers[index], {}}, "a number has the program's dtype");
    } else {
      check_type(node);
    }
  }

  size_t check_source(const Node& node, std::vector<bool>& seen) const {
    const auto index = static_cast<size_t>(node.attributes.index);
    expect(node.attributes.index >= 0 && index < seen.size(),
           "the index is in the program's range");
    expect(!seen[index], "a parameter or number has one node");
    seen[index] = true;
    return index;
  }

  void check_type(const Node& node) const {
    SmallVector<Type, 4> types;
    for (const NodeId id : node.arguments) {
      types.push_back(program_.nodes[static_cast<size_t>(id)].type);
      if (node.primitive->cls == PrimitiveClass::Elementwise)
        expect(may_agree(types.back().shape, node.type.shape),
               "elementwise operands have the node's shape");
    }
    Type inferred;
    try {
      inferred = node.primitive->infer(types, node.attributes);
    } catch (const InternalError& error) {
      expect(false, error.what());
    }
    if (inferred != node.type) expect(false, concat("the type is ", type_text(inferred)));
  }

  template <class Dims>
  void check_dims(const Dims& dims) const {
    for (const Dim& d : dims) check_dim(d);
  }

  void check_dim(const Dim& d) const {
    switch (d.op()) {
      case DimOp::Constant:
        return;
      case DimOp::Integer:
        expect(d.leaf_slot() >= 0, "an integer argument's slot is not negative");
        return;
      case DimOp::Size: {
        const int parameter = d.leaf_parameter();
        expect(parameter >= 0 && static_cast<size_t>(parameter) < program_.parameters.size(),
               "a size is of a parameter of the program");
        const Shape& shape = program_.parameters[static_cast<size_t>(parameter)].shape;
        expect(d.leaf_axis() >= 0 && static_cast<size_t>(d.leaf_axis()) < shape.size(),
               "a size is of an axis that the parameter has");
        return;
      }
      default:
        check_dim(d.left());
        check_dim(d.right());
    }
  }

  const Program& program_;
  NodeId id_ = -1;
  std::vector<bool> seen_parameters_;
  std::vector<bool> seen_numbers_;
};

}  // namespace

void verify(const Program& program) { Verifier(program).run(); }

}  // namespace flambeau::ir
