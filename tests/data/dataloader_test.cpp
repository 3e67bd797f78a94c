#include "data/dataloader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace flambeau::data {
namespace {

using testing::ElementsAre;
using Batches = std::vector<std::vector<int64_t>>;

std::shared_ptr<const Dataset> ten() {
  const Tensor numbers = Tensor::empty({10}, DType::Int64);
  for (int64_t i = 0; i < 10; ++i) numbers.data<int64_t>()[i] = i;
  return std::make_shared<TensorDataset>(TensorList{numbers});
}

std::vector<int64_t> values(const TensorList& batch) {
  return {batch[0].data<int64_t>(), batch[0].data<int64_t>() + batch[0].numel()};
}

Batches epoch(DataLoader& loader) {
  Batches result;
  while (const auto batch = loader.next()) result.push_back(values(*batch));
  return result;
}

// The orders are PyTorch 2.7.1's DataLoader's after manual_seed(0).
TEST(DataLoader, ShuffledOrderIsPyTorchs) {
  default_generator().manual_seed(0);
  DataLoader loader(ten(), {.batch_size = 3, .shuffle = true});
  EXPECT_EQ(loader.size(), 4);
  EXPECT_EQ(epoch(loader), (Batches{{6, 7, 1}, {4, 2, 0}, {9, 8, 3}, {5}}));
  EXPECT_EQ(epoch(loader), (Batches{{2, 4, 7}, {0, 8, 9}, {5, 3, 6}, {1}}));
}

TEST(DataLoader, KeepsOrderAndDropsTheLast) {
  DataLoader loader(ten(), {.batch_size = 4, .drop_last = true});
  EXPECT_EQ(epoch(loader), (Batches{{0, 1, 2, 3}, {4, 5, 6, 7}}));
}

TEST(DataLoader, ResumesAtTheSameBatch) {
  for (int stop = 0; stop < 9; ++stop) {
    default_generator().manual_seed(1);
    const DataLoaderOptions options{.batch_size = 3, .shuffle = true};
    DataLoader loader(ten(), options);
    for (int i = 0; i < stop; ++i) loader.next_of_any_epoch();
    const DataLoader::Position position = loader.position();
    const Tensor random = get_rng_state();
    Batches rest;
    for (int i = 0; i < 9; ++i) rest.push_back(values(loader.next_of_any_epoch()));

    default_generator().manual_seed(99);
    DataLoader resumed(ten(), options);
    resumed.set_position(position);
    set_rng_state(random);
    Batches again;
    for (int i = 0; i < 9; ++i) again.push_back(values(resumed.next_of_any_epoch()));
    EXPECT_EQ(again, rest) << "after " << stop;
  }
}

TEST(DataLoader, ByteWindowsAreInputAndNextByte) {
  const ByteWindows windows("abcdefg\xff", 3);
  EXPECT_EQ(windows.size(), 2);
  const TensorList item = windows.get(1);
  EXPECT_THAT(values(item), ElementsAre('d', 'e', 'f'));
  EXPECT_THAT(values({item[1]}), ElementsAre('e', 'f', 'g'));
  EXPECT_THAT(values({ByteWindows("\xff\xfe", 1).get(0)[1]}), ElementsAre(0xfe));
  EXPECT_EQ(ByteWindows("", 3).size(), 0);
}

TEST(DataLoader, RefusesBadOptions) {
  EXPECT_THROW(DataLoader(ten(), {.batch_size = 0}), ValueError);
  EXPECT_THROW(DataLoader(ten(), {.batch_size = 11, .drop_last = true}), ValueError);
  EXPECT_THROW(ByteWindows("abc", 0), ValueError);
  EXPECT_THROW(TensorDataset({Tensor::empty({2}), Tensor::empty({3})}), ValueError);
  DataLoader loader(ten(), {});
  EXPECT_THROW(loader.set_position({Tensor(), 11}), ValueError);
  EXPECT_THROW(set_rng_state(Tensor::empty({2})), TypeError);
}

}  // namespace
}  // namespace flambeau::data
