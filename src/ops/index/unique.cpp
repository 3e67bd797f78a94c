// What different elements there are: sorted, or in runs.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ir/core_carrier.h"
#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Elements, or slices along an axis, that are compared one with another.
class Slices {
 public:
  Slices(const HostTensor& tensor, std::optional<int64_t> axis)
      : tensor_(tensor),
        rows_(axis ? tensor.info.sizes : Ints{tensor.info.numel()}, axis.value_or(0)) {}
  int64_t count() const { return rows_.n; }
  /// Elements of a slice.
  int64_t size() const { return rows_.count(); }
  ir::Container at(int64_t slice, int64_t i) const { return load(tensor_, rows_.at(i, slice)); }
  bool before(int64_t a, int64_t b) const {
    for (int64_t i = 0; i < size(); ++i) {
      if (comes_before(tensor_.info.dtype, at(a, i), at(b, i))) return true;
      if (comes_before(tensor_.info.dtype, at(b, i), at(a, i))) return false;
    }
    return false;
  }
  /// NaN differs from everything.
  bool same(int64_t a, int64_t b) const {
    for (int64_t i = 0; i < size(); ++i)
      if (!(ir::to_double(tensor_.info.dtype, at(a, i)) ==
            ir::to_double(tensor_.info.dtype, at(b, i))) ||
          (!is_float(tensor_.info.dtype) && at(a, i) != at(b, i)))
        return false;
    return true;
  }

 private:
  const HostTensor& tensor_;
  Rows rows_;
};

std::optional<int64_t> axis_of(const Call& call) {
  if (call.is_none("dim")) return std::nullopt;
  return call.integer("dim");
}

const Register kUnique({
    .schema = "_unique(Tensor self, bool consecutive, int? dim=None) -> (Tensor values, Tensor "
              "inverse, Tensor counts)",
    .doc = "The different elements (or slices along `dim`), ascending or (consecutive) one for "
           "each run of equal ones; the number of the one that each became; how often each occurs.",
    .variants = {.function = false, .method = false, .aliases = {"_unique"}},
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          Ints sizes{-1};
          Ints inverse = self.sizes;
          if (const std::optional<int64_t> axis = axis_of(call); axis && self.dim() > 0) {
            sizes = self.sizes;
            sizes[static_cast<size_t>(*axis)] = -1;
            inverse = {self.sizes[static_cast<size_t>(*axis)]};
            check(self.numel() > 0 || inverse[0] == 0, [&] {
              return concat(call.name(),
                            ": There are 0 sized dimensions, and they aren't selected, "
                            "so unique cannot be applied");
            });
          }
          results.push_back({self.dtype, sizes, {}});
          results.push_back({DType::Int64, inverse, {}});
          results.push_back({DType::Int64, {-1}, {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          std::optional<int64_t> axis = axis_of(host.call());
          if (x.info.dim() == 0) axis = std::nullopt;
          const Slices slices(x, axis);
          const auto n = static_cast<size_t>(slices.count());
          std::vector<int64_t> first;
          std::vector<int64_t> times;
          int64_t* const inverse = static_cast<int64_t*>(host.output(1).data);
          const auto note = [&](int64_t slice, bool is_new) {
            if (is_new) {
              first.push_back(slice);
              times.push_back(0);
            }
            ++times.back();
            inverse[slice] = static_cast<int64_t>(first.size() - 1);
          };
          if (!axis && !host.call().boolean("consecutive")) {
            RowOrder order(x, Rows({x.info.numel()}, 0), false);
            const int64_t nans = order.nans(0).count;
            const std::span<const Ranked> sorted = order.sorted(0);
            for (size_t i = 0; i < n; ++i)
              note(sorted[i].place, i == 0 || sorted[i - 1].key != sorted[i].key ||
                                        i >= n - static_cast<size_t>(nans));
          } else {
            std::vector<int64_t> order(n);
            std::iota(order.begin(), order.end(), 0);
            if (!host.call().boolean("consecutive"))
              std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
                return slices.before(a, b) || (!slices.before(b, a) && a < b);
              });
            for (size_t i = 0; i < n; ++i)
              note(order[i], i == 0 || !slices.same(order[i - 1], order[i]));
          }
          const auto count = static_cast<int64_t>(first.size());
          Ints sizes{count};
          if (axis) {
            sizes = x.info.sizes;
            sizes[static_cast<size_t>(*axis)] = count;
          }
          const HostTensor values =
              host.output(0, {x.info.dtype, sizes, contiguous_strides(sizes)});
          const Rows rows(sizes, axis.value_or(0));
          for (int64_t k = 0; k < count; ++k)
            for (int64_t i = 0; i < slices.size(); ++i)
              store(values, rows.at(i, k), slices.at(first[static_cast<size_t>(k)], i));
          const HostTensor counts = host.output(2, {DType::Int64, {count}, {1}});
          for (int64_t k = 0; k < count; ++k)
            store(counts, k, static_cast<ir::Container>(times[static_cast<size_t>(k)]));
        },
    .differentiable = false,
    .samples =
        [] {
          return SampleList{{{indices({3, 4}, 4), Scalar(false)}},
                            {{indices({9}, 2), Scalar(true)}},
                            {{indices({4, 2}, 2), Scalar(false), Scalar(0)}},
                            {{t({0}), Scalar(false)}},
                            {{t({}), Scalar(false)}}};
        },
});

