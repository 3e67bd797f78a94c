#pragma once
// What this machine's CPU can do, as far as generated code depends on it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace flambeau {

/// Instruction sets that kernels are generated for, in ascending order.
enum class Isa : uint8_t {
  Avx2,        ///< AVX2, FMA, F16C, BMI2
  Avx512,      ///< these and AVX-512 F, BW, DQ, VL
  Avx512Bf16,  ///< these and AVX512-BF16: conversions to bfloat16, dot products of its pairs
};

inline constexpr Isa kAllIsas[] = {Isa::Avx2, Isa::Avx512, Isa::Avx512Bf16};

/// Whether products of bfloat16 values are summed in pairs: ir/order.h says how. No other bit
/// differs between levels.
constexpr bool has_pair_products(Isa isa) { return isa >= Isa::Avx512Bf16; }
/// The level that serves code without a use for bfloat16 instructions.
constexpr Isa without_bfloat16(Isa isa) { return isa < Isa::Avx512 ? isa : Isa::Avx512; }

/// "avx2", "avx512" or "avx512_bf16".
std::string_view isa_name(Isa isa);

struct CpuFeatures {
  Isa isa = Isa::Avx2;       ///< the best that CPU and operating system offer
  bool avx512_fp16 = false;  ///< arithmetic on float16
  size_t l1_data_bytes = 0;  ///< of one core
  size_t l2_bytes = 0;       ///< of one core
  size_t l3_bytes = 0;       ///< shared; 0 if there is none
  std::string model;         ///< "Intel(R) Xeon(R) Processor"
};

/// This machine's CPU, found once. Throws EnvironmentError on one without AVX2, FMA, F16C and BMI2.
const CpuFeatures& cpu_features();

/// The instruction set for generated kernels: FLAMBEAU_ISA, else the best. Throws ValueError for an
/// unknown name, and for one that this CPU cannot run. Read once per process.
Isa active_isa();

}  // namespace flambeau
