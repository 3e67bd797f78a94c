#pragma once
// The version of the library: one number, set in CMakeLists.txt, for C++, Python and the wheel.

#include <string_view>

namespace flambeau {

/// "major.minor.patch".
std::string_view version();

}  // namespace flambeau
