#include "eager/run_shape.h"

#include "lower/plan.h"
#include "ops/registry.h"

namespace flambeau {
namespace {

using lower::AliasStep;
using lower::AxisIndex;
using lower::PlannedValue;

/// Finds the places of results by following the plan's windows from what holds them.
class ShapeFinder {
 public:
  ShapeFinder(const lower::Plan& plan, std::span<const Tensor> parameters,
              std::span<const int64_t> integers)
      : plan_(plan), parameters_(parameters) {
    for (const Tensor& parameter : parameters) sizes_.push_back(parameter.sizes().data());
    bindings_ = {sizes_.data(), integers.data()};
    places_.resize(plan_.values.size());
  }

  RunShape find() {
    for (const lower::Step& step : plan_.steps)
      if (const auto* alias = std::get_if<AliasStep>(&step)) follow(*alias);
    for (const int value : plan_.results) shape_.results.push_back(place_of(value));
    return std::move(shape_);
  }

 private:
  using Place = RunShape::Place;

  Ints evaluate(const ir::Shape& shape) const {
    Ints sizes;
    for (const ir::Dim& extent : shape) sizes.push_back(extent.evaluate(bindings_));
    return sizes;
  }
  const PlannedValue& planned(int value) const { return plan_.values[static_cast<size_t>(value)]; }

  Place new_block(int value) {
    const Ints sizes = evaluate(planned(value).shape);
    shape_.blocks.push_back({value, {planned(value).dtype, sizes, contiguous_strides(sizes)}});
    return {Place::Kind::Block, static_cast<int>(shape_.blocks.size()) - 1,
            shape_.blocks.back().info, 0};
  }

  const Place& place_of(int value) {
    std::optional<Place>& place = places_[static_cast<size_t>(value)];
    if (!place) {
      const int parameter = planned(value).parameter;
      if (parameter >= 0)
        place = Place{Place::Kind::Parameter, parameter,
                      parameters_[static_cast<size_t>(parameter)].info(), 0};
      else
        place = new_block(value);
    }
    return *place;
  }

  void follow(const AliasStep& step) {
    Place place = place_of(step.value);
    if (place.kind == Place::Kind::Parameter) place.kind = Place::Kind::Window;
    const Ints sizes = evaluate(planned(step.result).shape);
    if (step.reshape) {
      const std::optional<Ints> kept = ops::view_strides(place.info, sizes);
      if (!kept) {  // a copy
        places_[static_cast<size_t>(step.result)] = new_block(step.result);
        return;
      }
      place.info.strides = *kept;
    } else {
      place.info.strides =
          strides_of_window(step, sizes, place.info.strides, bindings_, place.offset);
    }
    place.info.sizes = sizes;
    places_[static_cast<size_t>(step.result)] = std::move(place);
  }

  const lower::Plan& plan_;
  std::span<const Tensor> parameters_;
  SmallVector<const int64_t*, 6> sizes_;
  ir::DimBindings bindings_;
  std::vector<std::optional<Place>> places_;
  RunShape shape_;
};

}  // namespace

Ints strides_of_window(const AliasStep& step, const Ints& sizes, const Ints& strides,
                       const ir::DimBindings& bindings, int64_t& offset) {
  Ints result(sizes.size(), 0);
  SmallVector<bool, 6> moves(sizes.size(), false);
  for (size_t axis = 0; axis < step.axes.size(); ++axis) {
    if (!step.axes[axis].offset.is_zero())
      offset += step.axes[axis].offset.evaluate(bindings) * strides[axis];
    for (const AxisIndex::Term& term : step.axes[axis].terms) {
      const auto to = static_cast<size_t>(term.loop);
      result[to] += term.coefficient.evaluate(bindings) * strides[axis];
      moves[to] = true;
    }
  }
  for (size_t axis = sizes.size(); axis-- > 0;)
    if (!moves[axis] && sizes[axis] == 1)
      result[axis] = axis + 1 < sizes.size() ? sizes[axis + 1] * result[axis + 1] : 1;
  return result;
}

bool is_whole(const RunShape& shape, const RunShape::Place& place) {
  return place.kind == RunShape::Place::Kind::Block && place.offset == 0 &&
         place.info.numel() == shape.blocks[static_cast<size_t>(place.source)].info.numel() &&
         ops::is_dense(place.info);
}

RunShape find_shape(const lower::Plan& plan, std::span<const Tensor> parameters,
                    std::span<const int64_t> integers) {
  return ShapeFinder(plan, parameters, integers).find();
}

void place_results(const RunShape& shape, std::span<const Tensor> parameters,
                   std::span<Tensor> results, std::span<Tensor> blocks) {
  for (size_t i = 0; i < shape.results.size(); ++i) {
    if (results[i].defined()) continue;
    const RunShape::Place& place = shape.results[i];
    const auto source = static_cast<size_t>(place.source);
    if (place.kind == RunShape::Place::Kind::Parameter) {
      results[i] = parameters[source];
    } else if (place.kind == RunShape::Place::Kind::Window) {
      const Tensor& whole = parameters[source];
      results[i] = whole.alias(place.info.sizes, place.info.strides, whole->offset + place.offset);
    } else {
      Tensor& block = blocks[source];
      if (!block.defined()) {
        const TensorInfo& info = shape.blocks[source].info;
        block = Tensor::empty_strided(info.sizes, info.strides, info.dtype);
      }
      const bool whole = place.offset == 0 && place.info.sizes == block.sizes() &&
                         place.info.strides == block.strides();
      results[i] = whole ? block : block.alias(place.info.sizes, place.info.strides, place.offset);
    }
  }
}

}  // namespace flambeau
