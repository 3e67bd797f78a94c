#pragma once
// What the tests of contractions share: operands in guarded memory, the definition spelled out, and
// kernels compiled without a cache.

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "base/cpu_features.h"
#include "codegen/contraction.h"
#include "ir/interpreter.h"
#include "runtime/code_memory.h"
#include "runtime/cpu/contraction_driver.h"
#include "runtime/thread_pool.h"

namespace flambeau::testing {

/// Compiles every part once per process and instruction set.
class DirectLoader : public ContractionLoader {
 public:
  explicit DirectLoader(Isa isa) : isa_(isa) {}
  const CodeEntry* load(const codegen::MicroKernelPart& part) override { return find(part); }
  const CodeEntry* load(const codegen::PackPart& part) override { return find(part); }
  ir::KernelFunction load(const ir::LoopProgram& epilogue) override {
    return reinterpret_cast<ir::KernelFunction>(find(epilogue)[0]);
  }

 private:
  template <class Part>
  const CodeEntry* find(const Part& part) {
    static std::map<std::pair<Isa, std::string>, std::vector<CodeEntry>> tables;
    auto& entries = tables[{isa_, part.hash().text()}];
    if (entries.empty()) {
      const codegen::KernelImage image = codegen::compile(part, isa_);
      const auto base = reinterpret_cast<uintptr_t>(load_code(image.code));
      for (const uint32_t entry : image.entries)
        entries.push_back(reinterpret_cast<CodeEntry>(base + entry));
    }
    return entries.data();
  }
  Isa isa_;
};

/// The levels that this CPU can run.
inline std::vector<Isa> isas() {
  std::vector<Isa> out;
  for (const Isa isa : kAllIsas)
    if (isa <= cpu_features().isa) out.push_back(isa);
  return out;
}

inline ContractionKernel make_kernel(const ir::Contraction& contraction, Isa isa) {
  return {contraction, isa, std::make_unique<DirectLoader>(isa)};
}

/// `bytes` that end (or, with `at_start`, begin) at a page that cannot be touched.
class GuardedMemory {
 public:
  GuardedMemory(size_t bytes, bool at_start) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (bytes + page - 1) / page * page;
    size_ = inner + 2 * page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    mprotect(base_, page, PROT_NONE);
    mprotect(base_ + page + inner, page, PROT_NONE);
    data_ = base_ + page + (at_start ? 0 : inner - bytes);
  }
  ~GuardedMemory() { munmap(base_, size_); }
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  void* data() const { return data_; }

 private:
  std::byte* base_;
  std::byte* data_;
  size_t size_;
};

/// The layout of a matrix [batch, rows, columns].
enum class Layout {
  RowMajor,
  ColumnMajor,
  Padded,     ///< rows longer than the columns
  Strided,    ///< neither stride is 1
  Broadcast,  ///< row-major, one for all batches
};

struct Geometry {
  int64_t batch, rows, columns;
  int64_t batch_stride = 0, row_stride = 0, column_stride = 0;

  Geometry(Layout layout, int64_t batch_, int64_t rows_, int64_t columns_)
      : batch(batch_), rows(rows_), columns(columns_) {
    column_stride = layout == Layout::ColumnMajor ? rows : layout == Layout::Strided ? 3 : 1;
    row_stride = layout == Layout::ColumnMajor ? 1
                 : layout == Layout::Padded    ? columns + 5
                 : layout == Layout::Strided   ? 3 * columns + 2
                                               : columns;
    batch_stride = layout == Layout::Broadcast ? 0 : span() + 1;
  }
  /// Elements of one batch from its first to its last.
  int64_t span() const { return (rows - 1) * row_stride + (columns - 1) * column_stride + 1; }
  int64_t elements() const { return (batch - 1) * batch_stride + span(); }
  int64_t at(int64_t b, int64_t i, int64_t j) const {
    return b * batch_stride + i * row_stride + j * column_stride;
  }
};

