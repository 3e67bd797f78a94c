#pragma once
// Which values of a program lie in memory. The others are computed in the kernels that use them.

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ir/program.h"

namespace flambeau::lower {

class Materialised {
 public:
  /// What must be, and what takes longer to be computed where it is used.
  explicit Materialised(const ir::Program& program);

  bool contains(ir::NodeId id) const { return nodes_[static_cast<size_t>(id)]; }
  void add(ir::NodeId id) { nodes_[static_cast<size_t>(id)] = true; }
  /// True of a permutation that is planned as its operand, a product: that of its factors the other
  /// way round.
  bool is_transposed_product(ir::NodeId id) const {
    return transposed_products_[static_cast<size_t>(id)];
  }
  /// True if one kernel for these roots (nodes, and their values) would take turns along the last
  /// axis with what is costly, as a scan among them does.
  bool mixes_turns(std::span<const std::pair<ir::NodeId, int>> roots) const;

 private:
  /// What reductions and scans cost, which have loops of their own.
  enum class Ordered : uint8_t { Unknown, Free };

  const ir::Node& node(ir::NodeId id) const { return program_.nodes[static_cast<size_t>(id)]; }
  void transpose_products(std::span<const int> uses);
  void add_tables();
  void add_around_turns();
  bool is_costly_in_turn(ir::NodeId id) const;
  bool takes_turns(ir::NodeId id) const;
  std::vector<ir::NodeId> turns_of(ir::NodeId id) const;
  ir::NodeId under_views(ir::NodeId id) const;
  std::optional<int> cost_of(ir::NodeId id, int most, Ordered ordered) const;
  std::optional<int> own_cost(ir::NodeId id, int most, Ordered ordered) const;

  const ir::Program& program_;
  std::vector<bool> nodes_;
  std::vector<bool> transposed_products_;
  bool has_scans_in_turn_ = false;
};

/// True for a product that a contraction is run for.
bool is_contraction(const ir::Program& program, const ir::Node& node);

}  // namespace flambeau::lower