const Register kIsin({
    .schema = "isin.Tensor_Tensor(Tensor elements, Tensor test_elements, *, bool "
              "assume_unique=False, bool invert=False) -> Tensor",
    .doc = "True for the elements that are (or, inverted, are not) among test_elements.",
    .variants = {.method = false, .out = true},
    .promotion = Promotion::Promote,
    .numbers = {"elements", "test_elements"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const auto* elements = std::get_if<const TensorInfo*>(&call["elements"]);
          results.push_back({DType::Bool, elements == nullptr ? Ints{} : (*elements)->sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["elements"];
          const Expr tests = l["test_elements"];
          const Expr flat = reshape(tests, {element_count(tests.shape())});
          const Expr found =
              any(eq(unsqueeze(x, x.rank()), flat), Ints{static_cast<int64_t>(x.rank())}, false);
          l.result(l.call().boolean("invert") ? logical_not(found) : found);
        },
    .differentiable = false,
    .samples =
        [] {
          return SampleList{{{indices({3, 4}, 9), indices({3}, 9)}},
                            {{indices({3}, 9), Scalar(2)}, {{"invert", Scalar(true)}}},
                            {{Scalar(2), indices({3}, 9)}}};
        },
});

// ---- histograms
/// Calls body(number) for each element.
template <class Body>
void for_numbers(const HostTensor& t, const Body& body) {
  const int64_t count = t.info.numel();
  ir::with_type(t.info.dtype, [&]<class T>() {
    if constexpr (std::is_arithmetic_v<T>) {
      const auto* data = static_cast<const T*>(t.data);
      for (int64_t i = 0; i < count; ++i) body(static_cast<double>(data[i]));
    } else {
      for (int64_t i = 0; i < count; ++i) body(number_at(t, i));
    }
  });
}
std::pair<double, double> histogram_range(HostCall& host) {
  double low = host.call().number("min").to_double();
  double high = host.call().number("max").to_double();
  if (low == high && host.call().tensor("self").numel() > 0) {
    const HostTensor x = host.input("self");
    low = high = number_at(x, 0);
    for_numbers(x, [&](double value) {
      low = std::min(low, value);
      high = std::max(high, value);
    });
  }
  return low == high ? std::pair(low - 1, high + 1) : std::pair(low, high);
}
/// Counts of the values in equal bins from `low` to `high`, the last bin closed; others are left
/// out.
const Register kHistc({
    .schema = "histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor",
    .doc = "How many elements lie in each of `bins` equal parts of [min, max] (of the range of the "
           "elements, if both are equal).",
    .variants = {.out = true},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          check(call.integer("bins") > 0,
                [&] { return concat(call.name(), "(): bins must be > 0"); });
          results.push_back({call.tensor("self").dtype, {call.integer("bins")}, {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor x = host.input("self");
          const HostTensor out = host.output(0);
          const int64_t bins = host.call().integer("bins");
          const auto range = histogram_range(host);
          const double low = range.first;
          const double high = range.second;
          std::vector<int64_t> counts(static_cast<size_t>(bins));
          for_numbers(x, [&](double value) {
            if (!(value >= low && value <= high)) return;
            const auto bin =
                static_cast<int64_t>((value - low) / (high - low) * static_cast<double>(bins));
            ++counts[static_cast<size_t>(std::min(bin, bins - 1))];
          });
          for (int64_t i = 0; i < bins; ++i)
            store(out, i,
                  ir::container_of(out.info.dtype,
                                   static_cast<double>(counts[static_cast<size_t>(i)])));
        },
    .checks =
        [](HostCall& host) {
          const auto range = histogram_range(host);
          const double low = range.first;
          const double high = range.second;
          check(std::isfinite(low) && std::isfinite(high), [&, low = low, high = high] {
            return concat(host.call().name(), ": range of [", low, ", ", high, "] is not finite");
          });
          check(low < high, [&, low = low, high = high] {
            return concat(host.call().name(), ": max must be larger than min, got ", low, " and ",
                          high);
          });
        },
    .differentiable = false,
    .samples =
        [] { return SampleList{{{t({3, 4}), Scalar(5)}}, {{t({9}), Scalar(4), -1.0, 1.0}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{{{{t({3}), Scalar(0)}}, "RuntimeError", "bins must be"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
