#include "compile/report.h"

#include <sstream>

#include "compile/cost.h"
#include "lower/plan.h"

namespace flambeau::compile {

std::string text_of(const Program& program, const Recording& recording) {
  std::ostringstream out;
  for (const Region& region : program.regions) {
    out << region.entries.size() << " runs, " << plan_of(*region.program).steps.size() << " steps, "
        << estimate(recording, region) / 1e3 << " us\n";
    out << lower::text_of(plan_of(*region.program));
  }
  return out.str();
}

}  // namespace flambeau::compile
