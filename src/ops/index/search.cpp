// Where values belong among sorted ones.

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "ir/core_carrier.h"
#include "ops/index/rows.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

template <class T>
std::span<const T> elements_of(const HostTensor& t) {
  return {static_cast<const T*>(t.data), static_cast<size_t>(t.info.numel())};
}
std::vector<double> numbers_of(const HostTensor& t) {
  std::vector<double> numbers(static_cast<size_t>(t.info.numel()));
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = number_at(t, static_cast<int64_t>(i));
  return numbers;
}

/// The places of `Together` values in a sorted row, searched side by side: they do not wait for
/// each other, and nothing branches on what the values are. NaN comes last.
template <int Together, class T, class Place>
void search_row(std::span<const T> sorted, const T* values, bool right, Place* places) {
  const auto n = static_cast<int64_t>(sorted.size());
  std::array<int64_t, Together> low{};
  std::array<int64_t, Together> high;
  high.fill(n);
  const auto rounds = static_cast<int>(std::bit_width(sorted.size()));
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < Together; ++i) {
      // A search that has ended goes on looking, and stays where it is.
      const bool ended = low[i] == high[i];
      const int64_t middle = (low[i] + high[i]) / 2;
      const T at = sorted[static_cast<size_t>(std::min(middle, n - 1))];
      const bool reached = right ? at > values[i] : at >= values[i];
      high[i] = reached ? (ended ? high[i] : middle) : high[i];
      low[i] = reached || ended ? low[i] : middle + 1;
    }
  }
  for (size_t i = 0; i < Together; ++i) places[i] = static_cast<Place>(low[i]);
}

template <class T>
void search_rows(HostCall& host, std::span<const T> sorted, int64_t n, std::span<const T> values,
                 int64_t values_in_row, bool right, const HostTensor& out) {
  constexpr int kTogether = 8;
  constexpr int64_t kStep = 2;  // nanoseconds
  const auto fill = [&]<class Place>(Place* places, int64_t begin, int64_t stop) {
    for (int64_t i = begin; i < stop;) {
      const int64_t row = i / values_in_row;
      const int64_t end = std::min(stop, (row + 1) * values_in_row);
      const auto here = sorted.subspan(static_cast<size_t>(row * n), static_cast<size_t>(n));
      for (; i + kTogether <= end; i += kTogether)
        search_row<kTogether>(here, &values[static_cast<size_t>(i)], right, places + i);
      for (; i < end; ++i) search_row<1>(here, &values[static_cast<size_t>(i)], right, places + i);
    }
  };
  const auto rounds = static_cast<int64_t>(std::bit_width(static_cast<uint64_t>(n)));
  host.in_parallel(static_cast<int64_t>(values.size()), kStep * (rounds + 1),
                   [&](int64_t begin, int64_t end) {
                     if (out.info.dtype == DType::Int32)
                       fill(static_cast<int32_t*>(out.data), begin, end);
                     else
                       fill(static_cast<int64_t*>(out.data), begin, end);
                   });
}

/// The elements of the rows in the order that `sorter` says.
template <class T>
std::unique_ptr<T[]> in_order(std::span<const T> rows, int64_t n, const HostTensor& sorter) {
  const auto* const places = static_cast<const int64_t*>(sorter.data);
  auto sorted = std::make_unique<T[]>(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    check(places[i] >= 0 && places[i] < n,
          [] { return std::string("torch.searchsorted(): sorter index out of range"); });
    sorted[i] = rows[i - i % static_cast<size_t>(n) + static_cast<size_t>(places[i])];
  }
  return sorted;
}

