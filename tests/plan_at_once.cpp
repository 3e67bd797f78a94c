// Tests say what becomes of the first recording of a few small tensors, which is not planned for
// the sake of one run otherwise.

#include <cstdlib>

namespace {
[[maybe_unused]] const int kPlanned = setenv("FLAMBEAU_PLAN", "once", 0);
}  // namespace
