#include "base/cpu_features.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "base/error.h"

namespace flambeau {
namespace {

/// The flags that the kernel lists for the first core.
std::set<std::string> kernel_flags() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("flags", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    std::set<std::string> flags;
    for (std::string word; words >> word;) flags.insert(word);
    return flags;
  }
  return {};
}

TEST(CpuFeatures, AgreeWithTheKernel) {
  const std::set<std::string> flags = kernel_flags();
  ASSERT_FALSE(flags.empty());
  const CpuFeatures& cpu = cpu_features();
  const bool avx512 = flags.count("avx512f") && flags.count("avx512bw") &&
                      flags.count("avx512dq") && flags.count("avx512vl");
  EXPECT_EQ(cpu.isa >= Isa::Avx512, avx512);
  EXPECT_EQ(cpu.isa >= Isa::Avx512Bf16, avx512 && flags.count("avx512_bf16"));
  EXPECT_EQ(cpu.avx512_fp16, avx512 && flags.count("avx512_fp16"));
  EXPECT_FALSE(cpu.model.empty());
  EXPECT_GE(cpu.l1_data_bytes, size_t{16} << 10);
  EXPECT_GE(cpu.l2_bytes, cpu.l1_data_bytes);
}

TEST(CpuFeatures, NamesAreThoseOfTheSetting) {
  EXPECT_EQ(isa_name(Isa::Avx2), "avx2");
  EXPECT_EQ(isa_name(Isa::Avx512), "avx512");
  EXPECT_EQ(isa_name(Isa::Avx512Bf16), "avx512_bf16");
}

TEST(CpuFeaturesDeathTest, TheSettingForcesAnInstructionSet) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto isa_is = [](const char* name, Isa isa) {
    setenv("FLAMBEAU_ISA", name, 1);
    _exit(active_isa() == isa ? 0 : 1);
  };
  EXPECT_EXIT(isa_is("avx2", Isa::Avx2), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(isa_is("", cpu_features().isa), testing::ExitedWithCode(0), "");
  const auto error_of = [](const char* name) {
    setenv("FLAMBEAU_ISA", name, 1);
    try {
      active_isa();
    } catch (const ValueError& error) {
      fprintf(stderr, "%s\n", error.what());
      _exit(1);
    }
    _exit(0);
  };
  EXPECT_EXIT(error_of("sse2"), testing::ExitedWithCode(1),
              "FLAMBEAU_ISA is 'sse2', expected 'avx2', 'avx512' or 'avx512_bf16'");
  for (const Isa isa : kAllIsas) {
    const bool has = isa <= cpu_features().isa;
    EXPECT_EXIT(error_of(std::string(isa_name(isa)).c_str()), testing::ExitedWithCode(has ? 0 : 1),
                has ? std::string() : concat("has no more than '", isa_name(cpu_features().isa)));
  }
}

}  // namespace
}  // namespace flambeau
