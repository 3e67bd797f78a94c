// Random tensor programs: planned, lowered and compiled they give the interpreter's bits, for any
// layout of arguments and results.

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "eager/executable.h"
#include "ir/interpreter.h"
#include "tests/eager/random_program.h"

namespace flambeau::test {
namespace {

ir::ArrayValue array_of(const Tensor& tensor) {
  ir::ArrayValue array(tensor.dtype(), tensor.sizes());
  const size_t size = size_of(tensor.dtype());
  const auto* data = static_cast<const std::byte*>(tensor.data_ptr());
  std::byte* next = array.data.data();
  ir::for_each_index(tensor.sizes(), [&](const Ints& index) {
    const int64_t offset = ir::offset_of(index, tensor.strides());
    std::memcpy(next, data + offset * static_cast<int64_t>(size), size);
    next += size;
  });
  return array;
}

bool same_element(DType dtype, ir::Container a, ir::Container b) {
  return a == b || (is_float(dtype) && std::isnan(ir::to_double(dtype, a)) &&
                    std::isnan(ir::to_double(dtype, b)));
}

std::string layout_text(const Tensor& tensor) {
  return concat(list_text(tensor.sizes()), " strides ", list_text(tensor.strides()));
}

std::string text_of(const RandomProgram& made) {
  std::string text = made.program.text();
  for (const Tensor& parameter : made.parameters) text += layout_text(parameter) + "\n";
  return text + "integers " + list_text(made.integers);
}

/// Complex elements as pairs of reals.
ir::ArrayValue as_reals(ir::ArrayValue array) {
  if (!is_complex(array.dtype)) return array;
  array.dtype = real_dtype(array.dtype);
  array.shape.push_back(2);
  return array;
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
  Results got;
  ASSERT_NO_THROW(got = run(*make_executable(made.program), made.parameters, made.numbers,
                            made.integers, outputs));
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const ir::ArrayValue have = as_reals(array_of(got[i]));
    const ir::ArrayValue right = as_reals(wanted[i]);
    ASSERT_EQ(have.dtype, right.dtype);
    ASSERT_EQ(have.shape, right.shape);
    for (int64_t at = 0; at < have.size(); ++at) {
      const ir::Container a = ir::element(have, at);
      const ir::Container b = ir::element(right, at);
      if (same_element(have.dtype, a, b)) continue;
      ADD_FAILURE() << "seed " << seed << " result " << i << " " << layout_text(got[i])
                    << " element " << at << ": got " << ir::to_double(have.dtype, a)
                    << ", expected " << ir::to_double(have.dtype, b);
      return;
    }
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
