#pragma once

namespace flambeau::bind {

/// Lets Python's operators on tensors call the methods of the class ("__add__") without the look-up
/// and the argument tuple of a generic slot. Needs the methods; later changes of them, and
/// subclasses, take Python's own way.
void install_operators();

}  // namespace flambeau::bind
