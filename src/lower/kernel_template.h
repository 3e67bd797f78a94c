#pragma once
// A kernel before layouts are known: an iteration space of kept and reduced loops with symbolic
// extents, accesses as affine maps from loops to the axes of buffers, and bodies of scalar SSA.
// specialise() turns it into a loop program for one class of layouts; runtime/launch.h picks the
// class when extents and strides are known.

#include <string>
#include <vector>

#include "ir/loop_program.h"
#include "ir/program.h"

namespace flambeau::lower {

using ir::Dim;
using ir::ValueId;

/// Position along one axis: sum of loop * coefficient + sum of SSA value * coefficient + offset.
struct AxisIndex {
  struct Term {
    int loop;
    Dim coefficient;
    friend bool operator==(const Term&, const Term&) = default;
  };
  struct Dynamic {
    ValueId value;
    Dim coefficient;
    friend bool operator==(const Dynamic&, const Dynamic&) = default;
  };
  SmallVector<Term, 2> terms;
  SmallVector<Dynamic, 1> dynamic;
  Dim offset;

  static AxisIndex loop(int l) { return {{{l, Dim(1)}}, {}, Dim(0)}; }
  bool is_zero() const { return terms.empty() && dynamic.empty() && offset.is_zero(); }
  /// The loop this is, if it is exactly one loop; else -1.
  int as_loop() const {
    return terms.size() == 1 && dynamic.empty() && offset.is_zero() && terms[0].coefficient.is_one()
               ? terms[0].loop
               : -1;
  }
  friend bool operator==(const AxisIndex&, const AxisIndex&) = default;
};

/// One load, store or index value. `buffer` -1: the value of axes[0] itself.
struct Access {
  int buffer = -1;
  SmallVector<AxisIndex, 5> axes;
  bool is_store = false;
  friend bool operator==(const Access&, const Access&) = default;
};

/// Where a run-time scalar of the body comes from: number `number` of the call, or `dim`.
struct SlotSource {
  int number = -1;
  Dim dim;
};

/// A piece of the kernel, run once per kept iteration in order.
struct Section {
  enum class Kind : uint8_t {
    Kept,    ///< statements
    Reduce,  ///< `result` = reduction of `yield` over the reduced loops, in the fixed order
    Full,    ///< statements for each reduced iteration, independent of each other
    Serial,  ///< the same, in ascending order one after the other (scatter)
    Scan,    ///< the same, with statements that carry a running value
  } kind = Kind::Kept;
  /// Load, Store and Index name an access by `slot`; Slot names a SlotSource by `slot`.
  std::vector<ir::Statement> body;
  const ir::Primitive* reduction = nullptr;
  ValueId result = -1;
  ValueId yield = -1;
  DType dtype = DType::Float32;
};

struct KernelTemplate {
  std::vector<ir::BufferInfo> buffers;
  std::vector<int> buffer_values;  ///< per buffer: number of the program's materialised value
  SmallVector<Dim, 5> kept;        ///< extents of loops 0 .. kept.size()-1
  SmallVector<Dim, 3> reduced;     ///< extents of the following loops; logical order
  std::vector<Access> accesses;
  std::vector<SlotSource> slots;
  std::vector<Section> sections;
  int value_count = 0;
  /// Rough cost of one iteration in simple instructions, for the decision to use threads.
  int cost = 1;
  /// The same, with what a statement takes beside others: to compare kernels.
  int work = 1;

  int loop_count() const { return static_cast<int>(kept.size() + reduced.size()); }
  bool has_reduced() const { return !reduced.empty(); }
  bool has_section(Section::Kind kind) const;
};

/// How the loops of a template are mapped to those of a kernel.
enum class KernelKind : uint8_t {
  Pointwise,  ///< parallel outer x parallel_inner, no reduced loop
  Row,        ///< parallel rows; the reduced loop is the vector loop
  Column,     ///< parallel outer x parallel_inner kept loop; reduced loop serial
  Blocks,     ///< first half of a split reduction: one result per block of 1,024
  Tree,       ///< second half: combines the blocks' results
};

/// Classes of strides that code depends on. Back: -1. Transposed (inner, Pointwise): as Other,
/// where the stride along the parallel loop is 1.
enum class StrideClass : uint8_t { Zero, Unit, Two, Back, Other, Transposed };

/// One class of layouts. `inner` and `reduced` give the class of each access along the inner kept
/// loop (Pointwise, Column) and along the merged reduced loop (all but Pointwise). `reduced_levels`
/// > 1: the reduced loops do not merge; they are digits of the running index, `reduced` is of the
/// last one, and Zero where an access moves with none.
/// `inner_extent` > 0 (Pointwise): the inner loop's extent, part of the code; `reduced_extent` > 0
/// (Row): the reduced loop's.
struct LayoutClass {
  KernelKind kind = KernelKind::Pointwise;
  uint8_t reduced_levels = 0;
  uint8_t inner_extent = 0;
  uint8_t reduced_extent = 0;
  SmallVector<StrideClass, 8> inner;
  SmallVector<StrideClass, 8> reduced;
  friend bool operator==(const LayoutClass&, const LayoutClass&) = default;
};

/// What the binder puts into slot i of a specialised kernel's `ints`.
struct SlotBinding {
  enum class Kind : uint8_t {
    Source,         ///< template.slots[index]
    ReducedExtent,  ///< extent of reduced level `level`
    OuterStride,    ///< stride of access `index` along the parallel loop
    InnerStride,    ///< ... along the inner loop
    ReducedStride,  ///< ... along reduced level `level`
    DynamicStride,  ///< stride factor of dynamic term `level` of access `index`
    Offset,         ///< start of index access `index`
    PastCaches,     ///< not 0 if what is written leaves the caches before it is read
  } kind;
  int index = 0;
  int level = 0;
};

struct SpecialisedKernel {
  ir::LoopProgram program;
  std::vector<SlotBinding> slots;
};

SpecialisedKernel specialise(const KernelTemplate& kernel, const LayoutClass& layout);

}  // namespace flambeau::lower
