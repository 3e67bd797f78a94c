// Keys of calls: what differs has another key.

#include "eager/call_key.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "ops/registry.h"

namespace flambeau {
namespace {

TEST(CallKey, ATensorOfAnyDTypeIsNeitherNoneNorANumber) {
  const auto all = ops::all_definitions();
  const ops::Definition& op = **std::find_if(
      all.begin(), all.end(), [](const ops::Definition* d) { return d->alias == nullptr; });
  std::vector<TensorInfo> infos;
  for (int dtype = 0; dtype < kDTypeCount; ++dtype)
    infos.push_back({static_cast<DType>(dtype), {}, {}});
  std::vector<ops::Argument> arguments{std::monostate{}, static_cast<const TensorInfo*>(nullptr)};
  for (const TensorInfo& info : infos) arguments.emplace_back(&info);
  for (int dtype = 0; dtype < kDTypeCount; ++dtype)
    arguments.emplace_back(static_cast<DType>(dtype));
  for (int64_t size = 0; size < 4; ++size)
    arguments.emplace_back(Ints(static_cast<size_t>(size), 0));
  std::set<std::vector<int64_t>> keys;
  for (const ops::Argument& argument : arguments) {
    const CallKey key = call_key(op, {&argument, 1}, CallForm::Function);
    EXPECT_TRUE(keys.emplace(key.begin(), key.end()).second) << "argument " << argument.index();
  }
}

}  // namespace
}  // namespace flambeau
