// Factors of symmetric and Hermitian matrices that may be indefinite: J. R. Bunch and L. Kaufman,
// "Some stable methods for calculating inertia and solving symmetric linear systems", Mathematics
// of Computation 31 (1977), pivoting strategy A, in LAPACK's form (sytf2, hetf2, sytrs, hetrs).

#include <cmath>
#include <eigen3/Eigen/Core>

#include "ops/linear/factor.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;
using namespace factor;

namespace {

/// What a conjugation and a diagonal are in a symmetric or a Hermitian matrix.
template <class T, bool kHermitian>
struct Symmetry {
  static T turned(const T& x) {
    if constexpr (kHermitian) return Eigen::numext::conj(x);
    return x;
  }
  static T on_diagonal(const T& x) {
    if constexpr (kHermitian) return Eigen::numext::real(x);
    return x;
  }
};

/// A = L D L^H in the lower triangle of `a`: D of blocks of 1 and 2, L of exchanges and unit lower
/// triangles. A pivot is the row (from 1) exchanged with its own, negative in both rows of a block
/// of 2. Returns 0 or the number of the first block of 1 that is 0.
template <class T, bool kHermitian>
class Factorisation {
 public:
  Factorisation(Map<T> a, int32_t* pivots) : a_(a), pivots_(pivots), n_(a.rows()) {}

  int32_t run() {
    int32_t failed = 0;
    for (int64_t k = 0; k < n_;) {
      a_(k, k) = on_diagonal(a_(k, k));
      const auto [pivot, width] = choose(k);
      if (pivot < 0) {
        if (failed == 0) failed = static_cast<int32_t>(k) + 1;
        pivots_[k] = static_cast<int32_t>(k) + 1;
        ++k;
        continue;
      }
      exchange(k, width, pivot);
      if (width == 1) {
        eliminate_one(k);
        pivots_[k] = static_cast<int32_t>(pivot) + 1;
      } else {
        eliminate_two(k);
        pivots_[k] = pivots_[k + 1] = -static_cast<int32_t>(pivot) - 1;
      }
      k += width;
    }
    return failed;
  }

 private:
  using Form = Symmetry<T, kHermitian>;
  using Real = RealOf<T>;
  static T turned(const T& x) { return Form::turned(x); }
  static T on_diagonal(const T& x) { return Form::on_diagonal(x); }
  static Real size(const T& x) {
    return std::abs(Eigen::numext::real(x)) + std::abs(Eigen::numext::imag(x));
  }

  struct Choice {
    int64_t pivot;  ///< -1: nothing but zeros
    int64_t width;
  };
  Choice choose(int64_t k) const {
    const Real alpha = (1 + std::sqrt(Real(17))) / 8;
    const Real own = size(a_(k, k));
    Real in_column = 0;
    int64_t best = k;
    for (int64_t i = k + 1; i < n_; ++i)
      if (size(a_(i, k)) > in_column) {
        in_column = size(a_(i, k));
        best = i;
      }
    if (std::max(own, in_column) == 0 || std::isnan(own)) return {-1, 1};
    if (own >= alpha * in_column) return {k, 1};
    Real in_row = 0;
    for (int64_t j = k; j < n_; ++j)
      if (j != best) in_row = std::max(in_row, size(j < best ? a_(best, j) : a_(j, best)));
    if (own >= alpha * in_column * (in_column / in_row)) return {k, 1};
    return {best, size(on_diagonal(a_(best, best))) >= alpha * in_row ? 1 : 2};
  }

  /// Exchanges the last row and column of the block at k with those of the pivot.
  void exchange(int64_t k, int64_t width, int64_t pivot) {
    const int64_t row = k + width - 1;
    if (pivot == row) return;
    for (int64_t i = pivot + 1; i < n_; ++i) std::swap(a_(i, row), a_(i, pivot));
    for (int64_t j = row + 1; j < pivot; ++j) {
      const T kept = a_(j, row);
      a_(j, row) = turned(a_(pivot, j));
      a_(pivot, j) = turned(kept);
    }
    a_(pivot, row) = turned(a_(pivot, row));
    const T kept = a_(row, row);
    a_(row, row) = on_diagonal(a_(pivot, pivot));
    a_(pivot, pivot) = on_diagonal(kept);
    if (width == 2) std::swap(a_(k + 1, k), a_(pivot, k));
  }

