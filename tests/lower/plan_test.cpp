// Programs as text, their plans and kernels as text.

#include "lower/plan.h"
#include "lower/overwrite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace flambeau::testing {
namespace {

using lower::KernelKind;
using lower::KernelStep;
using lower::KernelTemplate;
using lower::LayoutClass;
using lower::Plan;
using lower::StrideClass;

std::string plan_of(std::string_view program) {
  return text_of(lower::make_plan(ir::parse_program(program)));
}

/// The loop program of the plan's kernel number `step`, every access of the same stride classes.
std::string kernel_of(std::string_view program, size_t step, KernelKind kind, StrideClass inner,
                      StrideClass reduced, uint8_t reduced_extent = 0) {
  const Plan plan = lower::make_plan(ir::parse_program(program));
  const KernelTemplate& kernel = *std::get<KernelStep>(plan.steps.at(step)).kernel;
  LayoutClass layout;
  layout.kind = kind;
  layout.reduced_extent = reduced_extent;
  layout.reduced_levels = kernel.has_reduced() ? 1 : 0;
  for (size_t a = 0; a < kernel.accesses.size(); ++a) {
    layout.inner.push_back(inner);
    layout.reduced.push_back(reduced);
  }
  const lower::SpecialisedKernel special = lower::specialise(kernel, layout);
  ir::verify(special.program);
  return special.program.text();
}

constexpr const char* kSoftmax = R"(program(p0: f32[s0.0, s0.1]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = reduce_max %0 {axes=[1]} : f32[s0.0]
  %2 = broadcast %1 {axes=[0], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]
  %3 = sub %0, %2 : f32[s0.0, s0.1]
  %4 = exp %3 : f32[s0.0, s0.1]
  %5 = reduce_sum %4 {axes=[1]} : f32[s0.0]
  %6 = broadcast %5 {axes=[0], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]
  %7 = div %4, %6 : f32[s0.0, s0.1]
  return %7
}
)";

constexpr const char* kRunningSumOfHalves = R"(program(p0: bf16[s0.0, s0.1]) {
  %0 = parameter : bf16[s0.0, s0.1]
  %1 = convert %0 {index=8} : f32[s0.0, s0.1]
  %2 = scan_sum %1 {axes=[0]} : f32[s0.0, s0.1]
  %3 = convert %2 {index=7} : bf16[s0.0, s0.1]
  return %3
}
)";

TEST(PlanText, AChainOfElementsIsOneKernel) {
  EXPECT_EQ(plan_of(R"(program(p0: f32[s0.0, s0.1], p1: f32[s0.1]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = parameter {index=1} : f32[s0.1]
  %2 = broadcast %1 {axes=[1], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]
  %3 = add %0, %2 : f32[s0.0, s0.1]
  %4 = exp %3 : f32[s0.0, s0.1]
  return %4
}
)"),
            R"(kernel kept=2 reduced=0 : v0 v1 ->v2
)");
}

TEST(PlanText, ACostlyTableIsComputedOnceBeforeTheRowsThatReadIt) {
  const auto plan = [](const char* function, const char* axis) {
    return plan_of(concat(R"(program(p0: f32[s0.0, s0.1], p1: f32[s1.0]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = parameter {index=1} : f32[s1.0]
  %2 = )",
                          function, R"( %1 : f32[s1.0]
  %3 = broadcast %2 {axes=[)",
                          axis, R"(], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]
  %4 = mul %0, %3 : f32[s0.0, s0.1]
  return %4
}
)"));
  };
  const char* kTogether = "kernel kept=2 reduced=0 : v0 v1 ->v2\n";
  EXPECT_EQ(plan("cos", "1"),
            "kernel kept=1 reduced=0 : v1 ->v2\nkernel kept=2 reduced=0 : v0 v2 ->v3\n");
  EXPECT_EQ(plan("cos", "0"), kTogether);  // once for a row as it is
  EXPECT_EQ(plan("neg", "1"), kTogether);
}

