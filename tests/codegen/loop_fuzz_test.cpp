// Random loop programs: the compiled kernel writes what the interpreter writes, to the bit, and
// touches nothing outside its buffers.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "ir/core_function.h"
#include "tests/codegen/random_kernel.h"

namespace flambeau::test {
namespace {

void fill(DType dtype, int64_t limit, GuardedBuffer& buffer, std::mt19937_64& random) {
  const size_t size = size_of(dtype);
  std::normal_distribution<double> normal(0, 3);
  for (size_t i = 0; i < buffer.size() / size; ++i) {
    ir::Container value = 0;
    if (limit > 0)
      value = random() % static_cast<uint64_t>(limit);
    else if (is_bool(dtype))
      value = random() & 1;
    else if (!is_float(dtype))
      value = ir::container_of_bits(dtype, random() % 3 == 0 ? random() : random() % 16);
    else if (random() % 50 == 0)
      value = ir::container_of(
          dtype, std::array{0.0, -0.0, HUGE_VAL, -HUGE_VAL, std::nan(""), 1e-40}[random() % 6]);
    else
      value = ir::container_of(dtype, normal(random));
    ir::store_element(dtype, buffer.data() + i * size, value);
  }
}

bool same_element(DType dtype, const std::byte* a, const std::byte* b) {
  if (std::memcmp(a, b, size_of(dtype)) == 0) return true;
  return is_float(dtype) && std::isnan(ir::to_double(dtype, ir::load_element(dtype, a))) &&
         std::isnan(ir::to_double(dtype, ir::load_element(dtype, b)));
}

/// Runs one random program on every level; in how many pieces is random too.
void check_random_kernel(KernelShape shape, uint64_t seed) {
  const RandomKernel kernel = RandomKernelMaker(seed).make(shape);
  ir::verify(kernel.program);
  std::mt19937_64 random(seed);
  std::vector<GuardedBuffer> initial, expected;
  std::vector<void*> pointers;
  for (size_t i = 0; i < kernel.elements.size(); ++i) {
    const DType dtype = kernel.program.buffers[i].dtype;
    const size_t bytes = static_cast<size_t>(kernel.elements[i]) * size_of(dtype);
    initial.emplace_back(bytes);
    fill(dtype, kernel.index_limit[i], initial.back(), random);
    expected.emplace_back(bytes);
    std::memcpy(expected.back().data(), initial.back().data(), bytes);
    pointers.push_back(expected.back().data());
  }
  ir::interpret(kernel.program, pointers.data(), kernel.ints.data(), 0, kernel.outer, 0,
                kernel.inner);

  for (const Isa isa : runnable_isas()) {
    const auto function = load_kernel(codegen::compile(kernel.program, isa));
    std::vector<GuardedBuffer> got;
    for (size_t i = 0; i < initial.size(); ++i) {
      got.emplace_back(initial[i].size());
      std::memcpy(got.back().data(), initial[i].data(), initial[i].size());
      pointers[i] = got.back().data();
    }
    const int64_t outer_cut =
        static_cast<int64_t>(random() % static_cast<uint64_t>(kernel.outer + 1));
    const int64_t inner_cut =
        static_cast<int64_t>(random() % static_cast<uint64_t>(kernel.inner + 1));
    const bool has_inner = shape == KernelShape::Pointwise || shape == KernelShape::Transposed ||
                           shape == KernelShape::Column;
    for (const auto& [begin1, end1] :
         {std::pair{int64_t{0}, outer_cut}, {outer_cut, kernel.outer}}) {
      function(pointers.data(), kernel.ints.data(), begin1, end1, 0, has_inner ? inner_cut : 0);
      if (has_inner)
        function(pointers.data(), kernel.ints.data(), begin1, end1, inner_cut, kernel.inner);
    }
    for (size_t i = 0; i < got.size(); ++i) {
      const DType dtype = kernel.program.buffers[i].dtype;
      for (size_t at = 0; at < got[i].size(); at += size_of(dtype)) {
        if (same_element(dtype, got[i].data() + at, expected[i].data() + at)) continue;
        ADD_FAILURE() << isa_name(isa) << " seed " << seed << " buffer " << i << " element "
                      << at / size_of(dtype) << " of " << kernel.elements[i] << ": got " << std::hex
                      << ir::load_element(dtype, got[i].data() + at) << ", expected "
                      << ir::load_element(dtype, expected[i].data() + at) << std::dec << " ints "
                      << list_text(kernel.ints) << "\n"
                      << kernel.program.text();
        return;
      }
    }
  }
}

class LoopFuzz : public testing::TestWithParam<KernelShape> {};

TEST_P(LoopFuzz, KernelsEqualTheInterpreter) {
  const char* more = std::getenv("LOOP_FUZZ_RUNS");
  const uint64_t runs = more != nullptr ? std::strtoull(more, nullptr, 10) : 16;
  const uint64_t first = 1000003ULL * (static_cast<uint64_t>(GetParam()) + 1);
  for (uint64_t i = 0; i < runs && !HasFailure(); ++i) check_random_kernel(GetParam(), first + i);
}

std::string shape_name(const testing::TestParamInfo<KernelShape>& info) {
  static constexpr const char* kNames[] = {"Pointwise", "Transposed", "ShortRows", "Row",
                                           "LongRow",   "Column",     "Nested",    "Tree"};
  return kNames[static_cast<size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(Shapes, LoopFuzz,
                         testing::Values(KernelShape::Pointwise, KernelShape::Transposed,
                                         KernelShape::ShortRows, KernelShape::Row,
                                         KernelShape::LongRow, KernelShape::Column,
                                         KernelShape::Nested, KernelShape::Tree),
                         shape_name);

}  // namespace
}  // namespace flambeau::test
