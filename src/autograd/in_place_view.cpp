#include "autograd/in_place_view.h"

#include "autograd/grad_mode.h"
#include "base/error.h"

namespace flambeau {
namespace {

void take_window(const Tensor& self, const Tensor& source) {
  static_cast<TensorInfo&>(*self.impl()) = source.info();
  self->storage = source->storage;
  self->offset = source->offset;
}

}  // namespace

void become_view(const Tensor& self, const Tensor& view, const char* op) {
  if (self.is_same(view)) return;
  check(!(grad_enabled() && requires_grad(self) && is_leaf(self)), [&] {
    return concat(op,
                  ": a leaf Variable that requires grad is being used in an in-place operation.");
  });
  const std::shared_ptr<Node> node = grad_fn(view);
  const AutogradMeta* made = find_meta(view);
  take_window(self, view);
  self.bump_version(op);
  AutogradMeta* own = find_meta(self);
  if (own != nullptr && own->base.defined() && made != nullptr) {
    own->steps = made->steps;
    own->origin = made->origin;
  }
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
