#include "compile/cost.h"

#include <algorithm>

#include "eager/host_program.h"
#include "lower/plan.h"
#include "lower/tables.h"

namespace flambeau::compiler {
namespace {

constexpr double kStep = 1'000;                  // a launch
constexpr double kBytesPerNanosecond = 12;       // memory to cores and back
constexpr double kStatementsPerNanosecond = 30;  // of elementwise code, all lanes and threads
constexpr double kFlopsPerNanosecond = 100;      // of contractions

/// Where a program runs: a step's overhead, and how fast it comes to its memory.
struct Place {
  double step;
  double bytes_per_nanosecond;
};
constexpr Place kMain{kStep, kBytesPerNanosecond};
constexpr Place kCache{kStep / 4, kBytesPerNanosecond * 8};  // a body, on pieces that stay there

class Estimator {
 public:
  Estimator(const lower::Plan& plan, std::span<const Ints> sizes, Ints integers, const Place& place)
      : plan_(plan), integers_(std::move(integers)), place_(place) {
    for (const Ints& of_parameter : sizes) sizes_.push_back(of_parameter.data());
    bindings_ = {sizes_.data(), integers_.data()};
  }

  Cost run() {
    for (const lower::Step& step : plan_.steps) add(step);
    return cost_;
  }

  StepCosts run_by_steps() {
    StepCosts costs;
    std::vector<int> first(plan_.values.size(), -1);
    for (size_t i = 0; i < plan_.steps.size(); ++i) {
      cost_ = {};
      add(plan_.steps[i]);
      costs.steps.push_back(cost_);
      for (const int value : lower::written_by(plan_.steps[i]))
        if (int& step = first[static_cast<size_t>(value)]; step < 0) step = static_cast<int>(i);
    }
    // What a result is a window of is the result's memory.
    for (int value : plan_.results)
      for (; value >= 0; value = plan_.values[static_cast<size_t>(value)].alias_of)
        first[static_cast<size_t>(value)] = -1;
    for (size_t value = 0; value < plan_.values.size(); ++value)
      if (const lower::PlannedValue& planned = plan_.values[value];
          first[value] >= 0 && planned.parameter < 0 && planned.alias_of < 0)
        costs.temporaries.push_back({planned.dtype, sizes_of(static_cast<int>(value)),
                                     bytes_of(static_cast<int>(value)), first[value],
                                     planned.last_use});
    return costs;
  }

  /// Of a host kernel, which is one launch.
  Cost run_host() {
    double bytes = 0;
    for (size_t value = 0; value < plan_.values.size(); ++value)
      bytes += bytes_of(static_cast<int>(value));
    add_step(bytes, 0);
    return cost_;
  }

 private:
  void add(const lower::Step& step) {
    if (const auto* kernel = std::get_if<lower::KernelStep>(&step)) {
      add_kernel(*kernel->kernel, -1);
    } else if (const auto* contract = std::get_if<lower::ContractStep>(&step)) {
      double flops = 2;
      for (const ir::Dim& extent : contract->batch) flops *= number(extent);
      for (const ir::Dim* extent : {&contract->m, &contract->n, &contract->k})
        flops *= number(*extent);
      cost_.time += flops / kFlopsPerNanosecond;
      cost_.bytes += bytes_of(contract->a.value) + bytes_of(contract->b.value);
      if (contract->epilogue != nullptr)
        add_kernel(*contract->epilogue, contract->product_buffer);
      else
        add_step(bytes_of(contract->result), 0);
    } else if (const auto* scan = std::get_if<lower::ScanStep>(&step)) {
      add_scan(*scan);
    }
  }

  double number(const ir::Dim& dim) const { return static_cast<double>(dim.evaluate(bindings_)); }

  Ints sizes_of(int value) const {
    Ints sizes;
    for (const ir::Dim& extent : plan_.values[static_cast<size_t>(value)].shape)
      sizes.push_back(extent.evaluate(bindings_));
    return sizes;
  }

  /// Its operands and results once, and the body as often as it runs: on one member of the batch.
  void add_scan(const lower::ScanStep& scan) {
    std::vector<Ints> sizes;
    double bytes = 0;
    for (const int value : scan.operands) {
      sizes.push_back(sizes_of(value));
      bytes += bytes_read(value);
    }
    for (const int value : scan.results) bytes += bytes_of(value);
    add_step(bytes, 0);
    const ir::BlockScan::Extents extents = scan.form.extents(sizes);
    const auto batch = static_cast<size_t>(scan.form.batch);
    double runs = static_cast<double>(extents.blocks);
    for (size_t axis = 0; axis < batch; ++axis) runs *= static_cast<double>(sizes[0][axis]);
    std::vector<Ints> parts;
    for (size_t i = 0; i < sizes.size(); ++i) {
      const std::span<const int64_t> inner{sizes[i].data() + batch, sizes[i].size() - batch};
      Ints part(batch, 1);
      const Ints of_block = scan.form.part(scan.form.operands[i], inner, 0, 0, extents.rows).sizes;
      part.append(of_block.begin(), of_block.end());
      parts.push_back(std::move(part));
    }
    const Cost body = Estimator(plan_of(*make_executable(*scan.body)), parts, {0, 0}, kCache).run();
    cost_.time += body.time * runs;
  }

