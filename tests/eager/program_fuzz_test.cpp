// Random tensor programs: planned, lowered and compiled they give the interpreter's bits, for any
// layout of arguments and results.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "eager/executable.h"
#include "ir/interpreter.h"
#include "tests/eager/array_of.h"
#include "tests/eager/random_program.h"

namespace flambeau::test {
namespace {

using testing::array_of;

std::string layout_text(const Tensor& tensor) {
  return concat(list_text(tensor.sizes()), " strides ", list_text(tensor.strides()));
}

std::string text_of(const RandomProgram& made) {
  std::string text = made.program.text();
  for (const Tensor& parameter : made.parameters) text += layout_text(parameter) + "\n";
  return text + "integers " + list_text(made.integers);
}

/// The same tensor in other memory.
Tensor moved(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  const size_t bytes = tensor->storage->bytes();
  auto storage = make_ref<Storage>(bytes);
  if (bytes > 0) std::memcpy(storage->data(), tensor->storage->data(), bytes);
  return Tensor(make_ref<TensorImpl>(std::move(storage), tensor.info(), tensor->offset));
}

void check_random_program(uint64_t seed) {
  RandomProgramMaker maker(seed);
  const RandomProgram made = maker.make();
  ir::verify(made.program);
  std::vector<ir::ArrayValue> arrays;
  for (const Tensor& parameter : made.parameters) arrays.push_back(array_of(parameter));
  const std::vector<ir::ArrayValue> wanted =
      ir::interpret(made.program, arrays, made.numbers, made.integers);
  std::vector<Tensor> outputs(wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i)
    if ((seed + i) % 3 == 0) outputs[i] = maker.any_layout(wanted[i].shape, wanted[i].dtype, true);
  SCOPED_TRACE(text_of(made));
  std::vector<Tensor> parameters = made.parameters;
  // The second run repeats what the first found out, on other memory.
  for (const char* time : {"first run", "second run"}) {
    Results got;
    ASSERT_NO_THROW(got = run(*make_executable(made.program), parameters, made.numbers,
                              made.integers, outputs));
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      const std::string different = testing::difference(array_of(got[i]), wanted[i]);
      if (different.empty()) continue;
      ADD_FAILURE() << "seed " << seed << ", " << time << ", result " << i << " "
                    << layout_text(got[i]) << ": " << different;
      return;
    }
    for (Tensor& parameter : parameters) parameter = moved(parameter);
    for (Tensor& output : outputs) output = moved(output);
  }
}

TEST(ProgramFuzz, PlansEqualTheInterpreter) {
  const char* more = std::getenv("PROGRAM_FUZZ_RUNS");
  const char* begin = std::getenv("PROGRAM_FUZZ_SEED");
  const uint64_t runs = more != nullptr ? std::strtoull(more, nullptr, 10) : 100;
  const uint64_t first = begin != nullptr ? std::strtoull(begin, nullptr, 10) : 1;
  for (uint64_t i = 0; i < runs && !HasFailure(); ++i) {
    SCOPED_TRACE(concat("seed ", first + i));
    check_random_program(first + i);
  }
}

}  // namespace
}  // namespace flambeau::test
