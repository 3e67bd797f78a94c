#include "base/error.h"

namespace flambeau {

InternalError::InternalError(const std::string& what)
    : Error("internal error: " + what +
            " (this is a bug in Flambeau; please report it with the program that shows it)") {}

}  // namespace flambeau