TEST(PlanText, AKernelHasFewReductions) {
  std::string program = "program(p0: f32[s0.0]) {\n  %0 = parameter : f32[s0.0]\n";
  std::string results;
  for (int i = 0; i < 5; ++i) {
    program += concat("  %", i + 1, " = reduce_sum %0 {axes=[0]} : f32[]\n");
    results += concat(i == 0 ? "%" : ", %", i + 1);
  }
  EXPECT_EQ(plan_of(program + "  return " + results + "\n}\n"),
            "kernel kept=0 reduced=1 : v0 ->v1 ->v2 ->v3 ->v4\n"
            "kernel kept=0 reduced=1 : v0 ->v5\n");
}

TEST(PlanText, BothPartsOfPairsAreOneKernel) {
  EXPECT_EQ(plan_of(R"(program(p0: f32[s0.0], p1: f32[s0.0]) {
  %0 = parameter : f32[s0.0]
  %1 = parameter {index=1} : f32[s0.0]
  %2 = add %0, %1 : f32[s0.0]
  %3 = sub %0, %1 : f32[s0.0]
  %4 = broadcast %2 {axes=[0], dims=[s0.0, 1]} : f32[s0.0, 1]
  %5 = broadcast %3 {axes=[0], dims=[s0.0, 1]} : f32[s0.0, 1]
  %6 = concatenate %4, %5 {axes=[1]} : f32[s0.0, 2]
  return %6
}
)"),
            R"(kernel kept=1 reduced=0 : v0 v1 ->v2
)");
}

TEST(PlanText, ReductionsOfARowAreOneKernel) {
  EXPECT_EQ(plan_of(kSoftmax), R"(kernel kept=1 reduced=1 : v0 ->v1
)");
}

TEST(PlanText, WhatFollowsAProductIsItsEpilogue) {
  EXPECT_EQ(plan_of(R"(program(p0: f32[s0.0, s0.1], p1: f32[s0.1, s1.1], p2: f32[s1.1]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = parameter {index=1} : f32[s0.1, s1.1]
  %2 = parameter {index=2} : f32[s1.1]
  %3 = contract %0, %1 : f32[s0.0, s1.1]
  %4 = broadcast %2 {axes=[1], dims=[s0.0, s1.1]} : f32[s0.0, s1.1]
  %5 = add %3, %4 : f32[s0.0, s1.1]
  return %5
}
)"),
            R"(contract v0 v1 ->v4 with epilogue
)");
}

TEST(PlanText, ATransposedProductIsTheOperandsTheOtherWayRound) {
  EXPECT_EQ(plan_of(R"(program(p0: f32[s0.0, s0.1], p1: f32[s0.0, s1.1]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = parameter {index=1} : f32[s0.0, s1.1]
  %2 = permute %0 {axes=[1, 0]} : f32[s0.1, s0.0]
  %3 = contract %2, %1 : f32[s0.1, s1.1]
  %4 = permute %3 {axes=[1, 0]} : f32[s1.1, s0.1]
  return %4
}
)"),
            R"(contract v1 v0 ->v2
)");
}

TEST(PlanText, IndexMapsShareMemory) {
  EXPECT_EQ(plan_of(R"(program(p0: f32[4, 6]) {
  %0 = parameter : f32[4, 6]
  %1 = permute %0 {axes=[1, 0]} : f32[6, 4]
  %2 = reshape %0 {dims=[24]} : f32[24]
  %3 = flip %0 {axes=[0]} : f32[4, 6]
  return %1, %2, %3
}
)"),
            R"(window v0 ->v1
reshape v0 ->v2
kernel kept=2 reduced=0 : v0 ->v3
)");
}

TEST(PlanText, ScattersCopyTheirTargetAndUpdateIt) {
  EXPECT_EQ(plan_of(R"(program(p0: f32[s0.0], p1: i64[s1.0], p2: f32[s1.0]) {
  %0 = parameter : f32[s0.0]
  %1 = parameter {index=1} : i64[s1.0]
  %2 = parameter {index=2} : f32[s1.0]
  %3 = scatter_max %0, %1, %2 : f32[s0.0]
  return %3
}
)"),
            R"(kernel kept=1 reduced=0 : v0 ->v3
kernel kept=0 reduced=1 : v2 v1 ->v3
)");
}

TEST(PlanText, AScanTakesItsConversionsAlong) {
  EXPECT_EQ(plan_of(kRunningSumOfHalves), R"(kernel kept=1 reduced=1 : v0 ->v1
)");
}