  /// Of a value that may be a window, and one whose elements are the same along some axes.
  double bytes_read(int value) const {
    double bytes = bytes_of(value);
    while ((value = plan_.values[static_cast<size_t>(value)].alias_of) >= 0)
      bytes = std::min(bytes, bytes_of(value));
    return bytes;
  }

  double bytes_of(int value) const {
    const lower::PlannedValue& planned = plan_.values[static_cast<size_t>(value)];
    auto bytes = static_cast<double>(size_of(planned.dtype));
    for (const ir::Dim& extent : planned.shape) bytes *= number(extent);
    return bytes;
  }

  void add_step(double bytes, double statements) {
    cost_.launches += 1;
    cost_.bytes += bytes;
    cost_.time += place_.step + std::max(bytes / place_.bytes_per_nanosecond,
                                         statements / kStatementsPerNanosecond);
  }

  /// `skipped`: a buffer that is not in memory.
  void add_kernel(const lower::KernelTemplate& kernel, int skipped) {
    std::vector<double> extents;
    double iterations = 1;
    for (const auto& extent : kernel.kept) extents.push_back(number(extent));
    for (const auto& extent : kernel.reduced) extents.push_back(number(extent));
    for (const double extent : extents) iterations *= extent;
    std::vector<double> bytes(kernel.buffers.size(), 0);
    for (const lower::Access& access : kernel.accesses) {
      if (access.buffer < 0 || access.buffer == skipped) continue;
      const auto buffer = static_cast<size_t>(access.buffer);
      auto read = static_cast<double>(size_of(kernel.buffers[buffer].dtype));
      std::vector<bool> used(extents.size(), false);
      bool dynamic = false;
      for (const lower::AxisIndex& axis : access.axes) {
        dynamic |= !axis.dynamic.empty();
        for (const lower::AxisIndex::Term& term : axis.terms)
          used[static_cast<size_t>(term.loop)] = true;
      }
      for (size_t loop = 0; loop < extents.size(); ++loop)
        if (used[loop] || dynamic) read *= extents[loop];
      bytes[buffer] = std::max(bytes[buffer], read);
    }
    double traffic = 0;
    for (const double b : bytes) traffic += b;
    add_step(traffic, iterations * kernel.work);
  }

  const lower::Plan& plan_;
  std::vector<const int64_t*> sizes_;
  Ints integers_;
  Place place_;
  ir::DimBindings bindings_;
  Cost cost_;
};

/// One more than the greatest number of an integer argument in `dim`.
size_t slots_in(const ir::Dim& dim) {
  switch (dim.op()) {
    case ir::DimOp::Constant:
    case ir::DimOp::Size:
      return 0;
    case ir::DimOp::Integer:
      return static_cast<size_t>(dim.leaf_slot()) + 1;
    default:
      return std::max(slots_in(dim.left()), slots_in(dim.right()));
  }
}

std::vector<Ints> sizes_read(const Recording& recording, const Region& region) {
  std::vector<Ints> sizes;
  for (const int32_t w : region.parameters)
    sizes.push_back(recording.windows[static_cast<size_t>(w)].info.sizes);
  return sizes;
}

}  // namespace

Cost cost_of(const Recording& recording, const Region& region) {
  return cost_of(recording, region, *region.program);
}

Cost cost_of(const Recording& recording, const Region& region, const Executable& form) {
  const std::vector<Ints> sizes = sizes_read(recording, region);
  Estimator estimator(plan_of(form), sizes, values_of(recording, region.integers), kMain);
  return host_program_of(form) != nullptr ? estimator.run_host() : estimator.run();
}

StepCosts step_costs_of(const Recording& recording, const Region& region, const Executable& form) {
  const std::vector<Ints> sizes = sizes_read(recording, region);
  return Estimator(plan_of(form), sizes, values_of(recording, region.integers), kMain)
      .run_by_steps();
}

double bytes_at(const Executable& executable, int64_t extent) {
  std::vector<Ints> sizes;
  size_t integers = 0;
  const ir::Program& program = flambeau::program_of(executable);
  for (const ir::Type& type : program.parameters) {
    sizes.emplace_back();
    for (const ir::Dim& dim : type.shape)
      sizes.back().push_back(dim.is_constant() ? dim.constant() : extent);
  }
  for (const ir::Node& node : program.nodes)
    for (const ir::Dim& dim : node.attributes.dims) integers = std::max(integers, slots_in(dim));
  for (const ir::Type& type : program.parameters)
    for (const ir::Dim& dim : type.shape) integers = std::max(integers, slots_in(dim));
  return Estimator(plan_of(executable), sizes, Ints(integers, extent), kMain).run().bytes;
}

}  // namespace flambeau::compiler
