// Reductions of runs of rows.

#include <cmath>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

const TensorInfo& bounds_of(const Call& call) {
  const TensorInfo* lengths = call.optional_tensor("lengths");
  const TensorInfo* offsets = call.optional_tensor("offsets");
  check(lengths != nullptr || offsets != nullptr,
        [&] { return concat(call.name(), "(): Either lengths or offsets must be defined."); });
  return lengths != nullptr ? *lengths : *offsets;
}
int64_t segment_count(const Call& call) {
  const int64_t n = bounds_of(call).sizes.back();
  return call.optional_tensor("lengths") != nullptr ? n : n - 1;
}

const Register kSegmentReduce({
    .schema = "segment_reduce(Tensor data, str reduce, *, Tensor? lengths=None, Tensor? "
              "indices=None, Tensor? offsets=None, int axis=0, bool unsafe=False, Scalar? "
              "initial=None) -> Tensor",
    .doc = "The elements of data along `axis` in runs of these lengths (or between these offsets), "
           "each reduced by sum, mean, max, min or prod, starting from `initial`. Axes before "
           "`axis` have lengths of their own.",
    .variants = {.method = false, .aliases = {"_segment_reduce"}},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& data = call.tensor("data");
          const std::string& reduce = call.string("reduce");
          check(reduce == "sum" || reduce == "mean" || reduce == "max" || reduce == "min" ||
                    reduce == "prod",
                [&] { return concat(call.name(), "(): unsupported reduction given! ", reduce); });
          check(call.is_none("indices"), [&] {
            return concat(call.name(), "(): indices based reduction is not supported yet.");
          });
          const int64_t axis = call.axis(call.integer("axis"), data.dim());
          const TensorInfo& bounds = bounds_of(call);
          check(bounds.dim() == axis + 1, [&] {
            return concat(call.name(),
                          "(): Expected axis to be the last dimension of lengths but "
                          "got axis ",
                          axis, " and ", bounds.dim(), " dimensions");
          });
          check(bounds.dtype == DType::Int64 || bounds.dtype == DType::Int32, [&] {
            return concat(call.name(), "(): lengths and offsets are integers, got ",
                          info(bounds.dtype).name);
          });
          Ints sizes = data.sizes;
          sizes[static_cast<size_t>(axis)] = segment_count(call);
          results.push_back({data.dtype, sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["data"];
          const std::string& reduce = l.call().string("reduce");
          const int axis = static_cast<int>(
              l.call().axis(l.call().integer("axis"), l.call().tensor("data").dim()));
          const int64_t count = segment_count(l.call());
          const auto fixed = [](const Ints& sizes) {
            Shape shape;
            for (const int64_t size : sizes) shape.emplace_back(size);
            return shape;
          };
          const Shape shape = fixed(infer(l.call())[0].sizes);
          const bool by_length = l["lengths"].valid();
          const Expr bounds = convert(by_length ? l["lengths"] : l["offsets"], DType::Int64);
          // Where each run begins and how long it is, an element of [before axis..., runs].
          const Expr lengths = by_length ? bounds
                                         : slice(bounds, axis, Dim(1), Dim(count)) -
                                               slice(bounds, axis, Dim(0), Dim(count));
          const Expr starts = by_length ? running_sum(bounds, axis) - bounds
                                        : slice(bounds, axis, Dim(0), Dim(count));
          // The run of each row: as many runs as have ended by then.
          const Dim n = x.dim(axis);
          Shape pairs = lengths.shape();
          pairs.push_back(n);
          const Expr row = iota(x.builder(), pairs, axis + 1);
          const auto seen = [&](const Expr& e) {
            return broadcast_to(unsqueeze(e, axis + 1), pairs);
          };
          const Expr inside = logical_and(ge(row, seen(starts)), lt(row, seen(starts + lengths)));
          const Expr number = iota(x.builder(), pairs, axis);
          // Rows in no run go to one more that is cut off.
          const Expr run = amin(select(inside, number, static_cast<double>(count)),
                                Ints{static_cast<int64_t>(axis)}, false);
          const Shape rows = x.shape();
          const Expr owner = count == 0 ? broadcast_to(constant(x, DType::Int64, Scalar(0)),
                                                       Shape(rows.begin(), rows.begin() + axis + 1))
                                        : run;
          std::vector<Expr> places;
          Expr along = owner;
          for (int i = axis + 1; i < x.rank(); ++i) along = unsqueeze(along, i);
          along = broadcast_to(along, x.shape());
          for (int i = 0; i < x.rank(); ++i)
            places.push_back(i == axis ? along : iota(x.builder(), x.shape(), i));
          Shape target = shape;
          target[static_cast<size_t>(axis)] = Dim(count + 1);
          const bool given = !l.call().is_none("initial");
          const double neutral = reduce == "max"    ? -INFINITY
                                 : reduce == "min"  ? INFINITY
                                 : reduce == "prod" ? 1.0
                                                    : 0.0;
          const Expr initial = given ? convert(l.number("initial"), x.dtype())
                                     : constant(x, x.dtype(), Scalar(neutral));
          const Expr start = broadcast_to(initial, target);
          Expr value = reduce == "max"    ? scatter_max(start, places, x)
                       : reduce == "min"  ? scatter_min(start, places, x)
                       : reduce == "prod" ? scatter_prod(start, places, x)
                                          : scatter_add(start, places, x);
          value = slice(value, axis, Dim(0), Dim(count));
          if (reduce == "mean") {
            Expr size = convert(lengths, x.dtype());
            for (int i = axis + 1; i < x.rank(); ++i) size = unsqueeze(size, i);
            const Expr none = broadcast_to(eq(size, 0.0), shape);
            const Expr mean = value / broadcast_to(size, shape);
            // An empty run has no mean but the initial value.
            value = select(none, given ? value : full_like(value, NAN), mean);
          }
          l.result(value);
        },
    .fixed = every_axis,
    .samples =
        [] {
          SampleList list;
          for (const char* reduce : {"sum", "mean", "max", "min", "prod"})
            list.push_back({{t({6, 2}), std::string(reduce)},
                            {{"lengths", typed({3}, DType::Int64, 2, 2)}, {"initial", 1.0}}});
          list.push_back({{t({2, 4}), std::string("sum")},
                          {{"lengths", typed({2, 2}, DType::Int64, 2, 2)}, {"axis", Scalar(1)}}});
          return list;
        },
});

}  // namespace
}  // namespace flambeau::ops