  void eliminate_one(int64_t k) {
    const T inverse = T(1) / a_(k, k);
    for (int64_t j = k + 1; j < n_; ++j) {
      const T factor = turned(a_(j, k)) * inverse;
      for (int64_t i = j; i < n_; ++i) a_(i, j) -= a_(i, k) * factor;
      a_(j, j) = on_diagonal(a_(j, j));
    }
    for (int64_t j = k + 1; j < n_; ++j) a_(j, k) *= inverse;
  }

  void eliminate_two(int64_t k) {
    a_(k + 1, k + 1) = on_diagonal(a_(k + 1, k + 1));
    // By the inverse of [[a, turned(e)], [e, b]], written with terms over e, which is large.
    const T e = a_(k + 1, k);
    T scale = e;
    if constexpr (kHermitian) scale = std::abs(e);
    const T unit = e / scale;
    const T first = a_(k, k) / scale;
    const T second = a_(k + 1, k + 1) / scale;
    const T over = T(1) / (first * second - T(1)) / scale;
    for (int64_t j = k + 2; j < n_; ++j) {
      const T x = over * (second * a_(j, k) - unit * a_(j, k + 1));
      const T y = over * (first * a_(j, k + 1) - turned(unit) * a_(j, k));
      for (int64_t i = j; i < n_; ++i) a_(i, j) -= a_(i, k) * turned(x) + a_(i, k + 1) * turned(y);
      a_(j, k) = x;
      a_(j, k + 1) = y;
      a_(j, j) = on_diagonal(a_(j, j));
    }
  }