/// ContractionArguments with their memory.
struct PlacedArguments {
  struct Matrix {
    void* data = nullptr;
    Ints batch_strides;
    int64_t row_stride = 0;
    int64_t column_stride = 0;
    ContractionArguments::Digits row_digits = {};
    ContractionArguments::Digits column_digits = {};
    ContractionArguments::Matrix geometry() const {
      return {batch_strides, row_stride, column_stride, row_digits, column_digits};
    }
  };
  struct Operand {
    void* data;
    Ints batch_strides;
  };
  Matrix a, b, out;
  Ints batch;
  int64_t m = 0, n = 0, k = 0;
  SmallVector<Operand, 3> operands;
  const int64_t* ints = nullptr;
};
inline void run_contraction(const ContractionKernel& kernel, const PlacedArguments& given) {
  ContractionArguments arguments{given.a.geometry(),
                                 given.b.geometry(),
                                 given.out.geometry(),
                                 given.batch,
                                 given.m,
                                 given.n,
                                 given.k,
                                 {}};
  std::vector<void*> operands;
  for (const PlacedArguments::Operand& operand : given.operands) {
    arguments.operands.push_back(operand.batch_strides);
    operands.push_back(operand.data);
  }
  const auto geometry = geometry_of(kernel, arguments);
  ContractionMemory memory{given.a.data, given.b.data, given.out.data, operands, given.ints};
  // Some runs get the memory that they need beside it, for at least one of the pool's workers.
  static int runs = 0;
  const ContractionWorkspace needed = workspace_of(*geometry);
  const int workers = ++runs % 3 == 0 ? 0 : runs % 3 == 1 ? 1 : get_num_threads();
  std::optional<GuardedMemory> workspace;
  if (workers > 0) {
    workspace.emplace(static_cast<size_t>(needed.shared + workers * needed.local), false);
    memory.workspace = static_cast<char*>(workspace->data());
    memory.workers = workers;
  }
  flambeau::run_contraction(*geometry, memory);
}

/// A matrix in guarded memory.
template <class T>
class Matrix {
 public:
  Matrix(Geometry geometry_, bool at_start = false)
      : geometry(geometry_),
        memory_(static_cast<size_t>(geometry_.elements()) * sizeof(T), at_start) {}
  T* data() const { return static_cast<T*>(memory_.data()); }
  T& operator()(int64_t b, int64_t i, int64_t j) const { return data()[geometry.at(b, i, j)]; }
  PlacedArguments::Matrix argument() const {
    return {data(), {geometry.batch_stride}, geometry.row_stride, geometry.column_stride};
  }
  template <class Random>
  void fill(Random&& random) {
    for (int64_t i = 0; i < geometry.elements(); ++i) data()[i] = static_cast<T>(random());
  }
  Geometry geometry;

 private:
  GuardedMemory memory_;
};

/// The definition, for one element: `a` and `b` give the operands' elements as A, the dtype of the
/// accumulator.
template <class A, class GetA, class GetB>
A contract_element(int64_t k, GetA a, GetB b) {
  A sum{};
  for (int64_t first = 0; first < k; first += ir::kContractBlock) {
    A chain{};
    for (int64_t i = first; i < std::min(k, first + ir::kContractBlock); ++i) {
      if constexpr (std::is_floating_point_v<A>) {
        chain = std::fma(a(i), b(i), chain);
      } else {
        using U = std::make_unsigned_t<A>;
        chain = static_cast<A>(static_cast<U>(chain) + static_cast<U>(a(i)) * static_cast<U>(b(i)));
      }
    }
    if constexpr (std::is_floating_point_v<A>)
      sum = first == 0 ? chain : sum + chain;
    else
      sum = static_cast<A>(static_cast<std::make_unsigned_t<A>>(sum) +
                           static_cast<std::make_unsigned_t<A>>(chain));
  }
  return sum;
}

}  // namespace flambeau::testing
