#include "runtime/cpu/contraction_driver.h"

#include "runtime/cpu/contraction_geometry.h"
#include "runtime/cpu/contraction_runner.h"

namespace flambeau {

ContractionKernel::ContractionKernel(ir::Contraction contraction, Isa isa,
                                     std::unique_ptr<ContractionLoader> loader)
    : state_(std::make_shared<State>(std::move(contraction), isa, std::move(loader))) {}

const ir::Contraction& ContractionKernel::contraction() const { return state_->contraction(); }

std::shared_ptr<const ContractionGeometry> geometry_of(const ContractionKernel& kernel,
                                                       ContractionArguments arguments) {
  return std::make_shared<const ContractionGeometry>(kernel, std::move(arguments));
}

void run_contraction(const ContractionGeometry& geometry, const ContractionMemory& memory) {
  if (!geometry.is_empty) ContractionRunner(geometry, memory).run();
}

void load_contraction(const ContractionGeometry& geometry, const int64_t* ints) {
  if (!geometry.is_empty) ContractionRunner(geometry, {.ints = ints}).load();
}

int64_t cost_of(const ContractionGeometry& geometry) {
  return geometry.is_empty ? 0 : geometry.batch * geometry.work / kMultiplyAddsPerNanosecond;
}

}  // namespace flambeau
