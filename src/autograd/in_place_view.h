#pragma once
// In-place forms of views (transpose_, resize_, set_, detach_): a tensor becomes another window.

#include "autograd/node.h"

namespace flambeau {

/// PyTorch's refusals to write a tensor in place in grad mode, or to make it another window.
/// `records`: what is written requires grad. `op` ("add_") is for messages. RuntimeError.
void check_in_place(const Tensor& tensor, std::string_view op, bool records);

/// `self` becomes the window that `view`, made from it by a recorded call, is, with its history;
/// `op` ("transpose_") is for messages. RuntimeError for leaves that require grad.
void become_view(const Tensor& self, const Tensor& view, const char* op);

/// Notes that `view` begins as the whole of `source`, a view itself or a base.
void begin_at(AutogradMeta& view, const Tensor& source);
/// The steps from the base of `view` as it is now: behind those back to what it was when the view
/// was made, if it has become another window since.
std::shared_ptr<const ViewSteps> steps_from_base(const AutogradMeta& view);

/// `self` becomes the window that `source` is, which need not share memory with it; autograd is
/// not told. RuntimeError for tensors that require grad, while calls are recorded.
void become_window(const Tensor& self, const Tensor& source, const char* op);

/// Takes `self` out of its graph. RuntimeError for views.
void detach_in_place(const Tensor& self);

}  // namespace flambeau
