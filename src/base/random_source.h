#pragma once
// Where random words come from: what distributions draw from (base/distributions.h).

#include <cstdint>
#include <optional>

namespace flambeau {

class RandomSource {
 public:
  virtual ~RandomSource() = default;
  /// The next 32 bits of the stream.
  virtual uint32_t random() = 0;
  /// The next two words, the first one high.
  virtual uint64_t random64() = 0;
  /// The second value of the last pair that Box-Muller gave and nobody has used.
  virtual std::optional<double>& next_normal() = 0;
  /// The same in float. PyTorch's CPU code never sets it, but its states carry it.
  virtual std::optional<float>& next_normal_float() = 0;
};

}  // namespace flambeau
