#pragma once
// What an Executable is made of, for the files that run one.

#include <memory>
#include <vector>

#include "eager/executable.h"
#include "eager/host_program.h"
#include "lower/plan.h"
#include "lower/tables.h"
#include "runtime/contraction_launch.h"
#include "runtime/launch.h"

namespace flambeau {

class Executable : public std::enable_shared_from_this<Executable> {
 public:
  explicit Executable(ir::Program p);
  /// Values of the plan are the parameters, then the results.
  explicit Executable(std::shared_ptr<const HostProgram> called);

  ir::Program program;
  Hash128 hash;
  bool for_one_shape = false;
  bool is_complex;  ///< the plan is of the program with complex values split
  lower::Plan plan;
  lower::Tables tables;
  std::vector<std::unique_ptr<LaunchTemplate>> launches;           // per step
  std::vector<std::unique_ptr<ContractionTemplate>> contractions;  // per step
  std::vector<std::shared_ptr<const Executable>> bodies;           // per step
  /// What it runs instead of a plan's steps; `program` has parameters alone then.
  std::shared_ptr<const HostProgram> host;
};

}  // namespace flambeau
