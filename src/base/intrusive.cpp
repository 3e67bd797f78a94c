#include "base/intrusive.h"

namespace flambeau {

WrapperHooks wrapper_hooks;

namespace {
thread_local constinit ReleasesLater* outermost = nullptr;
}  // namespace

ReleasesLater::ReleasesLater() {
  if (outermost == nullptr) outermost = this;
}

ReleasesLater::~ReleasesLater() {
  if (outermost != this) return;
  outermost = nullptr;
  for (const std::function<void()>& release : waiting_) release();
}

void ReleasesLater::drop(void* wrapper) noexcept {
  if (outermost == nullptr) return wrapper_hooks.decrease(wrapper);
  outermost->waiting_.emplace_back([wrapper] { wrapper_hooks.decrease(wrapper); });
}

void ReleasesLater::call(std::function<void()> release) {
  if (outermost == nullptr) return release();
  outermost->waiting_.push_back(std::move(release));
}

}  // namespace flambeau
