#pragma once
// The CPU's random generator: PyTorch's, word for word and state for state.
//
// The engine is mt19937 (Matsumoto and Nishimura, 1998). How words become numbers is in
// base/distributions.h; random numbers inside fused programs are Philox, keyed from here.

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/fork.h"
#include "base/random_source.h"

namespace flambeau {

/// Who draws from a generator (as a RandomSource) holds mutex() meanwhile, so that what one call
/// draws is one piece of the stream; the other members lock it themselves.
class Generator final : public RandomSource {
 public:
  static constexpr uint64_t kDefaultSeed = 67280421310721;
  /// Bytes of torch.get_rng_state().
  static constexpr size_t kStateBytes = 5056;

  explicit Generator(uint64_t seed = kDefaultSeed);

  void manual_seed(uint64_t seed);
  /// The seed given last.
  uint64_t initial_seed() const;
  /// Seeds from the system's entropy and returns that seed.
  uint64_t seed();

  /// The state in PyTorch's layout, and back. set_state throws RuntimeError for a state of another
  /// size or with values that no generator has, and then changes nothing.
  std::vector<std::byte> get_state() const;
  void set_state(std::span<const std::byte> bytes);

  ForkSafe<std::mutex>& mutex() const { return mutex_; }
  uint32_t random() override;
  uint64_t random64() override;
  std::optional<double>& next_normal() override { return next_normal_; }
  std::optional<float>& next_normal_float() override { return next_normal_float_; }

 private:
  static constexpr size_t kWords = 624;
  struct State;

  void seed_engine(uint64_t seed);
  void refill();

  mutable ForkSafe<std::mutex> mutex_;
  uint64_t seed_ = 0;
  int32_t left_ = 1;   // words until the next refill, plus one
  uint32_t next_ = 0;  // place of the word to be used next
  std::array<uint32_t, kWords> words_{};
  std::optional<double> next_normal_;
  std::optional<float> next_normal_float_;
};

/// The generator of CPU tensors that name no other.
Generator& default_generator();

/// A fresh key for Philox, drawn from `generator`.
uint64_t next_philox_key(Generator& generator = default_generator());

}  // namespace flambeau