TEST(PlanText, WhatIsCostlyIsNotComputedInTheLoopOfAScanOrScatter) {
  const auto scan = [](std::string_view before, std::string_view after, std::string_view axis) {
    return plan_of(concat(
        "program(p0: f32[s0.0, s0.1]) {\n  %0 = parameter : f32[s0.0, s0.1]\n  %1 = ", before,
        " : f32[s0.0, s0.1]\n  %2 = scan_sum %1 {axes=[", axis,
        "]} : f32[s0.0, s0.1]\n  %3 = ", after, " : f32[s0.0, s0.1]\n  return %3\n}\n"));
  };
  const std::string_view one = "kernel kept=1 reduced=1 : v0 ->v1\n";
  EXPECT_EQ(scan("mul %0, %0", "neg %2", "1"), one);
  EXPECT_EQ(scan("exp %0", "neg %2", "1"),
            "kernel kept=2 reduced=0 : v0 ->v1\nkernel kept=1 reduced=1 : v1 ->v2\n");
  EXPECT_EQ(scan("mul %0, %0", "exp %2", "1"),
            "kernel kept=1 reduced=1 : v0 ->v1\nkernel kept=2 reduced=0 : v1 ->v2\n");
  // Along the first axis the columns are lanes.
  EXPECT_EQ(scan("exp %0", "tanh %2", "0"), one);
  // A kernel that gives both would compute both in turn.
  EXPECT_EQ(plan_of(R"(program(p0: f32[s0.0, s0.1]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = reduce_sum %0 {axes=[1]} : f32[s0.0]
  %2 = broadcast %1 {axes=[0], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]
  %3 = sub %0, %2 : f32[s0.0, s0.1]
  %4 = exp %3 : f32[s0.0, s0.1]
  %5 = scan_sum %4 {axes=[1]} : f32[s0.0, s0.1]
  return %5
}
)"),
            "kernel kept=1 reduced=1 : v0 ->v1\nkernel kept=1 reduced=1 : v1 ->v2\n");
  EXPECT_EQ(plan_of(R"(program(p0: f32[s0.0], p1: i64[s1.0], p2: f32[s1.0]) {
  %0 = parameter : f32[s0.0]
  %1 = parameter {index=1} : i64[s1.0]
  %2 = parameter {index=2} : f32[s1.0]
  %3 = exp %2 : f32[s1.0]
  %4 = scatter_add %0, %1, %3 : f32[s0.0]
  return %4
}
)"),
            "kernel kept=1 reduced=0 : v2 ->v3\nkernel kept=1 reduced=0 : v0 ->v4\n"
            "kernel kept=0 reduced=1 : v3 v1 ->v4\n");
}

TEST(PlanText, AScanThatTwoReadIsInMemory) {
  EXPECT_EQ(plan_of(R"(program(p0: f32[s0.0, s0.1]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = scan_max %0 {axes=[1]} : f32[s0.0, s0.1]
  %2 = reduce_sum %1 {axes=[0]} : f32[s0.1]
  %3 = exp %1 : f32[s0.0, s0.1]
  return %2, %3
}
)"),
            R"(kernel kept=1 reduced=1 : v0 ->v1
kernel kept=1 reduced=1 : v1 ->v2
kernel kept=2 reduced=0 : v1 ->v3
)");
}

TEST(KernelText, WhatAllRowsShareHasNoStride) {
  // The largest of each row of p0 + p1, p1 along the rows.
  const char* const text = R"(program(p0: f32[s0.0, s0.1], p1: f32[s0.1]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = parameter {index=1} : f32[s0.1]
  %2 = broadcast %1 {axes=[1], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]
  %3 = add %0, %2 : f32[s0.0, s0.1]
  %4 = reduce_max %3 {axes=[1]} : f32[s0.0]
  return %4
}
)";
  EXPECT_EQ(kernel_of(text, 0, KernelKind::Row, StrideClass::Zero, StrideClass::Unit),
            R"(kernel(b0: f32 in, b1: f32 in, b2: f32 out) {
  parallel v0 {
    %3 = reduce_max v1 in i0 vector : f32 {
      %0 = load b0[v0 * i1 + v1 * 1] : f32
      %1 = load b1[v1 * 1] : f32
      %2 = add %0, %1 : f32
      yield %2
    }
    store b2[v0 * i2], %3
  }
}
)");
}