  Map<T> a_;
  int32_t* pivots_;
  int64_t n_;
};

/// X in `b` with A X = B, for the factors that Factorisation gives.
template <class T, bool kHermitian>
void solve_by(const Map<T>& a, const int32_t* pivots, Map<T> b) {
  using Form = Symmetry<T, kHermitian>;
  const int64_t n = a.rows();
  const auto below = [&](int64_t column, int64_t first) { return a.col(column).tail(n - first); };
  const auto transposed_below = [&](int64_t column, int64_t first) {
    if constexpr (kHermitian)
      return below(column, first).adjoint().eval();
    else
      return below(column, first).transpose().eval();
  };
  const auto exchange = [&](int64_t row, int64_t pivot) {
    if (row != pivot) b.row(row).swap(b.row(pivot));
  };
  for (int64_t k = 0; k < n;) {
    if (pivots[k] > 0) {
      exchange(k, pivots[k] - 1);
      b.bottomRows(n - k - 1).noalias() -= below(k, k + 1) * b.row(k);
      b.row(k) /= Form::on_diagonal(a(k, k));
      ++k;
      continue;
    }
    exchange(k + 1, -pivots[k] - 1);
    b.bottomRows(n - k - 2).noalias() -= below(k, k + 2) * b.row(k);
    b.bottomRows(n - k - 2).noalias() -= below(k + 1, k + 2) * b.row(k + 1);
    const T e = a(k + 1, k);
    const T first = a(k, k) / Form::turned(e);
    const T second = a(k + 1, k + 1) / e;
    const T over = T(1) / (first * second - T(1));
    for (int64_t j = 0; j < b.cols(); ++j) {
      const T x = b(k, j) / Form::turned(e);
      const T y = b(k + 1, j) / e;
      b(k, j) = (second * x - y) * over;
      b(k + 1, j) = (first * y - x) * over;
    }
    k += 2;
  }
  for (int64_t k = n - 1; k >= 0;) {
    const int64_t width = pivots[k] > 0 ? 1 : 2;
    for (int64_t row = k; row > k - width; --row)
      b.row(row).noalias() -= transposed_below(row, k + 1) * b.bottomRows(n - k - 1);
    exchange(k, std::abs(static_cast<int64_t>(pivots[k])) - 1);
    k -= width;
  }
}

const Register kLdl({
    .schema = "_linalg_ldl(Tensor A, bool hermitian=False) -> (Tensor LD, Tensor pivots, "
              "Tensor info)",
    .doc = "The factors of symmetric (or Hermitian) matrices, of which the lower triangle is read: "
           "A = L D L^T, packed as LAPACK's sytrf does; 0 or the number of the block that is 0.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.ldl"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "A");
          const TensorInfo& a = call.tensor("A");
          results.push_back({a.dtype, a.sizes, {}});
          results.push_back({DType::Int32, with(batch_of(a), {rows_of(a)}), {}});
          results.push_back({DType::Int32, batch_of(a), {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor packed = host.output(0);
          const HostTensor pivots = host.output(1);
          const HostTensor status = host.output(2);
          const bool hermitian = host.call().boolean("hermitian");
          for_dtype(a.info.dtype, [&]<class T>() {
            for (int64_t i = 0; i < matrix_count(a.info); ++i) {
              Map<T> x = matrix<T>(packed, i);
              x = matrix<T>(a, i).template triangularView<Eigen::Lower>();
              int32_t* places = static_cast<int32_t*>(pivots.data) + i * x.rows();
              static_cast<int32_t*>(status.data)[i] =
                  hermitian ? Factorisation<T, true>(x, places).run()
                            : Factorisation<T, false>(x, places).run();
            }
          });
        },
    .complex_kernel = true,
    .differentiable = false,
    .missing_gradients = {"A"},
    .samples = [] { return SampleList{{{t({3, 3})}}, {{t({2, 4, 4}), Scalar(true)}}}; },
    .errors =
        [] { return std::vector<ErrorSample>{{{{t({2, 3})}}, "RuntimeError", "square matrices"}}; },
});

const Register kLdlSolve({
    .schema = "_linalg_ldl_solve(Tensor LD, Tensor pivots, Tensor B, bool hermitian=False) -> "
              "Tensor",
    .doc = "X with A X = B for A with these factors of _linalg_ldl.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.ldl_solve"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "LD");
          check_matrices(call, "B");
          const TensorInfo& a = call.tensor("LD");
          const TensorInfo& pivots = call.tensor("pivots");
          const TensorInfo& b = call.tensor("B");
          check(pivots.dtype == DType::Int32 && pivots.sizes == with(batch_of(a), {rows_of(a)}),
                [&] {
                  return concat(call.name(), ": Expected pivots to be int32 of shape ",
                                list_text(with(batch_of(a), {rows_of(a)})), ", got ",
                                info(pivots.dtype).name, " ", list_text(pivots.sizes));
                });
          check(a.dtype == b.dtype && batch_of(a) == batch_of(b) && rows_of(a) == rows_of(b), [&] {
            return concat(call.name(), ": Incompatible matrices: LD of ", info(a.dtype).name, " ",
                          list_text(a.sizes), " and B of ", info(b.dtype).name, " ",
                          list_text(b.sizes));
          });
          results.push_back({b.dtype, b.sizes, {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("LD");
          const HostTensor pivots = host.input("pivots");
          const HostTensor b = host.input("B");
          const HostTensor x = host.output(0);
          const bool hermitian = host.call().boolean("hermitian");
          for_dtype(a.info.dtype, [&]<class T>() {
            const int64_t n = rows_of(a.info);
            for (int64_t i = 0; i < matrix_count(a.info) && n > 0; ++i) {
              const auto* places = static_cast<const int32_t*>(pivots.data) + i * n;
              matrix<T>(x, i) = matrix<T>(b, i);
              if (hermitian)
                solve_by<T, true>(matrix<T>(a, i), places, matrix<T>(x, i));
              else
                solve_by<T, false>(matrix<T>(a, i), places, matrix<T>(x, i));
            }
          });
        },
    .complex_kernel = true,
    .checks =
        [](HostCall& host) {
          const HostTensor pivots = host.input("pivots");
          const int64_t n = rows_of(host.call().tensor("LD"));
          const auto* places = static_cast<const int32_t*>(pivots.data);
          const auto valid = [&](int64_t i, int64_t row) {
            const int64_t pivot = places[i * n + row];
            return std::abs(pivot) >= 1 && std::abs(pivot) <= n;
          };
          for (int64_t i = 0; n > 0 && i < pivots.info.numel() / n; ++i)
            for (int64_t row = 0; row < n; ++row) {
              const bool pair = places[i * n + row] < 0;
              check(valid(i, row) &&
                        (!pair || (row + 1 < n && places[i * n + row + 1] == places[i * n + row])),
                    [&] {
                      return concat(host.call().name(),
                                    ": pivots that ldl_factor gives are rows "
                                    "from 1 to ",
                                    n, ", negative ones in pairs, got ", places[i * n + row],
                                    " in row ", row + 1);
                    });
              row += pair ? 1 : 0;
            }
        },
    .differentiable = false,
    .samples =
        [] {
          SampleTensor pivots = t({2, 3}, 1, 3);
          pivots.dtype = DType::Int32;
          SampleTensor factors = t({2, 3, 3}, 1, 2);
          return SampleList{{{factors, pivots, t({2, 3, 2})}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
