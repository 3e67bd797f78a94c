#pragma once
// Memory for generated machine code.

#include <cstddef>
#include <span>

namespace flambeau {

/// Copies a position-independent image without external symbols into executable memory and returns
/// its address, aligned to 64 bytes; the 64 bytes before it can be read. No page is ever writable
/// and executable at once. Throws EnvironmentError if the system gives no executable memory.
const void* load_code(std::span<const std::byte> image);

/// Says that nobody runs this code, which load_code() gave, any more. Its memory goes back to the
/// system with the last of its neighbours'. The code of a fork is the fork's own.
void unload_code(const void* code);

}  // namespace flambeau
