#include "tensor/tensor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>

#include "base/error.h"

namespace flambeau {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

TEST(Tensor, EmptyIsRowMajor) {
  const Tensor t = Tensor::empty({2, 3, 4}, DType::Int16);
  EXPECT_EQ(t.strides(), Ints({12, 4, 1}));
  EXPECT_EQ(t->storage->bytes(), 48u);
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(t.data_ptr()) % 64, 0u);
  EXPECT_EQ(t.size(-1), 4);
  EXPECT_EQ(t.stride(-3), 12);
}

TEST(Tensor, WithoutElementsHasNoMemory) {
  const Tensor t = Tensor::empty({2, 0, 4});
  EXPECT_EQ(t.numel(), 0);
  EXPECT_EQ(t.strides(), Ints({4, 4, 1}));
  EXPECT_EQ(t->storage->bytes(), 0u);
  EXPECT_EQ(t.data_ptr(), nullptr);
  EXPECT_TRUE(t.is_contiguous());
}

TEST(Tensor, StridedSpansItsStorage) {
  EXPECT_EQ(Tensor::empty_strided({2, 3}, {1, 2}, DType::Float32)->storage->bytes(), 24u);
  EXPECT_EQ(Tensor::empty_strided({2, 3}, {0, 0}, DType::Float32)->storage->bytes(), 4u);
  EXPECT_EQ(Tensor::empty_strided({2, 3}, {10, 1}, DType::Float64)->storage->bytes(), 104u);
}

TEST(Tensor, RefusesBadSizes) {
  EXPECT_THAT(([] { Tensor::empty({2, -1}); }),
              ThrowsMessage<RuntimeError>(HasSubstr("must not be negative, got [2, -1]")));
  EXPECT_THAT(([] { Tensor::empty({kHuge, 2}); }),
              ThrowsMessage<RuntimeError>(HasSubstr("64 bits")));
  EXPECT_THAT(([] { Tensor::empty({kHuge, 2, 0}); }),
              ThrowsMessage<RuntimeError>(HasSubstr("64 bits")));
  EXPECT_THAT(([] { Tensor::empty({kHuge / 2}); }),
              ThrowsMessage<RuntimeError>(HasSubstr("64 bits")));
  EXPECT_THAT(([] { Tensor::empty({int64_t{1} << 55}); }),
              ThrowsMessage<RuntimeError>(HasSubstr("gave no CPU memory")));
  EXPECT_THAT(([] { Tensor::empty_strided({2, 2}, {kHuge, kHuge}, DType::Bool); }),
              ThrowsMessage<RuntimeError>(HasSubstr("64 bits")));
  EXPECT_THAT(([] { Tensor::empty_strided({2}, {1, 1}, DType::Bool); }),
              ThrowsMessage<RuntimeError>(HasSubstr("1 sizes and 2 strides")));
}

TEST(Tensor, AxisOutOfRange) {
  const Tensor t = Tensor::empty({2, 3});
  EXPECT_THAT([&] { t.size(2); }, ThrowsMessage<IndexError>(
                                      HasSubstr("expected to be in range of [-2, 1], but got 2")));
  EXPECT_THROW(t.stride(-3), IndexError);
  EXPECT_THROW(Tensor::empty({}).size(0), IndexError);
}

TEST(Tensor, ScalarsAndItem) {
  EXPECT_EQ(Tensor::from_scalar(1.5).dtype(), DType::Float32);
  EXPECT_EQ(Tensor::from_scalar(2).dtype(), DType::Int64);
  EXPECT_EQ(Tensor::from_scalar(true).dtype(), DType::Bool);
  EXPECT_EQ(Tensor::from_scalar(2.9, DType::Int32).item(), Scalar(2));
  EXPECT_EQ(Tensor::from_scalar(1.0 / 3, DType::BFloat16).item(), Scalar(0.333984375));
  EXPECT_THAT([] { Tensor::empty({2}).item(); },
              ThrowsMessage<RuntimeError>(
                  HasSubstr("a Tensor with 2 elements cannot be converted to Scalar")));
}

TEST(Tensor, AliasSharesStorageAndVersion) {
  const Tensor t = Tensor::empty({4, 5});
  const Tensor row = t.alias({5}, {1}, 10);
  EXPECT_EQ(row.data_ptr(), t.data<float>() + 10);
  row.bump_version("test");
  EXPECT_EQ(t.version(), 1u);
  EXPECT_THROW(t.alias({5}, {1}, 16), InternalError);
  EXPECT_EQ(Tensor::empty({0}).alias({0}, {1}, 3).data_ptr(), nullptr);
  EXPECT_THROW(t.data<double>(), InternalError);
}

TEST(Tensor, DetachSharesTheVersionAndDataDoesNot) {
  const Tensor t = Tensor::empty({3});
  const Tensor detached = t.detach();
  const Tensor data = t.variable_data();
  EXPECT_FALSE(detached.is_same(t));
  t.bump_version("test");
  EXPECT_EQ(detached.version(), 1u);
  EXPECT_EQ(data.version(), 0u);
  EXPECT_EQ(data.data_ptr(), t.data_ptr());
}

TEST(Tensor, ForeignMemoryIsReleasedOnceByTheLastView) {
  float memory[6] = {1, 2, 3, 4, 5, 6};
  int released = 0;
  {
    Tensor view;
    {
      auto storage =
          make_ref<Storage>(memory, sizeof memory, [&] { ++released; }, Sharing::ReadOnly);
      const Tensor t(
          make_ref<TensorImpl>(std::move(storage), TensorInfo{DType::Float32, {2, 3}, {3, 1}}, 0));
      view = t.alias({}, {}, 4);
    }
    EXPECT_EQ(released, 0);
    EXPECT_EQ(view.item(), Scalar(5.0));
    EXPECT_THAT([&] { view.bump_version("add_"); },
                ThrowsMessage<RuntimeError>(HasSubstr("add_: the tensor's memory is read-only")));
  }
  EXPECT_EQ(released, 1);
}

TEST(Tensor, VersionCounterMayBeMadeByManyThreads) {
  for (int round = 0; round < 50; ++round) {
    const Tensor t = Tensor::empty({1});
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { t.bump_version("test"); });
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(t.version(), 4u);
  }
}

}  // namespace
}  // namespace flambeau
