#pragma once
// Where in one block of memory values lie that live at different times: best fit.

#include <cstddef>
#include <map>

namespace flambeau::compiler {

/// Sizes and offsets are in bytes; offsets are multiples of kAllocationAlignment.
class Arena {
 public:
  /// The offset of so much room, which nobody else has until it is given back.
  size_t take(size_t bytes);
  void give(size_t offset, size_t bytes);
  /// What the block has to have.
  size_t size() const { return size_; }

 private:
  std::map<size_t, size_t> free_;  // offset, size
  size_t size_ = 0;
};

}  // namespace flambeau::compiler
