#pragma once
// Memory for generated machine code.

#include <cstddef>
#include <span>

namespace flambeau {

/// Copies a position-independent image without external symbols into executable memory and returns
/// its address, aligned to 64 bytes; the 64 bytes before it can be read. The code stays for the
/// life of the process (and of its forks). No page is ever writable and executable at once. Throws
/// EnvironmentError if the system gives no executable memory.
const void* load_code(std::span<const std::byte> image);

}  // namespace flambeau
