#pragma once
// Reads pickles as data: the instructions of a pickle become steps that say what is made of what.
// No step is carried out here, and no name in a pickle has a meaning here.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flambeau::io {

enum class StepKind : uint8_t {
  None,
  False,
  True,
  Int,
  LongInt,  ///< `text` holds a little-endian two's complement integer
  Float,
  Text,  ///< UTF-8, not checked
  Bytes,
  Tuple,       ///< of the operands
  List,        ///< empty
  Dict,        ///< empty
  Set,         ///< empty
  FrozenSet,   ///< of the operands
  Global,      ///< `text` is a module, `name` a name in it
  Persistent,  ///< what the operand identifies
  Call,        ///< operand 0 called with the tuple operand 1
  New,         ///< a new object of the class operand 0, from the tuple operand 1
  // These change the value of operand 0 and make none.
  Append,    ///< adds the other operands to a list
  SetItems,  ///< sets key, value, key, value, ...
  AddItems,  ///< adds the other operands to a set
  SetState,  ///< gives an object its state, operand 1
};

struct Step {
  StepKind kind = StepKind::None;
  uint32_t first_operand = 0;
  uint32_t operand_count = 0;
  int64_t integer = 0;
  double number = 0;
  std::string_view text = {};  ///< in the bytes that were read
  std::string_view name = {};
};

/// A value is the number of the step that made it. Operands were made before they are used.
struct Pickle {
  std::vector<Step> steps = {};
  std::vector<uint32_t> operands = {};
  uint32_t result = 0;
  size_t end = 0;  ///< bytes that were read

  std::span<const uint32_t> operands_of(const Step& step) const {
    return std::span(operands).subspan(step.first_operand, step.operand_count);
  }
};

/// The pickle that `bytes` begin with, of protocols 2 to 5. What it takes in memory is in
/// proportion to the bytes that are read. ValueError that begins with `source` for an instruction
/// that checkpoints do not use, by its name, and for one that does not fit what was read before.
Pickle parse_pickle(std::span<const std::byte> bytes, const std::string& source);

}  // namespace flambeau::io
