#include "base/intrusive.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace flambeau {
namespace {

struct Base : Intrusive {
  explicit Base(int* alive) : alive_(alive) { ++*alive_; }
  Base(const Base&) = delete;
  Base& operator=(const Base&) = delete;
  ~Base() override { --*alive_; }
  int* alive_;
};
struct Derived : Base {
  using Base::Base;
};

TEST(Ref, LastReferenceDestroys) {
  int alive = 0;
  {
    Ref<Base> a = make_ref<Derived>(&alive);
    EXPECT_EQ(a->use_count(), 1U);
    Ref<Base> b = a;
    EXPECT_EQ(a->use_count(), 2U);
    const Ref<Base> c = std::move(b);
    EXPECT_FALSE(b);  // NOLINT(bugprone-use-after-move): this is what is tested
    EXPECT_EQ(a->use_count(), 2U);
    a = nullptr;
    EXPECT_EQ(c->use_count(), 1U);
    EXPECT_EQ(alive, 1);
  }
  EXPECT_EQ(alive, 0);
}

TEST(Ref, SelfAssignmentKeepsTheObject) {
  int alive = 0;
  Ref<Base> a = make_ref<Base>(&alive);
  const Ref<Base>& alias = a;
  a = alias;
  EXPECT_EQ(a->use_count(), 1U);
  EXPECT_EQ(alive, 1);
}

TEST(Ref, CountIsExactOverThreads) {
  int alive = 0;
  Ref<Base> shared = make_ref<Base>(&alive);
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([shared] {
      for (int i = 0; i < 10000; ++i) const Ref<Base> copy = shared;
    });
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  EXPECT_EQ(shared->use_count(), 1U);
  shared = nullptr;
  EXPECT_EQ(alive, 0);
}

TEST(Ref, WrapperTakesOverTheReferences) {
  alignas(8) static int wrapper_count = 0;
  const WrapperHooks old = wrapper_hooks;
  wrapper_hooks = {.increase = [](void* wrapper) noexcept { ++*static_cast<int*>(wrapper); },
                   .decrease = [](void* wrapper) noexcept { --*static_cast<int*>(wrapper); }};
  int alive = 0;
  {
    Base object(&alive);
    {
      const Ref<Base> a(&object);
      const Ref<Base> b = a;
      object.increase_reference();  // Keeps the object, which no reference owns, from deletion.
      EXPECT_EQ(object.wrapper(), nullptr);
      object.set_wrapper(&wrapper_count);
      EXPECT_EQ(object.wrapper(), &wrapper_count);
      EXPECT_EQ(wrapper_count, 3);
      const Ref<Base> c = b;
      EXPECT_EQ(wrapper_count, 4);
    }
    EXPECT_EQ(wrapper_count, 1);
  }
  wrapper_hooks = old;
}

}  // namespace
}  // namespace flambeau