TEST(KernelText, RowsOfUnitStride) {
  EXPECT_EQ(kernel_of(kSoftmax, 0, KernelKind::Row, StrideClass::Zero, StrideClass::Unit),
            R"(kernel(b0: f32 in, b1: f32 out) {
  parallel v0 {
    %2 = reduce_max v1 in i0 vector : f32 {
      %1 = load b0[v0 * i1 + v1 * 1] : f32
      yield %1
    }
    %8 = reduce_sum v2 in i0 vector : f32 {
      %5 = load b0[v0 * i1 + v2 * 1] : f32
      %6 = sub %5, %2 : f32
      %7 = exp %6 : f32
      yield %7
    }
    vector v3 in i0 {
      %0 = load b0[v0 * i1 + v3 * 1] : f32
      %3 = sub %0, %2 : f32
      %4 = exp %3 : f32
      %9 = div %4, %8 : f32
      store b1[v0 * i2 + v3 * 1], %9 nontemporal i3
    }
  }
}
)");
}

constexpr const char* kNegated = R"(program(p0: f32[s0.0, s0.1]) {
  %0 = parameter : f32[s0.0, s0.1]
  %1 = neg %0 : f32[s0.0, s0.1]
  return %1
}
)";

TEST(KernelText, AnOperandAcrossTheVectorsIsContiguousAlongTheRows) {
  EXPECT_EQ(
      kernel_of(kNegated, 0, KernelKind::Pointwise, StrideClass::Transposed, StrideClass::Zero),
      R"(kernel(b0: f32 in, b1: f32 out) {
  parallel v0 {
    parallel_inner v1 {
      %0 = load b0[v0 * 1 + v1 * i0] : f32
      %1 = neg %0 : f32
      store b1[v0 * 1 + v1 * i1], %1
    }
  }
}
)");
}

TEST(KernelText, AnOperandThatRunsBackwardsIsNotStrided) {
  EXPECT_EQ(kernel_of(kNegated, 0, KernelKind::Pointwise, StrideClass::Back, StrideClass::Zero),
            R"(kernel(b0: f32 in, b1: f32 out) {
  parallel v0 {
    parallel_inner v1 {
      %0 = load b0[v0 * i0 + v1 * -1] : f32
      %1 = neg %0 : f32
      store b1[v0 * i1 + v1 * -1], %1
    }
  }
}
)");
}

constexpr const char* kOuterProduct = R"(program(p0: f32[s0.0, 1], p1: f32[1, s1.1]) {
  %0 = parameter : f32[s0.0, 1]
  %1 = parameter {index=1} : f32[1, s1.1]
  %2 = contract %0, %1 : f32[s0.0, s1.1]
  %3 = exp %2 : f32[s0.0, s1.1]
  return %3
}
)";

TEST(KernelText, AProductOverOneKIsAMultiplyAdd) {
  EXPECT_EQ(plan_of(kOuterProduct), "kernel kept=2 reduced=0 : v0 v1 ->v2\n");
  EXPECT_THAT(
      kernel_of(kOuterProduct, 0, KernelKind::Pointwise, StrideClass::Unit, StrideClass::Zero),
      ::testing::ContainsRegex("= fma %[0-9]+, %[0-9]+, %[0-9]+ : f32"));
}

TEST(KernelText, TheExtentOfShortRowsIsPartOfTheCode) {
  EXPECT_THAT(kernel_of(kSoftmax, 0, KernelKind::Row, StrideClass::Zero, StrideClass::Unit, 10),
              ::testing::AllOf(::testing::HasSubstr("reduce_max v1 in 10 vector"),
                               ::testing::HasSubstr("reduce_sum v2 in 10 vector"),
                               ::testing::HasSubstr("vector v3 in 10 {")));
}

TEST(KernelText, AScanAlongColumnsCarriesARunningValueALane) {
  EXPECT_EQ(
      kernel_of(kRunningSumOfHalves, 0, KernelKind::Column, StrideClass::Unit, StrideClass::Other),
      R"(kernel(b0: bf16 in, b1: bf16 out) {
  parallel v0 {
    parallel_inner v1 {
      serial v2 in i0 {
        %0 = load b0[v0 * i1 + v1 * 1 + v2 * i2] : bf16
        %1 = convert %0 {index=8} : f32
        %2 = scan_sum %1 over v2 : f32
        %3 = convert %2 {index=7} : bf16
        store b1[v0 * i3 + v1 * 1 + v2 * i4], %3
      }
    }
  }
}
)");
}

