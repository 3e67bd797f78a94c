#include "lower/row_axis.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "lower/structural.h"

namespace flambeau::lower {
namespace {

using ir::Dim;
using ir::Node;
using ir::PrimitiveClass;

/// The row axis of a node (-1: the same for all rows); nullopt if rows meet in it.
using RowAxis = std::optional<int>;

class RowAxes {
 public:
  RowAxes(const ir::Program& program, std::span<const int> parameters)
      : program_(program), parameters_(parameters) {}

  bool run(std::span<const int> results) {
    for (const Node& node : program_.nodes) {
      const RowAxis axis = axis_of(node);
      if (!axis) return false;
      axes_.push_back(*axis);
    }
    for (size_t i = 0; i < results.size(); ++i)
      if (axis_at(program_.results[i]) != results[i]) return false;
    return true;
  }

 private:
  int axis_at(ir::NodeId id) const { return axes_[static_cast<size_t>(id)]; }

  RowAxis axis_of(const Node& node) const {
    if (node.primitive == rows().parameter)
      return parameters_[static_cast<size_t>(node.attributes.index)];
    if (node.primitive == rows().extent) {
      if (counts_rows(node.attributes.dims[0])) return std::nullopt;
      return -1;
    }
    // What iota says of an axis of rows is for the body to place (the number of the first row).
    if (node.primitive == rows().iota) return row_axis_of(node.type.shape);
    bool any = false;
    for (const ir::NodeId id : node.arguments) any |= axis_at(id) >= 0;
    if (!any) return -1;
    switch (node.primitive->cls) {
      case PrimitiveClass::Elementwise:
        return of_elementwise(node);
      case PrimitiveClass::View:
        return of_view(node);
      case PrimitiveClass::Reduce:
        return of_reduce(node);
      case PrimitiveClass::Contract:
        return of_contract(node);
      default:
        return std::nullopt;
    }
  }

  bool is_row_extent(const Dim& dim) const {
    if (dim.op() != ir::DimOp::Size) return false;
    const Dim own = Dim::size(dim.leaf_parameter(), dim.leaf_axis());
    for (size_t p = 0; p < parameters_.size(); ++p)
      if (parameters_[p] >= 0 &&
          (own == Dim::size(static_cast<int>(p), parameters_[p]) ||
           own == program_.parameters[p].shape[static_cast<size_t>(parameters_[p])]))
        return true;
    return false;
  }
  bool counts_rows(const Dim& dim) const {
    switch (dim.op()) {
      case ir::DimOp::Constant:
      case ir::DimOp::Integer:
        return false;
      case ir::DimOp::Size:
        return is_row_extent(dim);
      default:
        return counts_rows(dim.left()) || counts_rows(dim.right());
    }
  }
  int row_axis_of(const ir::Shape& shape) const {
    for (size_t i = 0; i < shape.size(); ++i)
      if (is_row_extent(shape[i])) return static_cast<int>(i);
    return -1;
  }

  RowAxis of_elementwise(const Node& node) const {
    int axis = -1;
    for (const ir::NodeId id : node.arguments) {
      const int own = axis_at(id);
      if (own >= 0 && axis >= 0 && own != axis) return std::nullopt;
      axis = std::max(axis, own);
    }
    return axis;
  }

  RowAxis of_view(const Node& node) const {
    const int axis = axis_at(node.arguments[0]);
    const auto& map = node.attributes.axes;
    if (node.primitive == rows().broadcast) return static_cast<int>(map[static_cast<size_t>(axis)]);
    if (node.primitive == rows().permute)
      return static_cast<int>(std::find(map.begin(), map.end(), axis) - map.begin());
    if (node.primitive == rows().squeeze) return after_removal(map, axis);
    if (node.primitive == rows().slice) {
      const size_t rank = node.type.shape.size();
      const auto at = static_cast<size_t>(axis);
      const auto& dims = node.attributes.dims;
      const ir::Shape& from = program_.nodes[static_cast<size_t>(node.arguments[0])].type.shape;
      const bool whole =
          dims[at].is_zero() && dims[rank + at] == from[at] && dims[2 * rank + at].is_one();
      return whole ? RowAxis(axis) : std::nullopt;
    }
    if (node.primitive == rows().flip)
      return std::count(map.begin(), map.end(), axis) == 0 ? RowAxis(axis) : std::nullopt;
    return std::nullopt;
  }

  /// `axis` when the axes of `removed` are gone; nullopt if it is one of them.
  template <class Axes>
  static RowAxis after_removal(const Axes& removed, int axis) {
    int before = 0;
    for (const int64_t other : removed) {
      if (other == axis) return std::nullopt;
      before += other < axis;
    }
    return axis - before;
  }

  RowAxis of_reduce(const Node& node) const {
    return after_removal(node.attributes.axes, axis_at(node.arguments[0]));
  }

  RowAxis of_contract(const Node& node) const {
    const auto rank = static_cast<int>(node.type.shape.size());
    const int a = axis_at(node.arguments[0]);
    const int b = axis_at(node.arguments[1]);
    if (a == rank - 1 || b == rank - 2) return std::nullopt;  // summed over rows
    if (a >= 0 && b >= 0 && (a != b || a >= rank - 2)) return std::nullopt;
    return std::max(a, b);
  }

  const ir::Program& program_;
  std::span<const int> parameters_;
  std::vector<int> axes_;
};

}  // namespace

bool keeps_rows_apart(const ir::Program& program, std::span<const int> parameters,
                      std::span<const int> results) {
  return RowAxes(program, parameters).run(results);
}

}  // namespace flambeau::lower
