// Products and distances of rows, and what statistics makes of them.

#include <algorithm>
#include <cmath>

#include "ops/derived_gradients.h"
#include "ops/linear/matmul.h"
#include "ops/reduce/reduce.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

// ---- cross
/// Element i + shift (cyclically) of the three along `axis`.
Expr turned(const Expr& x, int axis, int shift) {
  const SmallVector<Expr, 2> parts{slice(x, axis, Dim(shift), Dim(3 - shift)),
                                   slice(x, axis, Dim(0), Dim(shift))};
  return concatenate(parts, axis);
}
Ints cross_sizes(const Call& call) {
  const TensorInfo& a = call.tensor("self");
  const TensorInfo& b = call.tensor("other");
  check(a.dim() == b.dim(), [&] {
    return concat(call.name(), ": inputs must have the same number of dimensions, got ", a.dim(),
                  " and ", b.dim());
  });
  return call.broadcast(SmallVector<Ints, 2>{a.sizes, b.sizes});
}
/// The axis of the vectors: `dim`, or the first of three elements.
int64_t cross_axis(const Call& call, const Ints& sizes) {
  const auto rank = static_cast<int64_t>(sizes.size());
  if (!call.is_none("dim")) return call.axis(call.integer("dim"), rank);
  for (size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i] == 3) return static_cast<int64_t>(i);
  throw RuntimeError(
      concat(call.name(), ": no dimension of size 3 in input, got ", list_text(sizes)));
}
void cross_shape(const Call& call, ResultInfos& results) {
  const Ints sizes = cross_sizes(call);
  const auto axis = static_cast<size_t>(cross_axis(call, sizes));
  const TensorInfo& a = call.tensor("self");
  const TensorInfo& b = call.tensor("other");
  check(a.sizes[axis] == 3 && b.sizes[axis] == 3, [&] {
    return concat(call.name(), ": inputs dimension ", axis, " must have length 3. Got ",
                  a.sizes[axis], " and ", b.sizes[axis]);
  });
  results.push_back({common_dtype(call), sizes, {}});
}
void lower_cross(Lowering& l) {
  const int axis = static_cast<int>(cross_axis(l.call(), cross_sizes(l.call())));
  const Expr a = l["self"];
  const Expr b = l["other"];
  l.result(turned(a, axis, 1) * turned(b, axis, 2) - turned(a, axis, 2) * turned(b, axis, 1));
}
Definition cross(std::string_view schema, Variants variants) {
  return {.schema = schema,
          .doc = "The cross product of vectors of three along `dim`, broadcast.",
          .variants = std::move(variants),
          .promotion = Promotion::Promote,
          .accepts = Accepts::NumbersNoBool,
          .broadcasts = true,
          .shape = cross_shape,
          .lower = lower_cross,
          // Which axis it is without `dim` follows from the extents.
          .fixed =
              [](const Call& call, size_t tensor) {
                const int64_t axis = cross_axis(call, cross_sizes(call));
                return call.is_none("dim") ? every_axis(call, tensor) : uint64_t{1} << axis;
              },
          .samples = [] { return SampleList{{{t({2, 3}), t({2, 3})}}, {{t({1, 3}), t({4, 3})}}}; },
          .errors =
              [] {
                return std::vector<ErrorSample>{
                    {{{t({2, 3}), t({3})}}, "RuntimeError", "same number of dimensions"}};
              }};
}
const Register kCross(cross("cross(Tensor self, Tensor other, int? dim=None) -> Tensor",
                            {.out = true}));
const Register kLinalgCross(
    cross("linalg_cross(Tensor self, Tensor other, *, int dim=-1) -> Tensor",
          {.function = false, .method = false, .out = true, .aliases = {"linalg.cross"}}));