std::vector<bool> overwritable(std::string_view body) {
  const std::string program =
      concat("program(p0: f32[s0.0], p1: f32[s0.0]) {\n", "  %0 = parameter : f32[s0.0]\n",
             "  %1 = parameter {index=1} : f32[s0.0]\n", body, "}\n");
  return lower::make_plan(ir::parse_program(program)).overwritable;
}

TEST(Plan, AResultMayTakeThePlaceOfWhatIsReadWhereItIsWrittenOrNowhere) {
  EXPECT_EQ(overwritable("  %2 = exp %1 : f32[s0.0]\n  return %2\n"),
            (std::vector<bool>{true, true}));
  EXPECT_EQ(overwritable("  %2 = exp %1 : f32[s0.0]\n  return %2, %0\n"),
            (std::vector<bool>{false, true}));
  EXPECT_EQ(overwritable("  %2 = reduce_sum %1 {axes=[0]} : f32[]\n  return %2\n"),
            (std::vector<bool>{true, false}));
}

TEST(Plan, AResultMayTakeThePlaceOfARowThatIsReadAgainOnlyWhereItIsWritten) {
  const auto first = [](std::string_view body) {
    const std::string program = concat(
        "program(p0: f32[s0.0, s0.1], p1: f32[s0.0]) {\n", "  %0 = parameter : f32[s0.0, s0.1]\n",
        "  %1 = parameter {index=1} : f32[s0.0]\n", "  %2 = reduce_max %0 {axes=[1]} : f32[s0.0]\n",
        "  %3 = broadcast %2 {axes=[0], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]\n",
        "  %4 = sub %0, %3 : f32[s0.0, s0.1]\n", "  %5 = exp %4 : f32[s0.0, s0.1]\n", body, "}\n");
    const lower::Plan plan = lower::make_plan(ir::parse_program(program));
    return std::pair(lower::may_take_place(plan, 0, 0), plan.steps.size());
  };
  EXPECT_EQ(first("  return %5\n"), std::pair(true, size_t{1}));
  // A sum of what the last pass computes again may keep it where the row is written.
  const std::string sum =
      "  %6 = reduce_sum %5 {axes=[1]} : f32[s0.0]\n"
      "  %7 = broadcast %6 {axes=[0], dims=[s0.0, s0.1]} : f32[s0.0, s0.1]\n"
      "  %8 = div %5, %7 : f32[s0.0, s0.1]\n";
  EXPECT_EQ(first(sum + "  return %8\n"), std::pair(false, size_t{1}));
  // A kernel before the last one may read what it likes, and its results are elsewhere.
  const std::string total =
      "  %6 = reduce_sum %1 {axes=[0]} : f32[]\n"
      "  %7 = broadcast %6 {dims=[s0.0, s0.1]} : f32[s0.0, s0.1]\n"
      "  %8 = mul %5, %7 : f32[s0.0, s0.1]\n";
  EXPECT_EQ(first(total + "  return %8\n"), std::pair(true, size_t{2}));
  EXPECT_FALSE(first(total + "  return %6, %8\n").first);
}

TEST(Plan, AScatterMayUpdateItsTargetInPlaceIfItReadsItNowhereElse) {
  const std::string index = "  %2 = iota {axes=[0], dims=[s0.0]} : i64[s0.0]\n";
  EXPECT_EQ(overwritable(index + "  %3 = scatter_add %0, %2, %1 : f32[s0.0]\n  return %3\n"),
            (std::vector<bool>{true, false}));
  EXPECT_EQ(overwritable(index + "  %3 = scatter_add %0, %2, %0 : f32[s0.0]\n  return %3\n")[0],
            false);
  EXPECT_EQ(overwritable(index + "  %3 = scatter_add %0, %2, %1 : f32[s0.0]\n  return %3, %0\n")[0],
            false);
}

}  // namespace
}  // namespace flambeau::testing
