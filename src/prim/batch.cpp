#include "ir/array.h"
#include "prim/row.h"
#include "prim/structural.h"
#include "prim/vjp.h"

namespace flambeau::prim {
namespace {

/// The rewriting of one program.
class Batcher {
 public:
  Batcher(const ir::Program& program, std::span<const bool> batched, Dim extent)
      : program_(program), batched_parameters_(batched), batch_(std::move(extent)) {}

  ir::Program run() {
    for (size_t i = 0; i < program_.parameters.size(); ++i) add_parameter(i);
    for (const DType dtype : program_.numbers) numbers_.push_back(builder_.number(dtype));
    for (const ir::Node& node : program_.nodes) add(node);
    std::vector<Expr> results;
    for (const ir::NodeId id : program_.results) results.push_back(with_batch_axis(id));
    return builder_.finish(results);
  }

 private:
  /// An extent in terms of the batched parameters, whose axes are shifted by one.
  Dim moved(const Dim& dim) const {
    return dim.substitute(
        [&](int parameter, int axis) {
          return Dim::size(parameter,
                           axis + (batched_parameters_[static_cast<size_t>(parameter)] ? 1 : 0));
        },
        [](int slot) { return Dim::integer(slot); });
  }

  template <class Dims>
  Dims moved_all(const Dims& dims) const {
    Dims result;
    for (const Dim& dim : dims) result.push_back(moved(dim));
    return result;
  }

  void add_parameter(size_t i) {
    Shape shape = moved_all(program_.parameters[i].shape);
    if (batched_parameters_[i]) shape.insert(0, batch_);
    parameters_.push_back(builder_.parameter(program_.parameters[i].dtype, shape));
  }

  Expr with_batch_axis(ir::NodeId id) {
    const auto i = static_cast<size_t>(id);
    if (batched_[i]) return values_[i];
    Shape shape = values_[i].shape();
    shape.insert(0, batch_);
    return broadcast(values_[i], axes_between(1, shape.size()), shape);
  }

  void add(const ir::Node& node) {
    const auto index = static_cast<size_t>(node.attributes.index);
    if (node.primitive == ir::parameter_row())
      return keep(parameters_[index], batched_parameters_[index]);
    if (node.primitive == ir::number_row()) return keep(numbers_[index], false);

    ir::Node changed = node;
    changed.attributes.dims = moved_all(node.attributes.dims);
    changed.type.shape = moved_all(node.type.shape);
    SmallVector<Expr, 4> arguments;
    SmallVector<bool, 4> batched;
    bool any = false;
    for (const ir::NodeId id : node.arguments) {
      arguments.push_back(values_[static_cast<size_t>(id)]);
      batched.push_back(batched_[static_cast<size_t>(id)]);
      any = any || batched.back();
    }
    if (!any) return keep(builder_.add(node.primitive, arguments, changed.attributes), false);
    if (node.primitive->cls == PrimitiveClass::Elementwise) {
      for (size_t i = 0; i < arguments.size(); ++i)
        arguments[i] = with_batch_axis(node.arguments[i]);
      return keep(builder_.add(node.primitive, arguments, changed.attributes), true);
    }
    keep(node.primitive->batch({builder_, changed, arguments, batched, batch_}), true);
  }

  void keep(const Expr& value, bool batched) {
    values_.push_back(value);
    batched_.push_back(batched);
  }

  const ir::Program& program_;
  std::span<const bool> batched_parameters_;
  Dim batch_;
  ir::Builder builder_;
  std::vector<Expr> parameters_, numbers_;
  std::vector<Expr> values_;   // of each node
  std::vector<bool> batched_;  // whether it carries the batch axis
};

}  // namespace

ir::Program batch(const ir::Program& program, std::span<const bool> batched) {
  for (size_t i = 0; i < batched.size(); ++i)
    if (batched[i]) return batch(program, batched, Dim::size(static_cast<int>(i), 0));
  return batch(program, batched, 1);
}

ir::Program batch(const ir::Program& program, std::span<const bool> batched, const Dim& extent) {
  check<InternalError>(batched.size() == program.parameters.size(), [&] {
    return concat("batch: ", batched.size(), " flags for ", program.parameters.size(),
                  " parameters");
  });
  return Batcher(program, batched, extent).run();
}

}  // namespace flambeau::prim