// ---- tensordot
const Register kTensordot({
    .schema = "tensordot(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor",
    .doc = "The sum of products over the axes dims_self of self and dims_other of other, which "
           "vanish; the other axes follow each other. Where one has size 1, it is as if expanded.",
    .variants = {.function = false, .method = false, .out = true, .aliases = {"_tensordot"}},
    .promotion = Promotion::None,
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check(call.integers("dims_self").size() == call.integers("dims_other").size(), [&] {
            return concat(call.name(), ": both dimension lists should have same length, got ",
                          list_text(call.integers("dims_self")), " and ",
                          list_text(call.integers("dims_other")));
          });
          arguments[2] = call.axes(call.integers("dims_self"), call.tensor("self").dim(), false);
          arguments[3] = call.axes(call.integers("dims_other"), call.tensor("other").dim(), false);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_matrix_dtypes(call, "self", "other");
          const TensorInfo& a = call.tensor("self");
          const TensorInfo& b = call.tensor("other");
          const Ints& of_a = call.integers("dims_self");
          const Ints& of_b = call.integers("dims_other");
          for (size_t i = 0; i < of_a.size(); ++i) {
            const int64_t first = a.sizes[static_cast<size_t>(of_a[i])];
            const int64_t second = b.sizes[static_cast<size_t>(of_b[i])];
            check(first == second || first == 1 || second == 1, [&] {
              return concat(
                  call.name(), ": contracted dimensions need to match, but first has size ", first,
                  " in dim ", of_a[i], " and second has size ", second, " in dim ", of_b[i]);
            });
          }
          Ints sizes = reduced_sizes(a.sizes, of_a, false);
          const Ints rest = reduced_sizes(b.sizes, of_b, false);
          sizes.append(rest.begin(), rest.end());
          results.push_back({a.dtype, sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const auto split = [](const Expr& x, const Ints& summed, bool summed_first, Shape& kept,
                                Dim& rows) {
            Ints order;
            Dim k = 1;
            for (const int64_t axis : summed) k = k * x.dim(static_cast<int>(axis));
            rows = 1;
            Ints free;
            for (int64_t i = 0; i < x.rank(); ++i) {
              if (std::find(summed.begin(), summed.end(), i) != summed.end()) continue;
              free.push_back(i);
              kept.push_back(x.dim(static_cast<int>(i)));
              rows = rows * x.dim(static_cast<int>(i));
            }
            const Ints& first = summed_first ? summed : free;
            const Ints& second = summed_first ? free : summed;
            order.append(first.begin(), first.end());
            order.append(second.begin(), second.end());
            return reshape(permute(x, order), summed_first ? Shape{k, rows} : Shape{rows, k});
          };
          const Ints& of_first = l.call().integers("dims_self");
          const Ints& of_second = l.call().integers("dims_other");
          Expr first = l["self"];
          Expr second = l["other"];
          for (size_t i = 0; i < of_first.size(); ++i) {
            const bool one = first.dim(static_cast<int>(of_first[i])).is_one();
            const bool other_one = second.dim(static_cast<int>(of_second[i])).is_one();
            if (one && !other_one) second = sum(second, Ints{of_second[i]}, true);
            if (other_one && !one) first = sum(first, Ints{of_first[i]}, true);
          }
          Shape shape;
          Dim rows;
          Dim columns;
          const Expr a = split(first, of_first, false, shape, rows);
          const Expr b = split(second, of_second, true, shape, columns);
          l.result(reshape(contract(a, b), shape));
        },
    .autocast = "lower_precision",
    .samples =
        [] {
          return SampleList{{{t({2, 3, 4}), t({4, 3, 5}), Ints{1, 2}, Ints{1, 0}}},
                            {{t({2, 3}), t({3}), Ints{1}, Ints{0}}},
                            {{t({2}), t({3}), Ints{}, Ints{}}}};
        },
});

// ---- distances
/// The norm of the call's order over the last axis.
Expr row_norm(Lowering& l, const Expr& d) { return p_norm(l, d, Ints{d.rank() - 1}, false); }

/// The same as a distance, whose gradient PyTorch gives in full to each of several greatest
/// coordinates, where a norm shares it among them.
Expr row_distance(Lowering& l, const Expr& d) {
  const Expr norm = row_norm(l, d);
  const Scalar p = l.call().number("p");
  if (!l.call().definition().is_special("p", p) || p.to_double() != INFINITY) return norm;
  const Expr size = abs(d);
  const Expr greatest = stop_gradient(unsqueeze(norm, norm.rank()));
  const Expr to_each = select(eq(size, greatest), size - greatest, 0.0);
  const Expr value = stop_gradient(norm) + sum(to_each, Ints{d.rank() - 1}, false);
  // Infinite differences of sizes are NaN.
  return select(eq(norm, INFINITY), norm, value);
}

/// The differences of each row of `a` from each row of `b`, batches of matrices that broadcast.
Expr row_differences(const Expr& a, const Expr& b) {
  const Expr left = unsqueeze(a, a.rank() - 1);
  const Expr right = unsqueeze(b, b.rank() - 2);
  return left - right;
}

void check_order(const Call& call) {
  check(call.real("p") >= 0,
        [&] { return concat(call.name(), " only supports non-negative p values"); });
}
const Register kCdist({
    .schema = "cdist(Tensor x1, Tensor x2, float p=2, str? compute_mode=None) -> Tensor",
    .doc = "The p-norm distance between each row of x1 and each row of x2, a batch of matrices "
           "each.",
    .variants = {.method = false},
    .promotion = Promotion::Promote,
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& a = call.tensor("x1");
          const TensorInfo& b = call.tensor("x2");
          check_order(call);
          check(a.dim() >= 2 && b.dim() >= 2, [&] {
            return concat(call.name(), " only supports at least 2D tensors, got ", a.dim(),
                          "D and ", b.dim(), "D");
          });
          check(a.sizes.back() == b.sizes.back(), [&] {
            return concat("cdist: X1 and X2 must have the same number of columns. X1: ",
                          a.sizes.back(), " X2: ", b.sizes.back());
          });
          const auto batch = [](const TensorInfo& t) {
            return Ints(t.sizes.begin(), t.sizes.end() - 2);
          };
          Ints sizes = call.broadcast(SmallVector<Ints, 2>{batch(a), batch(b)});
          sizes.push_back(a.sizes[a.sizes.size() - 2]);
          sizes.push_back(b.sizes[b.sizes.size() - 2]);
          results.push_back({common_dtype(call), sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr difference = row_differences(l["x1"], l["x2"]);
          // Points of no coordinates are the same, though they have no largest difference.
          const bool same = difference.dim(-1).is_zero();
          const Ints coordinates{difference.rank() - 1};
          l.result(same ? sum(difference, coordinates, false) : row_distance(l, difference));
        },
    .fixed = [](const Call& call, size_t) -> uint64_t {
      const Ints& sizes = call.tensor("x1").sizes;
      const bool empty = !sizes.empty() && sizes.back() == 0;
      return empty ? ~uint64_t{0} : 0;
    },
    .special = {{"p", norm_orders()}},
    .autocast = "float32",
    .samples =
        [] {
          return SampleList{{{t({4, 3}), t({5, 3})}},
                            {{t({2, 4, 3}), t({5, 3}), 1.0}},
                            {{t({4, 3}), t({5, 3}), 3.0}},
                            {{t({4, 3}), t({5, 3}), INFINITY}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({4, 3}), t({5, 2})}}, "RuntimeError", "same number of columns"},
              {{{t({4, 3}), t({5, 3}), -1.0}}, "RuntimeError", "non-negative p"}};
        },
});
const Register kPdist({
    .schema = "pdist(Tensor self, float p=2) -> Tensor",
    .doc =
        "The p-norm distances between the rows of a matrix: of row i to each row j > i, in turn.",
    .variants = {.method = false, .aliases = {"nn.functional.pdist"}},
    .accepts = Accepts::Floats,
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& x = call.tensor("self");
          check(x.dim() == 2, [&] {
            return concat(call.name(), " only supports 2D tensors, got: ", x.dim(), "D");
          });
          check_order(call);
          const int64_t n = x.sizes[0];
          results.push_back({x.dtype, {n * (n - 1) / 2}, {}});
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const Dim n = x.dim(0);
          // Pair k is (i, j): i rows are done after i (2 n - i - 1) / 2 pairs. The square root is
          // exact enough to be off by one at most, which the comparison mends.
          const Expr k = iota(x.builder(), {(n * (n - 1)).floor_div(2)}, 0);
          const Expr width = extent(x.builder(), n * 2 - 1);
          const Expr real_width = convert(width, DType::Float64);
          const Expr root = sqrt(real_width * real_width - convert(k, DType::Float64) * 8.0);
          const Expr guess = convert(floor((real_width - root) / 2.0), DType::Int64);
          const auto done = [&](const Expr& i) { return i * (width - i) / full_like(i, 2.0); };
          const Expr above = select(gt(done(guess), k), guess - 1.0, guess);
          const Expr i = select(le(done(above + 1.0), k), above + 1.0, above);
          const Expr j = k - done(i) + i + 1.0;
          const auto rows = [&](const Expr& row) {
            const std::vector<Expr> places{unsqueeze(row, 1), iota(x.builder(), {x.dim(1)}, 0)};
            return gather(x, places);
          };
          l.result(row_distance(l, rows(i) - rows(j)));
        },
    .special = {{"p", norm_orders()}},
    .samples = [] { return SampleList{{{t({5, 3})}}, {{t({4, 2}), 1.0}}, {{t({1, 3})}}}; },
});

