#pragma once
// Builds one kernel template: walks the program backwards from a root and turns nodes into
// statements, pulling index maps into the accesses.

#include <optional>
#include <span>
#include <vector>

#include "lower/kernel_template.h"

namespace flambeau::lower {

/// Where a node's value is read: one index per axis, and a Bool value that guards loads.
struct IndexEnv {
  SmallVector<AxisIndex, 5> axes;
  ValueId mask = -1;
  friend bool operator==(const IndexEnv&, const IndexEnv&) = default;
};

/// The position in the operand of a view or affine reshape `node` that `env` reads; nullopt if
/// `node` is no such map.
std::optional<IndexEnv> operand_env(const ir::Program& program, const ir::Node& node,
                                    const IndexEnv& env);

/// The index expression `id` at `env` if it is affine in the loops (iota, constants, extents, their
/// sums and multiples), without looking into materialised values.
std::optional<AxisIndex> affine_index(const ir::Program& program, const std::vector<int>& value_of,
                                      ir::NodeId id, const IndexEnv& env);

/// The core operations of an elementwise or scan row whose result is `dtype`, on operands of these
/// dtypes.
int core_operations(const ir::Primitive& primitive, DType dtype, const ir::Attributes& attributes,
                    std::span<const DType> dtypes);

/// Where a scan of `extent` elements stands in iteration `loop` of the kernel's reduced loop.
AxisIndex scan_position(const ir::Node& scan, int loop);

/// The loops of a kernel.
struct Space {
  SmallVector<Dim, 5> kept;
  SmallVector<Dim, 3> reduced;
  friend bool operator==(const Space&, const Space&) = default;
};

class TemplateBuilder {
 public:
  /// `value_of[node]`: the materialised value that holds the node, or -1.
  TemplateBuilder(const ir::Program& program, const std::vector<int>& value_of, Space space);

  /// Computes `node` at position `axes` (one index per axis of the node, over the loops) for all
  /// loops (`full`) or the kept loops only, and stores it to value `value` at `target`. On failure
  /// offender() is the node that must be materialised first, and the builder is spent.
  bool store_root(ir::NodeId node, int value, bool full, const SmallVector<AxisIndex, 5>& axes,
                  const SmallVector<AxisIndex, 5>& target);

  /// Updates `value`, which holds the scatter's target, by the elements of its source in ascending
  /// order; space and `axes` are those of scatter_space(node).
  bool store_scatter(ir::NodeId node, int value, const SmallVector<AxisIndex, 5>& axes);

  ir::NodeId offender() const { return offender_; }
  KernelTemplate finish();

 private:
  struct Memo {
    ir::NodeId node;
    IndexEnv env;
    ValueId value;
    int scope;
  };
  struct Scope {
    int id;
    Section section;
  };

  ValueId eval(ir::NodeId id, const IndexEnv& env);
  ValueId eval_new(ir::NodeId id, const IndexEnv& env);
  ValueId eval_reduce(ir::NodeId id, const IndexEnv& env);
  ValueId eval_outer_product(const ir::Node& node, const IndexEnv& env);
  ValueId eval_scan(ir::NodeId id, const IndexEnv& env);
  /// True if `env`, without axis `skipped` of `shape`, is the position of the kept loops, in order.
  bool is_kept_position(const ir::Shape& shape, const IndexEnv& env, size_t skipped) const;
  ValueId eval_pad(const ir::Node& node, const IndexEnv& env);
  /// True if elements of a reduced loop are of different parts: each pass would choose for each.
  bool chooses_in_rows(const ir::Node& concatenate, const IndexEnv& env) const;
  ValueId eval_concatenate(const ir::Node& node, const IndexEnv& env);
  std::optional<IndexEnv> gather_env(const ir::Node& node, const IndexEnv& env);
  std::optional<AxisIndex> index_of(ir::NodeId id, const IndexEnv& env);
  ValueId load(int value, const IndexEnv& env);
  ValueId index_value(const AxisIndex& index);
  ValueId slot_value(const SlotSource& source, DType dtype);
  ValueId constant(DType dtype, Scalar value);
  ValueId compute(const char* primitive, DType dtype, std::initializer_list<ValueId> arguments);
  ValueId convert(ValueId value, DType from, DType to);
  /// The mask value `and`ed with 0 <= index < extent.
  ValueId extent_value(const ir::Dim& extent);
  ValueId in_range(const AxisIndex& index, const Dim& extent, ValueId mask);
  ValueId emit(ir::Statement statement, bool varies);
  bool varies(const AxisIndex& index) const;
  bool varies(ValueId value) const { return scope_of_[static_cast<size_t>(value)] != 0; }
  int access(Access access);
  int buffer_of(int value, DType dtype, bool is_output);
  void store(ValueId value, int buffer_value, DType dtype, SmallVector<AxisIndex, 5> axes);
  void open_scope();
  void close_scope(Section::Kind kind);
  ValueId fail(ir::NodeId id) {
    offender_ = id;
    return -1;
  }

  const ir::Program& program_;
  const std::vector<int>& value_of_;
  KernelTemplate kernel_;
  std::vector<Memo> memo_;
  std::vector<Scope> scopes_;  // sections under construction, innermost last
  std::vector<int> scope_of_;  // per SSA value: 0 for kept
  int next_scope_ = 1;
  int root_scope_ = -1;  // the section that stores the root for each reduced iteration
  bool has_scan_ = false;
  ir::NodeId offender_ = -1;
};

/// The loops of a scatter: kept are those along which some index is the position itself, so that
/// no two iterations meet; reduced the others.
struct ScatterSpace {
  Space space;
  SmallVector<AxisIndex, 5> axes;  ///< per axis of the source
};
ScatterSpace scatter_space(const ir::Program& program, ir::NodeId node);

}  // namespace flambeau::lower
