#include "base/cpu_features.h"

#include <cpuid.h>
#include <unistd.h>

#include <cstring>

#include "base/error.h"
#include "base/settings.h"

namespace flambeau {
namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool bit(uint32_t word, int index) { return ((word >> index) & 1U) != 0; }

/// Registers that the operating system saves at a context switch.
uint64_t saved_state() {
  if (!bit(cpuid(1).ecx, 27)) return 0;  // OSXSAVE
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

std::string model_name() {
  if (cpuid(0x80000000).eax < 0x80000004) return "x86-64";
  std::string name;
  for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    const Registers r = cpuid(leaf);
    char text[sizeof r];
    std::memcpy(text, &r, sizeof r);
    name.append(text, strnlen(text, sizeof r));
  }
  const size_t begin = name.find_first_not_of(' ');
  const size_t end = name.find_last_not_of(' ');
  return begin == std::string::npos ? "x86-64" : name.substr(begin, end - begin + 1);
}

size_t cache_bytes(int name, size_t otherwise) {
  const long bytes = sysconf(name);
  return bytes > 0 ? static_cast<size_t>(bytes) : otherwise;
}

CpuFeatures detect() {
  constexpr uint64_t kYmmState = 0x6;
  constexpr uint64_t kZmmState = 0xe6;
  const Registers one = cpuid(1);
  const Registers seven = cpuid(7);
  const Registers seven_one = seven.eax >= 1 ? cpuid(7, 1) : Registers{};
  const uint64_t saved = saved_state();
  const bool avx2 = bit(one.ecx, 28) && bit(one.ecx, 12) && bit(one.ecx, 29) &&  // AVX FMA F16C
                    bit(seven.ebx, 5) && bit(seven.ebx, 8) &&                    // AVX2 BMI2
                    (saved & kYmmState) == kYmmState;
  CpuFeatures features;
  features.model = model_name();
  check<EnvironmentError>(avx2, [&] {
    return concat("cpu: this processor (", features.model,
                  ") lacks AVX2, FMA, F16C or BMI2, which Flambeau needs");
  });
  const bool avx512 = bit(seven.ebx, 16) && bit(seven.ebx, 30) &&  // F BW
                      bit(seven.ebx, 17) && bit(seven.ebx, 31) &&  // DQ VL
                      (saved & kZmmState) == kZmmState;
  const bool bf16 = avx512 && bit(seven_one.eax, 5);
  features.isa = bf16 ? Isa::Avx512Bf16 : avx512 ? Isa::Avx512 : Isa::Avx2;
  features.avx512_fp16 = avx512 && bit(seven.edx, 23);
  features.l1_data_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
  features.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 256 << 10);
  features.l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 0);
  return features;
}

Isa chosen_isa() {
  const Isa best = cpu_features().isa;
  const std::string name = setting("FLAMBEAU_ISA");
  if (name.empty()) return best;
  for (const Isa isa : kAllIsas) {
    if (name != isa_name(isa)) continue;
    check<ValueError>(isa <= best, [&] {
      return concat("settings: FLAMBEAU_ISA is '", name, "', but this processor (",
                    cpu_features().model, ") has no more than '", isa_name(best), "'");
    });
    return isa;
  }
  throw ValueError(
      concat("settings: FLAMBEAU_ISA is '", name, "', expected 'avx2', 'avx512' or 'avx512_bf16'"));
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::Avx2:
      return "avx2";
    case Isa::Avx512:
      return "avx512";
    default:
      return "avx512_bf16";
  }
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

Isa active_isa() {
  static const Isa isa = chosen_isa();
  return isa;
}

}  // namespace flambeau
