#include "base/version.h"

namespace flambeau {

std::string_view version() { return FLAMBEAU_VERSION; }

}  // namespace flambeau
