#include "base/intrusive.h"

namespace flambeau {

WrapperHooks wrapper_hooks;

}  // namespace flambeau
