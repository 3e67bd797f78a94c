#include "ops/samples.h"

namespace flambeau::ops {

SampleList unary_samples_in(double low, double high) {
  return {{{t({2, 3}, low, high)}}, {{t({}, low, high)}}, {{t({0, 3}, low, high)}}};
}
SampleList unary_samples() {
  SampleList list = unary_samples_in(-2, 2);
  list.push_back({{special_values({17})}});
  return list;
}
SampleList positive_samples() { return unary_samples_in(0.2, 2.5); }
SampleList unit_samples() { return unary_samples_in(-0.9, 0.9); }

SampleList binary_samples() {
  return {{{t({2, 3}), t({2, 3})}},
          {{t({2, 1}), t({3})}},
          {{t({}), t({4})}},
          {{t({0, 3}), t({1, 3})}},
          {{special_values({17}), special_values({17})}}};
}
SampleList positive_binary_samples() {
  return {{{t({2, 3}, 0.3, 2), t({2, 3}, 0.3, 2)}}, {{t({2, 1}, 0.3, 2), t({3}, 0.3, 2)}}};
}

}  // namespace flambeau::ops