/// For each value the number of elements of its sorted row that come before it.
void search_kernel(HostCall& host, std::string_view sorted_name, std::string_view values_name,
                   bool right, const std::optional<HostTensor>& sorter = {}) {
  const HostTensor sorted = host.input(sorted_name);
  const HostTensor out = host.output(0);
  const int64_t n = sorted.info.sizes.back();
  // All values are searched for in one row, unless there are several.
  const int64_t in_row =
      std::max<int64_t>(sorted.info.dim() > 1 ? out.info.sizes.back() : out.info.numel(), 1);
  const auto search = [&]<class T>(std::span<const T> rows, std::span<const T> values) {
    if (!sorter) return search_rows<T>(host, rows, n, values, in_row, right, out);
    const std::unique_ptr<T[]> ordered = in_order(rows, n, *sorter);
    search_rows<T>(host, {ordered.get(), rows.size()}, n, values, in_row, right, out);
  };
  const auto as_numbers = [&](const std::vector<double>& values) {
    search(std::span<const double>(numbers_of(sorted)), std::span<const double>(values));
  };
  if (const auto* number = std::get_if<Scalar>(&host.call()[values_name])) {
    as_numbers({number->to_double()});
    return;
  }
  const HostTensor values = host.input(values_name);
  if (values.info.dtype != sorted.info.dtype) {
    as_numbers(numbers_of(values));
    return;
  }
  ir::with_type(values.info.dtype, [&]<class T>() {
    if constexpr (std::is_arithmetic_v<T>)
      search(elements_of<T>(sorted), elements_of<T>(values));
    else
      as_numbers(numbers_of(values));
  });
}
DType place_dtype(const Call& call) {
  return call.boolean("out_int32") ? DType::Int32 : DType::Int64;
}
const Register kSearchsorted({
    .schema = "searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, "
              "bool right=False, str? side=None, Tensor? sorter=None) -> Tensor",
    .doc = "Where the values would be inserted in the sorted rows: before equal ones, or behind "
           "them with right. `sorter` are the places of the rows' elements in order, if the rows "
           "are not sorted.",
    .variants = {.method = false},
    .numbers = {"self"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& sorted = call.tensor("sorted_sequence");
          const auto* values = std::get_if<const TensorInfo*>(&call["self"]);
          check(sorted.dim() > 0,
                [&] { return concat(call.name(), ": the sequence needs at least one dimension"); });
          Ints sizes;
          if (values != nullptr) {
            sizes = (*values)->sizes;
            bool fits = sorted.dim() == 1 || sorted.dim() == (*values)->dim();
            for (int i = 0; fits && sorted.dim() > 1 && i + 1 < sorted.dim(); ++i)
              fits = sorted.sizes[static_cast<size_t>(i)] == sizes[static_cast<size_t>(i)];
            check(fits, [&] {
              return concat(call.name(),
                            ": boundaries tensor should be 1 dimension or the first "
                            "N-1 dimensions of boundaries tensor and input value tensor must "
                            "match, got ",
                            list_text(sorted.sizes), " and ", list_text(sizes));
            });
          }
          if (const TensorInfo* sorter = call.optional_tensor("sorter")) {
            check(sorter->sizes == sorted.sizes, [&] {
              return concat("torch.searchsorted(): boundary and sorter must have the same size, ",
                            "but got boundary tensor ", list_text(sorted.sizes),
                            " and got sorter tensor ", list_text(sorter->sizes));
            });
            check(sorter->dtype == DType::Int64, [&] {
              return concat(
                  "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype ",
                  info(sorter->dtype).name);
            });
          }
          results.push_back({place_dtype(call), sizes, {}});
        },
    .kernel =
        [](HostCall& host) {
          const auto* side = std::get_if<std::string>(&host.call()["side"]);
          const bool right = side != nullptr ? *side == "right" : host.call().boolean("right");
          std::optional<HostTensor> sorter;
          if (!host.call().is_none("sorter")) sorter = host.input("sorter");
          search_kernel(host, "sorted_sequence", "self", right, sorter);
        },
    .differentiable = false,
    .samples = [] { return SampleList{{{typed({5}, DType::Float32, 1, 1), t({2, 3})}}}; },
});
const Register kBucketize({
    .schema = "bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool "
              "right=False) -> Tensor",
    .doc = "The number of the boundary interval of each value.",
    .variants = {.method = false},
    .numbers = {"self"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check(call.tensor("boundaries").dim() == 1, [&] {
            return concat(call.name(), ": boundaries tensor must be 1 dimension, but got dim(",
                          call.tensor("boundaries").dim(), ")");
          });
          const auto* values = std::get_if<const TensorInfo*>(&call["self"]);
          results.push_back({place_dtype(call), values == nullptr ? Ints{} : (*values)->sizes, {}});
        },
    .kernel =
        [](HostCall& host) {
          search_kernel(host, "boundaries", "self", host.call().boolean("right"));
        },
    .differentiable = false,
    .samples = [] { return SampleList{{{t({2, 3}), typed({5}, DType::Float32, 1, 1)}}}; },
});

}  // namespace
}  // namespace flambeau::ops
