#include "compile/arena.h"

#include <algorithm>

#include "runtime/allocator.h"

namespace flambeau::compiler {
namespace {

size_t rounded(size_t bytes) {
  return (std::max<size_t>(bytes, 1) + kAllocationAlignment - 1) / kAllocationAlignment *
         kAllocationAlignment;
}

}  // namespace

size_t Arena::take(size_t bytes) {
  bytes = rounded(bytes);
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it)
    if (it->second >= bytes && (best == free_.end() || it->second < best->second)) best = it;
  // The last room of the block can grow.
  if (best == free_.end() && !free_.empty()) {
    const auto last = std::prev(free_.end());
    if (last->first + last->second == size_) {
      size_ = last->first + bytes;
      last->second = bytes;
      best = last;
    }
  }
  if (best == free_.end()) {
    size_ += bytes;
    return size_ - bytes;
  }
  const size_t offset = best->first;
  const size_t rest = best->second - bytes;
  free_.erase(best);
  if (rest > 0) free_[offset + bytes] = rest;
  return offset;
}

void Arena::give(size_t offset, size_t bytes) {
  auto it = free_.emplace(offset, rounded(bytes)).first;
  if (const auto next = std::next(it);
      next != free_.end() && it->first + it->second == next->first) {
    it->second += next->second;
    free_.erase(next);
  }
  if (it == free_.begin()) return;
  const auto before = std::prev(it);
  if (before->first + before->second != it->first) return;
  before->second += it->second;
  free_.erase(it);
}

}  // namespace flambeau::compiler
