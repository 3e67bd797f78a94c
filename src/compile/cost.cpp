#include "compile/cost.h"

#include <algorithm>

#include "lower/plan.h"

namespace flambeau::compiler {
namespace {

constexpr double kStep = 1'000;                  // a launch
constexpr double kBytesPerNanosecond = 12;       // memory to cores and back
constexpr double kStatementsPerNanosecond = 30;  // of elementwise code, all lanes and threads
constexpr double kFlopsPerNanosecond = 100;      // of contractions

class Estimator {
 public:
  Estimator(const Recording& recording, const Region& region) : plan_(plan_of(*region.program)) {
    for (const int32_t w : region.parameters)
      sizes_.push_back(recording.windows[static_cast<size_t>(w)].info.sizes.data());
    for (const IntegerSource& source : region.integers)
      integers_.push_back(value_of(recording, source));
    bindings_ = {sizes_.data(), integers_.data()};
  }

  Cost run() {
    for (const lower::Step& step : plan_.steps) {
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
        double bytes = 0;
        for (const int value : scan->results) bytes += bytes_of(value);
        add_step(bytes, 0);
      }
    }
    return cost_;
  }

 private:
  double number(const ir::Dim& dim) const { return static_cast<double>(dim.evaluate(bindings_)); }

  double bytes_of(int value) const {
    const lower::PlannedValue& planned = plan_.values[static_cast<size_t>(value)];
    auto bytes = static_cast<double>(size_of(planned.dtype));
    for (const ir::Dim& extent : planned.shape) bytes *= number(extent);
    return bytes;
  }

  void add_step(double bytes, double statements) {
    cost_.launches += 1;
    cost_.bytes += bytes;
    cost_.time +=
        kStep + std::max(bytes / kBytesPerNanosecond, statements / kStatementsPerNanosecond);
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
    add_step(traffic, iterations * kernel.cost);
  }

  const lower::Plan& plan_;
  std::vector<const int64_t*> sizes_;
  std::vector<int64_t> integers_;
  ir::DimBindings bindings_;
  Cost cost_;
};

}  // namespace

Cost cost_of(const Recording& recording, const Region& region) {
  return Estimator(recording, region).run();
}

}  // namespace flambeau::compiler
