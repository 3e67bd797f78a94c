#pragma once
// A window of a value's memory as index maps on the value: what a run reads that takes a slice, a
// head or the transposed form of what an earlier run made.

#include <optional>

#include "base/hash.h"
#include "compile/recording.h"

namespace flambeau::compiler {

/// The value's axes are split into digits, outermost first; each axis of the view walks over one of
/// them, and the others stand still.
struct ViewForm {
  struct Digit {
    int64_t extent;
    int64_t start;   ///< what the view takes of it ...
    int64_t length;  ///< ... 1 if it stands still
    int32_t axis;    ///< of the value
    bool is_walked;
    bool is_cut() const { return start != 0 || length != extent; }
  };
  SmallVector<Digit, 6> digits;  ///< those of one axis in a row, axes ascending; none of extents 1
  /// Per axis of the view: its digit; -1: one element, or the same one again and again.
  SmallVector<int32_t, 6> digit_of;

  /// True if all but the numbers is equal: the same index maps under other symbols.
  bool is_like(const ViewForm& other) const;
  void hash_into(Hasher& hasher) const;
};

/// True if several elements may be at one place: what is written there is not what is read again.
bool overlaps_itself(const TensorInfo& info);

/// Nullopt where `view` is no such view of `base`, a window of the same storage.
std::optional<ViewForm> view_form(const Window& base, const Window& view);

}  // namespace flambeau::compiler
