#pragma once
// Values of a plan that are the same in every run of one geometry and cost much to compute: the
// roots of unity of a Fourier transform, the weights of a window.

#include <vector>

#include "lower/plan.h"

namespace flambeau::lower {

/// They follow from sizes alone: from no parameter, number or random bit.
struct Tables {
  /// Per step: a run that has the tables leaves it out.
  std::vector<bool> steps;
  /// Per value: it is a table that other steps read. Nothing that a result shares memory with is.
  std::vector<bool> values;
  bool any() const;
};

Tables find_tables(const Plan& plan);

/// The values that a step writes.
SmallVector<int, 8> written_by(const Step& step);

}  // namespace flambeau::lower
