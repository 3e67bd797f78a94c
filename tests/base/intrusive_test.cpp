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

// The wrapper of these tests: its references are counted here.
int wrapper_count = 0;

struct CountWrapperReferences {
  CountWrapperReferences() {
    wrapper_count = 0;
    wrapper_hooks = {.increase = [](void* wrapper) noexcept { ++*static_cast<int*>(wrapper); },
                     .decrease = [](void* wrapper) noexcept { --*static_cast<int*>(wrapper); }};
  }
  ~CountWrapperReferences() { wrapper_hooks = old; }
  WrapperHooks old = wrapper_hooks;
};

TEST(Ref, AllReferencesHoldOneReferenceToTheWrapper) {
  const CountWrapperReferences hooks;
  int alive = 0;
  Base* object = new Base(&alive);
  {
    const Ref<Base> a(object);
    const Ref<Base> b = a;
    EXPECT_EQ(object->wrapper(), nullptr);
    ++wrapper_count;
    object->set_wrapper(&wrapper_count);
    EXPECT_EQ(object->wrapper(), &wrapper_count);
    EXPECT_EQ(wrapper_count, 1);
    const Ref<Base> c = b;
    EXPECT_EQ(wrapper_count, 1);
  }
  EXPECT_EQ(wrapper_count, 0);
  EXPECT_EQ(alive, 1);  // It is the wrapper's to delete.
  {
    const Ref<Base> again(object);
    EXPECT_EQ(wrapper_count, 1);
  }
  EXPECT_EQ(wrapper_count, 0);
  delete object;
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace flambeau