/// The norms of the slices along the axis, each in place of its slice, and where they are above the
/// limit.
struct SliceNorms {
  Expr norm;
  Expr limit;
  Expr is_over;
};
SliceNorms slice_norms(Lowering& l) {
  const Expr x = l["self"];
  const int axis = static_cast<int>(l.call().integer("dim"));
  Dim rest = 1;
  for (int i = 0; i < x.rank(); ++i)
    if (i != axis) rest = rest * x.dim(i);
  Expr norm = row_norm(l, reshape(transpose(x, 0, axis), {x.dim(axis), rest}));
  for (int i = 1; i < x.rank(); ++i) norm = unsqueeze(norm, i);
  norm = transpose(norm, 0, axis);
  const Expr limit = convert(l.number("maxnorm"), norm.dtype());
  return {norm, limit, gt(norm, limit)};
}

const Register kRenorm({
    .schema = "renorm(Tensor self, Scalar p, int dim, Scalar maxnorm) -> Tensor",
    .doc = "self with each slice along `dim` scaled down so that its p-norm is at most maxnorm.",
    .variants = {.in_place = true, .out = true},
    .accepts = Accepts::Inexact,
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          check(call.real("p") > 0, [&] {
            return concat(call.name(), ": non-positive-norm not supported, got ", call.real("p"));
          });
          check(call.real("maxnorm") >= 0, [&] {
            return concat(call.name(), ": expected maxnorm to be >= 0 but got ",
                          call.real("maxnorm"));
          });
          check(self.dim() > 1, [&] {
            return concat(call.name(), ": input needs at least 2 dimensions, got ", self.dim(),
                          " dimensions");
          });
          results.push_back({self.dtype, self.sizes, {}});
        },
    .lower =
        [](Lowering& l) {
          const auto [norm, limit, is_over] = slice_norms(l);
          const Expr safe = replace_where(logical_not(is_over), norm, 1.0);
          l.result(l["self"] * select(is_over, limit / (safe + 1e-7), 1.0));
        },
    // A slice that is not scaled has no part in its norm, whose slope may be NaN.
    .vjp =
        [](VjpLowering& v) {
          const Expr x = v.forward["self"];
          const Expr slope = derived_gradients(v, {x})[0];
          const Expr is_over = broadcast_to(slice_norms(v.forward).is_over, x.shape());
          v.gradients[0] = select(is_over, slope, v.cotangents[0]);
        },
    .special = {{"p", norm_orders()}},
    .samples =
        [] {
          return SampleList{{{t({3, 4}), 2.0, Scalar(0), 1.0}},
                            {{t({2, 3, 2}), 1.0, Scalar(-1), 2.0}}};
        },
});

