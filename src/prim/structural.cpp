#include "prim/structural.h"

namespace flambeau::prim {

void check_ascending_axes(std::string_view name, std::span<const int64_t> axes, size_t rank) {
  bool good = true;
  for (size_t i = 0; i < axes.size(); ++i)
    good = good && axes[i] >= 0 && static_cast<size_t>(axes[i]) < rank &&
           (i == 0 || axes[i] > axes[i - 1]);
  check<InternalError>(good, [&] {
    return concat(name, ": axes ", list_text(axes), " of an operand of rank ", rank,
                  "; wanted them ascending and in range");
  });
}

bool contains(std::span<const int64_t> axes, size_t axis) {
  return std::find(axes.begin(), axes.end(), static_cast<int64_t>(axis)) != axes.end();
}

Expr batched_argument(const BatchContext& context, size_t i) {
  const Expr& argument = context.arguments[i];
  if (context.batched[i]) return argument;
  const Shape shape = with_batch(context, argument.shape());
  return broadcast(argument, axes_between(1, shape.size()), shape);
}

Shape with_batch(const BatchContext& context, std::span<const Dim> dims) {
  Shape shape{context.batch};
  shape.append(dims.begin(), dims.end());
  return shape;
}

SmallVector<int64_t, 5> shifted(std::span<const int64_t> axes) {
  SmallVector<int64_t, 5> result;
  for (const int64_t axis : axes) result.push_back(axis + 1);
  return result;
}

SmallVector<int64_t, 5> axes_between(size_t first, size_t last) {
  SmallVector<int64_t, 5> axes;
  for (size_t axis = first; axis < last; ++axis) axes.push_back(static_cast<int64_t>(axis));
  return axes;
}

}  // namespace flambeau::prim
