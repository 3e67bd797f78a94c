#pragma once
// Errors, in three kinds: the user's (PyTorch's exception types), the environment's, and ours.
//
// A message starts with the operation's name, then says what was seen and what was wanted:
//   "softmax: dim 3 is out of range for a tensor of 2 dimensions (expected -2 to 1)".
// The text is built only on failure: `check(condition, [&] { return concat(...); })`.

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace flambeau {

/// Base of every exception that Flambeau throws on purpose.
class Error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The user's errors; each becomes the Python exception of the same name.
class ValueError : public Error {
  using Error::Error;
};
class TypeError : public Error {
  using Error::Error;
};
class IndexError : public Error {
  using Error::Error;
};
class RuntimeError : public Error {
  using Error::Error;
};
class NotImplementedError : public Error {
  using Error::Error;
};
/// The environment's: a file, a device, the network. Becomes Python's OSError.
class EnvironmentError : public Error {
  using Error::Error;
};
/// Ours: a broken invariant. Asks for a report.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& what);
};

/// The parts, streamed one after the other into a string.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws `E` with the text that `message()` gives unless `condition` holds.
template <class E = RuntimeError, class Message>
inline void check(bool condition, Message&& message) {
  if (!condition) [[unlikely]]
    throw E(message());
}

/// For invariants that no input can break.
inline void require(bool condition, const char* what) {
  if (!condition) [[unlikely]]
    throw InternalError(what);
}

/// "[2, 3, 4]" of any range of printable values.
template <class Range>
std::string list_text(const Range& range) {
  std::ostringstream out;
  out << '[';
  const char* separator = "";
  for (const auto& item : range) {
    out << separator << item;
    separator = ", ";
  }
  out << ']';
  return out.str();
}

}  // namespace flambeau