// ---- covariance
/// Checks a matrix of variables by observations (a vector: one variable); pushes the result's type.
void statistics_shape(const Call& call, ResultInfos& results) {
  const TensorInfo& self = call.tensor("self");
  check(self.dim() <= 2, [&] {
    return concat(call.name(),
                  "(): expected input to have two or fewer dimensions but got an input with ",
                  self.dim(), " dimensions");
  });
  const DType dtype = is_inexact(self.dtype) ? self.dtype : default_dtype();
  const int64_t rows = self.dim() < 2 ? 1 : self.sizes[0];
  results.push_back({dtype, rows == 1 ? Ints{} : Ints{rows, rows}, {}});
}
/// The variables as the rows of a matrix of floats.
Expr variables(Lowering& l) {
  Expr x = l["self"];
  if (!is_inexact(x.dtype())) x = convert(x, default_dtype());
  while (x.rank() < 2) x = unsqueeze(x, 0);
  return x;
}
/// The matrix of pairs; a number if there is one variable.
Expr pairs(const Expr& matrix) {
  return matrix.dim(0).is_one() ? reshape(matrix, Shape{}) : matrix;
}
const Register kCov({
    .schema = "cov(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) "
              "-> Tensor",
    .doc = "The covariance of the rows of a matrix (variables), whose columns are observations: "
           "how often each counts and with which weight say fweights and aweights.",
    .unpromoted = {"fweights", "aweights"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          statistics_shape(call, results);
          check(!is_bool(self.dtype),
                [&] { return concat(call.name(), "(): bool dtype is not supported for input"); });
          const int64_t count = self.dim() == 0 ? 1 : self.sizes.back();
          for (const char* name : {"fweights", "aweights"}) {
            const TensorInfo* w = call.optional_tensor(name);
            if (w == nullptr) continue;
            check(w->dim() <= 1 && w->numel() == count, [&] {
              return concat(call.name(), "(): expected ", name,
                            " to be a vector with one element "
                            "for each of the ",
                            count, " observations, got ", list_text(w->sizes));
            });
            const bool integral = !is_float(w->dtype) && !is_bool(w->dtype);
            check(std::string_view(name) == "fweights" ? integral : is_float(w->dtype), [&] {
              return concat(call.name(), "(): expected ", name, " to have ",
                            std::string_view(name) == "fweights" ? "integral" : "floating point",
                            " dtype but got ", info(w->dtype).name);
            });
          }
        },
    .lower =
        [](Lowering& l) {
          const Expr x = variables(l);
          const DType weighing = real_dtype(x.dtype());
          const Ints axes{1};
          Expr w;
          for (const char* name : {"fweights", "aweights"})
            if (l[name].valid()) {
              Expr factor = convert(l[name], weighing);
              if (factor.rank() == 0) factor = unsqueeze(factor, 0);
              factor = unsqueeze(factor, 0);
              w = w.valid() ? w * factor : factor;
            }
          const Expr total = w.valid() ? sum(w, axes) : count(x, axes, weighing);
          const Expr center = w.valid() ? sum(x * w, axes) / total : mean(x, axes);
          const auto correction = static_cast<double>(l.call().integer("correction"));
          Expr norm = total - correction;
          if (w.valid() && l["aweights"].valid() && correction != 0) {
            const Expr a = unsqueeze(
                l["aweights"].rank() == 0 ? unsqueeze(l["aweights"], 0) : l["aweights"], 0);
            norm = total - sum(w * convert(a, weighing), axes) * correction / total;
          }
          const Expr away = x - center;
          const Expr scaled = w.valid() ? away * w : away;
          const Expr norm_clamped = select(lt(norm, 0.0), 0.0, norm);
          const Expr product = contract(away, conj(transpose(scaled, 0, 1)));
          const Expr result =
              product / (norm_clamped.rank() == 0 ? norm_clamped : reshape(norm_clamped, Shape{}));
          l.result(pairs(result));
        },
    .samples =
        [] {
          return SampleList{{{t({3, 5})}},
                            {{t({5})}, {{"correction", Scalar(0)}}},
                            {{t({2, 4})},
                             {{"fweights", typed({4}, DType::Int64, 1, 4)},
                              {"aweights", typed({4}, DType::Float64, 0.5, 2)}}}};
        },
});
const Register kCorrcoef({
    .schema = "corrcoef(Tensor self) -> Tensor",
    .doc = "Pearson's correlation coefficients of the rows of a matrix (variables), whose columns "
           "are observations.",
    .shape = statistics_shape,
    .lower =
        [](Lowering& l) {
          const Expr x = variables(l);
          const Ints axes{1};
          const Expr away = x - mean(x, axes);
          const Expr degrees = count(x, axes, real_dtype(x.dtype())) - 1.0;
          const Expr covariance = contract(away, conj(transpose(away, 0, 1))) / degrees;
          const Expr deviation = sqrt(sum(abs_squared(away), axes, false) / degrees);
          const Expr value = covariance / unsqueeze(deviation, 1) / unsqueeze(deviation, 0);
          const auto bounded = [](const Expr& part) {
            return select(gt(part, 1.0), 1.0, select(lt(part, -1.0), -1.0, part));
          };
          l.result(pairs(is_complex(x.dtype()) ? complex(bounded(real(value)), bounded(imag(value)))
                                               : bounded(value)));
        },
    // Nothing is left of a diagonal's slope but rounding, where finite differences see clipping.
    .samples =
        [] {
          SampleTensor x = t({3, 5});
          x.grad = false;
          return SampleList{{{x}}, {{t({5})}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
