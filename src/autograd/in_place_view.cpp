#include "autograd/in_place_view.h"

#include <algorithm>

#include "autograd/call.h"
#include "autograd/grad_mode.h"
#include "autograd/program_node.h"
#include "base/error.h"
#include "ops/registry.h"

namespace flambeau {
namespace {

void take_window(const Tensor& self, const Tensor& source) {
  static_cast<TensorInfo&>(*self.impl()) = source.info();
  self->storage = source->storage;
  self->offset = source->offset;
}

/// Which geometry a tensor has now.
uint32_t geometry_of(const Tensor& base) {
  const AutogradMeta* meta = find_meta(base);
  return meta == nullptr || meta->geometries == nullptr ? 0 : meta->geometries->current;
}

/// Notes that `base`, which was `before`, is another window now.
void note_geometry(const Tensor& base, const BaseGeometries::Window& before) {
  std::unique_ptr<BaseGeometries>& noted = autograd_meta(base).geometries;
  if (noted == nullptr) {
    noted = std::make_unique<BaseGeometries>();
    noted->known.push_back(before);
  }
  const auto found = std::find_if(noted->known.begin(), noted->known.end(), [&](const auto& known) {
    return known.info.sizes == base.sizes() && known.info.strides == base.strides() &&
           known.offset == base->offset;
  });
  noted->current = static_cast<uint32_t>(found - noted->known.begin());
  if (found == noted->known.end()) noted->known.push_back({base.info(), base->offset});
}

/// The order of the base's axes of several elements in which they are those of `before`, then its
/// axes of one element.
Ints order_of_axes(const Tensor& base, const BaseGeometries::Window& was) {
  const TensorInfo& now = base.info();
  const TensorInfo& before = was.info;
  const auto refusal = [&] {
    return concat("the base of a view was of sizes ", list_text(before.sizes), " at offset ",
                  was.offset, " when the view was made, and is of sizes ", list_text(now.sizes),
                  " at offset ", base->offset, " now: a write of either cannot be followed");
  };
  check<NotImplementedError>(base->offset == was.offset, refusal);
  Ints order;
  const auto add = [&](const auto& is_wanted) {
    for (size_t axis = 0; axis < now.sizes.size(); ++axis) {
      const auto number = static_cast<int64_t>(axis);
      if (!is_wanted(axis) || std::find(order.begin(), order.end(), number) != order.end())
        continue;
      order.push_back(number);
      return true;
    }
    return false;
  };
  for (size_t i = 0; i < before.sizes.size(); ++i) {
    if (before.sizes[i] == 1) continue;
    check<NotImplementedError>(add([&](size_t axis) {
                                 return now.sizes[axis] == before.sizes[i] &&
                                        now.strides[axis] == before.strides[i];
                               }),
                               refusal);
  }
  while (add([&](size_t axis) { return now.sizes[axis] == 1; })) {
  }
  return order;
}

}  // namespace

void begin_at(AutogradMeta& view, const Tensor& source) {
  const AutogradMeta* meta = find_meta(source);
  if (meta != nullptr && meta->base.defined()) {
    view.base = meta->base;
    view.steps = meta->steps;
    view.geometry = meta->geometry;
    view.origin = meta->origin;
  } else {
    view.base = source;
    view.geometry = geometry_of(source);
  }
}

std::shared_ptr<const ViewSteps> steps_from_base(const AutogradMeta& view) {
  if (view.geometry == geometry_of(view.base) || view.steps == nullptr) return view.steps;
  const BaseGeometries::Window& before = find_meta(view.base)->geometries->known[view.geometry];
  const GradModeGuard no_grad(false);
  const ops::Argument axes[] = {view.base.impl(), order_of_axes(view.base, before)};
  const Tensor permuted = call(ops::permute_operation(), axes)[0];
  const ops::Argument sizes[] = {permuted.impl(), before.info.sizes};
  const Tensor as_before = call(ops::view_operation(), sizes)[0];
  auto steps = std::make_shared<ViewSteps>(*find_meta(as_before)->steps);
  steps->insert(steps->end(), view.steps->begin(), view.steps->end());
  return steps;
}

void check_in_place(const Tensor& tensor, std::string_view op, bool records) {
  const AutogradMeta* meta = find_meta(tensor);
  const bool is_view = meta != nullptr && meta->base.defined();
  check(!is_view || meta->origin == ViewOrigin::Followed || !(records || requires_grad(tensor)),
        [&] { return concat(op, ": ", view_refusal(tensor, false)); });
  const bool is_of_leaf = is_view && meta->base->requires_grad && is_leaf(meta->base);
  check(!is_of_leaf && !(requires_grad(tensor) && is_leaf(tensor)), [&] {
    return concat(op, is_view ? ": a view of a leaf Variable that requires grad is being used in "
                                "an in-place operation."
                              : ": a leaf Variable that requires grad is being used in an in-place "
                                "operation.");
  });
}

void become_view(const Tensor& self, const Tensor& view, const char* op) {
  if (self.is_same(view)) return;
  if (grad_enabled()) check_in_place(self, op, false);
  const std::shared_ptr<Node> node = grad_fn(view);
  const AutogradMeta* made = find_meta(view);
  const BaseGeometries::Window before{self.info(), self->offset};
  take_window(self, view);
  self.bump_version(op);
  AutogradMeta* own = find_meta(self);
  if (own != nullptr && own->base.defined() && made != nullptr) {
    own->steps = made->steps;
    own->geometry = made->geometry;
  }
  if ((own == nullptr || !own->base.defined()) && is_inexact(self.dtype()) && !self->is_inference)
    note_geometry(self, before);
  if (node != nullptr) set_history(self, node, made->output);
}

void become_window(const Tensor& self, const Tensor& source, const char* op) {
  check(!(grad_enabled() && requires_grad(self)),
        [&] { return concat(op, ": cannot change the memory of variables that require grad"); });
  check(self.dtype() == source.dtype(), [&] {
    return concat(op, ": expected a source of dtype ", info(self.dtype()).name, ", got ",
                  info(source.dtype()).name);
  });
  take_window(self, source);
  self.bump_version(op);
}

void detach_in_place(const Tensor& self) {
  const AutogradMeta* meta = find_meta(self);
  check(meta == nullptr || !meta->base.defined(),
        [] { return std::string("detach_: Can't detach views in-place. Use detach() instead."); });
  clear_history(self);
}

}  // namespace flambeau
