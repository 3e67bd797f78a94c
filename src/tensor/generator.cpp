#include "tensor/generator.h"

#include <cstring>
#include <random>

#include "base/error.h"

namespace flambeau {

/// PyTorch's layout of a state; the fields about normal numbers are partly of older versions.
struct Generator::State {
  uint64_t seed;
  int32_t left;
  int32_t seeded;
  uint64_t next;
  uint64_t words[kWords];
  double normal_x;
  double normal_y;
  double normal_rho;
  int32_t normal_is_valid;
  int32_t padding;
  float next_float;
  int32_t next_float_is_valid;
};

Generator::Generator(uint64_t seed) { seed_engine(seed); }

void Generator::seed_engine(uint64_t seed) {
  seed_ = seed;
  words_[0] = static_cast<uint32_t>(seed);
  for (uint32_t i = 1; i < kWords; ++i)
    words_[i] = 1812433253U * (words_[i - 1] ^ (words_[i - 1] >> 30)) + i;
  left_ = 1;
  next_ = 0;
  next_normal_.reset();
  next_normal_float_.reset();
}

void Generator::manual_seed(uint64_t seed) {
  const std::lock_guard lock(mutex_);
  seed_engine(seed);
}

uint64_t Generator::initial_seed() const {
  const std::lock_guard lock(mutex_);
  return seed_;
}

uint64_t Generator::seed() {
  std::random_device entropy;
  // 53 bits, so that the seed survives as a double.
  const uint64_t seed = ((uint64_t{entropy()} << 32) | entropy()) & ((uint64_t{1} << 53) - 1);
  manual_seed(seed);
  return seed;
}

void Generator::refill() {
  constexpr size_t kShift = 397;
  const auto twist = [](uint32_t u, uint32_t v) {
    const uint32_t mixed = (u & 0x80000000U) | (v & 0x7fffffffU);
    return (mixed >> 1) ^ ((v & 1U) != 0 ? 0x9908b0dfU : 0U);
  };
  for (size_t i = 0; i < kWords - kShift; ++i)
    words_[i] = words_[i + kShift] ^ twist(words_[i], words_[i + 1]);
  for (size_t i = kWords - kShift; i < kWords - 1; ++i)
    words_[i] = words_[i + kShift - kWords] ^ twist(words_[i], words_[i + 1]);
  words_[kWords - 1] = words_[kShift - 1] ^ twist(words_[kWords - 1], words_[0]);
  left_ = static_cast<int32_t>(kWords);
  next_ = 0;
}

uint32_t Generator::random() {
  if (--left_ == 0) refill();
  uint32_t y = words_[next_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680U;
  y ^= (y << 15) & 0xefc60000U;
  return y ^ (y >> 18);
}

uint64_t Generator::random64() {
  const uint64_t high = random();
  return (high << 32) | random();
}

std::vector<std::byte> Generator::get_state() const {
  static_assert(sizeof(State) == kStateBytes);
  const std::lock_guard lock(mutex_);
  State state{};
  state.seed = seed_;
  state.left = left_;
  state.seeded = 1;
  state.next = next_;
  for (size_t i = 0; i < kWords; ++i) state.words[i] = words_[i];
  state.normal_y = next_normal_.value_or(0);
  state.normal_is_valid = next_normal_.has_value() ? 1 : 0;
  state.next_float = next_normal_float_.value_or(0);
  state.next_float_is_valid = next_normal_float_.has_value() ? 1 : 0;
  std::vector<std::byte> bytes(sizeof state);
  std::memcpy(bytes.data(), &state, sizeof state);
  return bytes;
}

void Generator::set_state(std::span<const std::byte> bytes) {
  check(bytes.size() == kStateBytes, [&] {
    return concat("set_state: the state has ", bytes.size(), " bytes, expected ", kStateBytes);
  });
  State state;
  std::memcpy(&state, bytes.data(), sizeof state);
  constexpr auto kLast = static_cast<int32_t>(kWords);
  // `next` and `left` count the same words from both ends, but before the first refill.
  const bool fresh = state.left == 1;
  const bool possible =
      state.seeded == 1 && state.left >= 1 && state.left <= kLast &&
      (fresh ? state.next <= kWords : state.next + static_cast<uint64_t>(state.left) == kWords + 1);
  check(possible, [&] {
    return concat("set_state: not the state of a generator (seeded ", state.seeded, ", left ",
                  state.left, ", next ", state.next, ")");
  });
  const std::lock_guard lock(mutex_);
  seed_ = state.seed;
  left_ = state.left;
  next_ = static_cast<uint32_t>(state.next);
  for (size_t i = 0; i < kWords; ++i) words_[i] = static_cast<uint32_t>(state.words[i]);
  next_normal_.reset();
  if (state.normal_is_valid != 0) next_normal_ = state.normal_y;
  next_normal_float_.reset();
  if ((state.next_float_is_valid & 0xff) != 0) next_normal_float_ = state.next_float;
}

Generator& default_generator() {
  // Never destroyed: random numbers may be drawn while the process exits.
  static Generator* const generator = new Generator;
  return *generator;
}

uint64_t next_philox_key(Generator& generator) {
  const std::lock_guard lock(generator.mutex());
  return generator.random64();
}

}  // namespace flambeau
