// Factorisations of matrices and of batches of them, by Eigen. Their gradients are products of the
// factors; where one needs an inverse, the operation gives it as a result of its own.

#include <algorithm>
#include <cmath>
#include <eigen3/Eigen/Dense>
#include <limits>

#include "ops/functions.h"
#include "ops/linear/matmul.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;

namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Map = Eigen::Map<Matrix<T>>;

int64_t rows_of(const TensorInfo& t) { return t.sizes[t.sizes.size() - 2]; }
int64_t columns_of(const TensorInfo& t) { return t.sizes.back(); }
Ints batch_of(const TensorInfo& t) { return {t.sizes.begin(), t.sizes.end() - 2}; }
Ints with(const Ints& batch, std::initializer_list<int64_t> last) {
  Ints sizes = batch;
  for (const int64_t size : last) sizes.push_back(size);
  return sizes;
}

void check_matrices(const Call& call, const char* name) {
  const TensorInfo& a = call.tensor(name);
  check(a.dim() >= 2, [&] {
    return concat(call.name(), ": The input tensor ", name,
                  " must have at least 2 dimensions, got shape ", list_text(a.sizes));
  });
  check(a.dtype == DType::Float32 || a.dtype == DType::Float64, [&] {
    return concat(call.name(), ": Expected a float32 or float64 tensor as input. Got ",
                  info(a.dtype).name);
  });
}
void check_square(const Call& call, const char* name) {
  check_matrices(call, name);
  const TensorInfo& a = call.tensor(name);
  check(rows_of(a) == columns_of(a), [&] {
    return concat(call.name(), ": ", name, " must be batches of square matrices, but they are ",
                  rows_of(a), " by ", columns_of(a), " matrices");
  });
}

/// Calls fn.operator()<T>() for the dtype of the first tensor.
template <class Fn>
void for_dtype(DType dtype, const Fn& fn) {
  if (dtype == DType::Float64)
    fn.template operator()<double>();
  else
    fn.template operator()<float>();
}
/// Matrix number `i` of a batch.
template <class T>
Map<T> matrix(const HostTensor& t, int64_t i) {
  const int64_t rows = rows_of(t.info);
  const int64_t columns = columns_of(t.info);
  return {static_cast<T*>(t.data) + i * rows * columns, rows, columns};
}
int64_t matrix_count(const TensorInfo& t) {
  int64_t n = 1;
  for (const int64_t size : batch_of(t)) n *= size;
  return n;
}

Expr adjoint(const Expr& x) { return transpose(x, -2, -1); }
Expr product(const Expr& a, const Expr& b) { return matmul(a, b); }
Expr product(const Expr& a, const Expr& b, const Expr& c) { return matmul(matmul(a, b), c); }
/// The lower triangle up to diagonal `offset`, or the upper one from it; 0 elsewhere.
Expr triangle(const Expr& x, bool upper, int64_t offset) {
  const Expr row = iota(x.builder(), x.shape(), x.rank() - 2) + static_cast<double>(offset);
  const Expr column = iota(x.builder(), x.shape(), x.rank() - 1);
  return select(upper ? ge(column, row) : le(column, row), x, 0.0);
}
Expr on_diagonal(const Expr& x) {
  return eq(iota(x.builder(), x.shape(), x.rank() - 2), iota(x.builder(), x.shape(), x.rank() - 1));
}
/// A matrix with the last axis of `d` on its diagonal.
Expr diagonal_matrix(const Expr& d, const Expr& like) {
  return select(on_diagonal(like), broadcast_to(unsqueeze(d, d.rank()), like.shape()), 0.0);
}
/// part of the columns, part of the rows
Expr columns(const Expr& x, const Dim& first, const Dim& count) {
  return slice(x, x.rank() - 1, first, count);
}
Expr rows(const Expr& x, const Dim& first, const Dim& count) {
  return slice(x, x.rank() - 2, first, count);
}

SampleTensor well(std::initializer_list<int64_t> shape) { return t(shape, -1, 1); }

// ---- inverses
template <class T>
int first_zero_pivot(const Eigen::PartialPivLU<Matrix<T>>& lu) {
  for (Eigen::Index i = 0; i < lu.matrixLU().rows(); ++i)
    if (lu.matrixLU()(i, i) == T(0)) return static_cast<int>(i) + 1;
  return 0;
}
const Register kInverse({
    .schema = "_linalg_inverse(Tensor A) -> (Tensor inverse, Tensor info)",
    .doc = "The inverse of each matrix; info is 0, or the number of the pivot that is 0.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.inverse"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "A");
          const TensorInfo& a = call.tensor("A");
          results.push_back({a.dtype, a.sizes, {}});
          results.push_back({DType::Int32, batch_of(a), {}});
        },
    .vjp =
        [](VjpLowering& v) {
          if (!v.cotangents[0].valid()) return;
          const Expr r = adjoint(v.results[0]);
          v.gradients[0] = -product(r, v.cotangents[0], r);
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor inverse = host.output(0);
          const HostTensor status = host.output(1);
          for_dtype(a.info.dtype, [&]<class T>() {
            for (int64_t i = 0; i < matrix_count(a.info); ++i) {
              static_cast<int32_t*>(status.data)[i] = 0;
              if (rows_of(a.info) == 0) continue;
              const Eigen::PartialPivLU<Matrix<T>> lu(matrix<T>(a, i));
              static_cast<int32_t*>(status.data)[i] = first_zero_pivot<T>(lu);
              matrix<T>(inverse, i) = lu.inverse();
            }
          });
        },
    .autocast = "float32",
    .samples = [] { return SampleList{{{well({3, 3})}}, {{well({2, 2, 2})}}}; },
    .errors =
        [] { return std::vector<ErrorSample>{{{{t({2, 3})}}, "RuntimeError", "square matrices"}}; },
});

const Register kSolve({
    .schema = "_linalg_solve(Tensor A, Tensor B) -> (Tensor X, Tensor inverse, Tensor info)",
    .doc = "X with A X = B for matrices B, the inverse of A, and info as of _linalg_inverse.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.solve"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "A");
          check_matrices(call, "B");
          const TensorInfo& a = call.tensor("A");
          const TensorInfo& b = call.tensor("B");
          check(a.dtype == b.dtype && batch_of(a) == batch_of(b) && rows_of(a) == rows_of(b), [&] {
            return concat(call.name(), ": Incompatible matrices: A of ", info(a.dtype).name, " ",
                          list_text(a.sizes), " and B of ", info(b.dtype).name, " ",
                          list_text(b.sizes));
          });
          results.push_back({b.dtype, b.sizes, {}});
          results.push_back({a.dtype, a.sizes, {}});
          results.push_back({DType::Int32, batch_of(a), {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr r = adjoint(v.results[1]);
          Expr of_a;
          if (const Expr& g = v.cotangents[0]; g.valid()) {
            v.gradients[1] = product(r, g);
            of_a = -product(v.gradients[1], adjoint(v.results[0]));
          }
          if (const Expr& g = v.cotangents[1]; g.valid()) {
            const Expr of_inverse = -product(r, g, r);
            of_a = of_a.valid() ? of_a + of_inverse : of_inverse;
          }
          v.gradients[0] = of_a;
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor b = host.input("B");
          const HostTensor x = host.output(0);
          const HostTensor inverse = host.output(1);
          const HostTensor status = host.output(2);
          for_dtype(a.info.dtype, [&]<class T>() {
            for (int64_t i = 0; i < matrix_count(a.info); ++i) {
              static_cast<int32_t*>(status.data)[i] = 0;
              if (rows_of(a.info) == 0) continue;
              const Eigen::PartialPivLU<Matrix<T>> lu(matrix<T>(a, i));
              static_cast<int32_t*>(status.data)[i] = first_zero_pivot<T>(lu);
              matrix<T>(x, i) = lu.solve(matrix<T>(b, i));
              matrix<T>(inverse, i) = lu.inverse();
            }
          });
        },
    .autocast = "float32",
    .samples =
        [] { return SampleList{{{well({3, 3}), t({3, 2})}}, {{well({2, 2, 2}), t({2, 2, 1})}}}; },
});

const Register kTriangularInverse({
    .schema =
        "_linalg_triangular_inverse(Tensor A, bool upper, bool unitriangular=False) -> Tensor",
    .doc =
        "The inverse of the upper or lower triangle of each matrix, whose diagonal counts as 1 if "
        "unitriangular.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.triangular_inverse"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "A");
          results.push_back({call.tensor("A").dtype, call.tensor("A").sizes, {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr r = adjoint(v.results[0]);
          const bool upper = v.forward.call().boolean("upper");
          const bool unit = v.forward.call().boolean("unitriangular");
          v.gradients[0] =
              triangle(-product(r, v.cotangents[0], r), upper, unit ? (upper ? 1 : -1) : 0);
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor out = host.output(0);
          const bool upper = host.call().boolean("upper");
          const bool unit = host.call().boolean("unitriangular");
          for_dtype(a.info.dtype, [&]<class T>() {
            const int64_t n = rows_of(a.info);
            for (int64_t i = 0; i < matrix_count(a.info); ++i) {
              const Matrix<T> eye = Matrix<T>::Identity(n, n);
              const Map<T> x = matrix<T>(a, i);
              if (upper && unit)
                matrix<T>(out, i) = x.template triangularView<Eigen::UnitUpper>().solve(eye);
              else if (upper)
                matrix<T>(out, i) = x.template triangularView<Eigen::Upper>().solve(eye);
              else if (unit)
                matrix<T>(out, i) = x.template triangularView<Eigen::UnitLower>().solve(eye);
              else
                matrix<T>(out, i) = x.template triangularView<Eigen::Lower>().solve(eye);
            }
          });
        },
    .autocast = "float32",
    .samples =
        [] {
          return SampleList{{{t({3, 3}, 0.5, 1.5), Scalar(true)}},
                            {{t({2, 3, 3}, 0.5, 1.5), Scalar(false), Scalar(true)}}};
        },
});

// ---- Cholesky
const Register kCholesky({
    .schema = "_linalg_cholesky(Tensor A) -> (Tensor L, Tensor inverse, Tensor info)",
    .doc = "The lower triangular L with L L^T = A for symmetric positive-definite A (its lower "
           "triangle is read), L's inverse, and 0 or the order of the minor that is not positive.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.cholesky"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "A");
          const TensorInfo& a = call.tensor("A");
          results.push_back({a.dtype, a.sizes, {}});
          results.push_back({a.dtype, a.sizes, {}});
          results.push_back({DType::Int32, batch_of(a), {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr& l = v.results[0];
          const Expr& r = v.results[1];
          Expr g = v.cotangents[0];
          if (v.cotangents[1].valid()) {
            const Expr t = adjoint(r);
            const Expr of_inverse = triangle(-product(t, v.cotangents[1], t), false, 0);
            g = g.valid() ? g + of_inverse : of_inverse;
          }
          if (!g.valid()) return;
          const Expr full = triangle(product(adjoint(l), g), false, 0);
          const Expr phi = select(on_diagonal(full), full * 0.5, full);
          v.gradients[0] = product(adjoint(r), phi + adjoint(phi), r) * 0.5;
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor factor = host.output(0);
          const HostTensor inverse = host.output(1);
          const HostTensor status = host.output(2);
          for_dtype(a.info.dtype, [&]<class T>() {
            const int64_t n = rows_of(a.info);
            for (int64_t i = 0; i < matrix_count(a.info); ++i) {
              const Map<T> x = matrix<T>(a, i);
              Map<T> l = matrix<T>(factor, i);
              l.setZero();
              int failed = 0;
              // Column by column, so that the first minor that is not positive is known.
              for (int64_t j = 0; j < n && failed == 0; ++j) {
                const T pivot = x(j, j) - l.row(j).head(j).squaredNorm();
                if (!(pivot > 0)) {
                  failed = static_cast<int>(j) + 1;
                  break;
                }
                l(j, j) = std::sqrt(pivot);
                for (int64_t k = j + 1; k < n; ++k)
                  l(k, j) = (x(k, j) - l.row(k).head(j).dot(l.row(j).head(j))) / l(j, j);
              }
              static_cast<int32_t*>(status.data)[i] = failed;
              const Matrix<T> eye = Matrix<T>::Identity(n, n);
              matrix<T>(inverse, i) = l.template triangularView<Eigen::Lower>().solve(eye);
            }
          });
        },
    // Random matrices are not positive-definite: tests/python/test_linalg.py has its gradient.
    .autocast = "float32",
    .samples =
        [] {
          SampleTensor a = t({1, 1}, 0.5, 2);
          SampleTensor b = t({2, 1, 1}, 0.5, 2);
          return SampleList{{{a}}, {{b}}};
        },
});

// ---- eigenvalues and singular values
const Register kEigh({
    .schema =
        "_linalg_eigh(Tensor A, bool upper=False) -> (Tensor eigenvalues, Tensor eigenvectors)",
    .doc = "The eigenvalues, ascending, and eigenvectors (columns) of symmetric matrices, of which "
           "one triangle is read.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.eigh"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "A");
          const TensorInfo& a = call.tensor("A");
          results.push_back({a.dtype, with(batch_of(a), {rows_of(a)}), {}});
          results.push_back({a.dtype, a.sizes, {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr& values = v.results[0];
          const Expr& vectors = v.results[1];
          Expr inner;
          if (v.cotangents[1].valid()) {
            const Expr turned = product(adjoint(vectors), v.cotangents[1]);
            const Expr gap =
                unsqueeze(values, values.rank() - 1) - unsqueeze(values, values.rank());
            inner = select(on_diagonal(turned), 0.0, turned / select(on_diagonal(gap), 1.0, gap));
          }
          if (v.cotangents[0].valid()) {
            const Expr own = diagonal_matrix(v.cotangents[0], vectors);
            inner = inner.valid() ? inner + own : own;
          }
          if (inner.valid()) v.gradients[0] = product(vectors, inner, adjoint(vectors));
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor values = host.output(0);
          const HostTensor vectors = host.output(1);
          const bool upper = host.call().boolean("upper");
          for_dtype(a.info.dtype, [&]<class T>() {
            const int64_t n = rows_of(a.info);
            for (int64_t i = 0; i < matrix_count(a.info) && n > 0; ++i) {
              // The solver reads the lower triangle.
              Matrix<T> x = matrix<T>(a, i);
              if (upper) x.transposeInPlace();
              const Eigen::SelfAdjointEigenSolver<Matrix<T>> solver(x);
              Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, 1>>(static_cast<T*>(values.data) + i * n,
                                                              n) = solver.eigenvalues();
              matrix<T>(vectors, i) = solver.eigenvectors();
            }
          });
        },
    // The sign of a vector is free, the gradient of a triangle is spread over both:
    // tests/python/test_linalg.py compares what is determined.
    .autocast = "float32",
    .samples =
        [] {
          SampleTensor a = t({3, 3});
          a.grad = false;
          return SampleList{{{a}}, {{a, Scalar(true)}}};
        },
});

const Register kSvd({
    .schema = "_linalg_svd(Tensor A, bool full_matrices=False) -> (Tensor U, Tensor S, Tensor Vh)",
    .doc = "A = U diag(S) Vh with orthonormal columns of U and rows of Vh, S descending; with "
           "full_matrices U and Vh are square.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.svd"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_matrices(call, "A");
          const TensorInfo& a = call.tensor("A");
          const bool full = call.boolean("full_matrices");
          const int64_t m = rows_of(a);
          const int64_t n = columns_of(a);
          const int64_t k = std::min(m, n);
          results.push_back({a.dtype, with(batch_of(a), {m, full ? m : k}), {}});
          results.push_back({a.dtype, with(batch_of(a), {k}), {}});
          results.push_back({a.dtype, with(batch_of(a), {full ? n : k, n}), {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr& s = v.results[1];
          const Dim k = s.dim(-1);
          const Expr u = columns(v.results[0], 0, k);
          const Expr vh = rows(v.results[2], 0, k);
          const Expr square = product(adjoint(u), u);
          const Expr column = unsqueeze(s, s.rank());
          const Expr row = unsqueeze(s, s.rank() - 1);
          const Expr gap = row * row - column * column;
          const Expr safe = select(on_diagonal(gap), 1.0, gap);
          const auto skew = [&](const Expr& x) {
            return select(on_diagonal(gap), 0.0, (x - adjoint(x)) / safe);
          };
          Expr inner = diagonal_matrix(v.cotangents[1].valid() ? v.cotangents[1] : s * 0.0, square);
          Expr outer;
          const auto add = [&](const Expr& term) { outer = outer.valid() ? outer + term : term; };
          if (v.cotangents[0].valid()) {
            const Expr g = columns(v.cotangents[0], 0, k);
            inner = inner + skew(product(adjoint(u), g)) * row;
            const Expr away = g - product(u, adjoint(u), g);
            add(product(away / row, vh));
          }
          if (v.cotangents[2].valid()) {
            const Expr g = rows(v.cotangents[2], 0, k);
            inner = inner + skew(product(vh, adjoint(g))) * column;
            const Expr away = g - product(g, adjoint(vh), vh);
            add(product(u, away / column));
          }
          const Expr main = product(u, inner, vh);
          v.gradients[0] = outer.valid() ? main + outer : main;
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor u = host.output(0);
          const HostTensor s = host.output(1);
          const HostTensor vh = host.output(2);
          const bool full = host.call().boolean("full_matrices");
          for_dtype(a.info.dtype, [&]<class T>() {
            const int64_t k = std::min(rows_of(a.info), columns_of(a.info));
            for (int64_t i = 0; i < matrix_count(a.info); ++i) {
              if (k == 0) {
                matrix<T>(u, i).setIdentity();
                matrix<T>(vh, i).setIdentity();
                continue;
              }
              const auto options =
                  static_cast<unsigned>(full ? Eigen::ComputeFullU | Eigen::ComputeFullV
                                             : Eigen::ComputeThinU | Eigen::ComputeThinV);
              const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic> x = matrix<T>(a, i);
              Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, 1>> values(
                  static_cast<T*>(s.data) + i * k, k);
              if (!x.allFinite()) {  // of these the algorithm makes nothing
                constexpr T kNan = std::numeric_limits<T>::quiet_NaN();
                matrix<T>(u, i).setConstant(kNan);
                matrix<T>(vh, i).setConstant(kNan);
                values.setConstant(kNan);
                continue;
              }
              const Eigen::BDCSVD<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>> svd(x, options);
              matrix<T>(u, i) = svd.matrixU();
              values = svd.singularValues();
              matrix<T>(vh, i) = svd.matrixV().transpose();
            }
          });
        },
    .autocast = "float32",
    .samples = [] { return SampleList{{{t({3, 3})}}, {{t({4, 2})}}, {{t({2, 2, 3})}}}; },
});

// ---- QR and LU
/// The gradient of A = Q R for R square: R's inverse is `r_inverse`.
Expr qr_gradient(const Expr& q, const Expr& r, const Expr& r_inverse, const Expr& gq,
                 const Expr& gr) {
  Expr m;
  if (gr.valid()) m = product(gr, adjoint(r));
  if (gq.valid()) {
    const Expr turned = product(adjoint(q), gq);
    m = m.valid() ? m - turned : -turned;
  }
  const Expr upper = triangle(m, true, 0);
  const Expr symmetric = triangle(m, true, 1) + adjoint(upper);
  Expr total = product(q, symmetric);
  if (gq.valid()) total = total + gq;
  return product(total, adjoint(r_inverse));
}
const Register kQr({
    .schema = "_linalg_qr(Tensor A, bool complete=False) -> (Tensor Q, Tensor R, Tensor inverse)",
    .doc = "A = Q R with orthonormal columns of Q (square if complete) and upper triangular R; the "
           "inverse of R's leading square.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.qr"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_matrices(call, "A");
          const TensorInfo& a = call.tensor("A");
          const int64_t m = rows_of(a);
          const int64_t n = columns_of(a);
          const int64_t k = std::min(m, n);
          const int64_t inner = call.boolean("complete") ? m : k;
          results.push_back({a.dtype, with(batch_of(a), {m, inner}), {}});
          results.push_back({a.dtype, with(batch_of(a), {inner, n}), {}});
          results.push_back({a.dtype, with(batch_of(a), {k, k}), {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr& inverse = v.results[2];
          const Dim k = inverse.dim(-1);
          const Dim n = v.results[1].dim(-1);
          const Expr q = columns(v.results[0], 0, k);
          const Expr r = rows(v.results[1], 0, k);
          const Expr square = columns(r, 0, k);
          Expr gq = v.cotangents[0].valid() ? columns(v.cotangents[0], 0, k) : Expr();
          Expr gr = v.cotangents[1].valid() ? rows(v.cotangents[1], 0, k) : Expr();
          if (!gq.valid() && !gr.valid()) return;
          if (n == k) {
            v.gradients[0] = qr_gradient(q, square, inverse, gq, gr);
            return;
          }
          // A = [X | Y] with X = Q U and R = [U | Q^T Y].
          const Dim rest = n - k;
          const Expr y = columns(v.forward["A"], k, rest);
          Expr of_y = full_like(y, 0.0);
          Expr of_square;
          if (gr.valid()) {
            const Expr tail = columns(gr, k, rest);
            of_y = product(q, tail);
            const Expr of_q = product(y, adjoint(tail));
            gq = gq.valid() ? gq + of_q : of_q;
            of_square = columns(gr, 0, k);
          }
          const SmallVector<Expr, 2> parts{qr_gradient(q, square, inverse, gq, of_square), of_y};
          v.gradients[0] = concatenate(parts, of_y.rank() - 1);
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor q = host.output(0);
          const HostTensor r = host.output(1);
          const HostTensor inverse = host.output(2);
          for_dtype(a.info.dtype, [&]<class T>() {
            const int64_t k = rows_of(inverse.info);
            const int64_t inner = columns_of(q.info);
            for (int64_t i = 0; i < matrix_count(a.info); ++i) {
              matrix<T>(q, i).setIdentity();
              matrix<T>(r, i).setZero();
              if (k == 0) continue;
              const Eigen::HouseholderQR<Matrix<T>> qr(matrix<T>(a, i));
              matrix<T>(q, i) = qr.householderQ() * Matrix<T>::Identity(rows_of(a.info), inner);
              matrix<T>(r, i).topRows(k) =
                  qr.matrixQR().topRows(k).template triangularView<Eigen::Upper>();
              const Matrix<T> eye = Matrix<T>::Identity(k, k);
              matrix<T>(inverse, i) =
                  matrix<T>(r, i).topLeftCorner(k, k).template triangularView<Eigen::Upper>().solve(
                      eye);
            }
          });
        },
    .autocast = "float32",
    .samples =
        [] {
          // The inverse has no gradient of its own.
          SampleTensor whole = t({3, 3});
          whole.grad = false;
          SampleTensor tall = t({4, 2});
          tall.grad = false;
          return SampleList{{{whole}}, {{tall, Scalar(true)}}};
        },
});

const Register kGeqrf({
    .schema = "geqrf(Tensor self) -> (Tensor a, Tensor tau)",
    .doc = "LAPACK's form of A = Q R: R on and above the diagonal, below it the vectors of the "
           "reflections whose product is Q, and their factors tau.",
    .variants = {.out = true},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_matrices(call, "self");
          const TensorInfo& a = call.tensor("self");
          results.push_back({a.dtype, a.sizes, {}});
          results.push_back(
              {a.dtype, with(batch_of(a), {std::min(rows_of(a), columns_of(a))}), {}});
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("self");
          const HostTensor packed = host.output(0);
          const HostTensor tau = host.output(1);
          for_dtype(a.info.dtype, [&]<class T>() {
            const int64_t k = tau.info.sizes.back();
            for (int64_t i = 0; i < matrix_count(a.info) && k > 0; ++i) {
              const Eigen::HouseholderQR<Matrix<T>> qr(matrix<T>(a, i));
              matrix<T>(packed, i) = qr.matrixQR();
              Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, 1>>(static_cast<T*>(tau.data) + i * k,
                                                              k) = qr.hCoeffs();
            }
          });
        },
    .differentiable = false,
    .autocast = "float32",
    .samples = [] { return SampleList{{{t({3, 3})}}, {{t({2, 3, 2})}}}; },
});
const Register kLu({
    .schema = "_linalg_lu(Tensor A) -> (Tensor LU, Tensor P, Tensor L_inverse, Tensor U_inverse, "
              "Tensor pivots, Tensor info)",
    .doc = "The factors of A = P L U by partial pivoting, packed: U on and above the diagonal, L "
           "(with ones on its diagonal) below; P; the inverses of the leading squares of L and U; "
           "the rows exchanged at each step, from 1; 0 or the number of the pivot that is 0.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.lu"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_matrices(call, "A");
          const TensorInfo& a = call.tensor("A");
          const Ints batch = batch_of(a);
          const int64_t m = rows_of(a);
          const int64_t k = std::min(m, columns_of(a));
          results.push_back({a.dtype, a.sizes, {}});
          results.push_back({a.dtype, with(batch, {m, m}), {}});
          results.push_back({a.dtype, with(batch, {k, k}), {}});
          results.push_back({a.dtype, with(batch, {k, k}), {}});
          results.push_back({DType::Int32, with(batch, {k}), {}});
          results.push_back({DType::Int32, batch, {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr& g = v.cotangents[0];
          if (!g.valid()) return;
          const Expr& packed = v.results[0];
          const Dim k = v.results[2].dim(-1);
          const Dim m = packed.dim(-2);
          const Dim n = packed.dim(-1);
          const Expr l_inverse = adjoint(v.results[2]);
          const Expr u_inverse = adjoint(v.results[3]);
          const Expr square = columns(rows(packed, 0, k), 0, k);
          const Expr l = select(on_diagonal(square), 1.0, triangle(square, false, 0));
          const Expr u = triangle(square, true, 0);
          const Expr corner = columns(rows(g, 0, k), 0, k);
          Expr of_l = triangle(corner, false, -1);
          Expr of_u = triangle(corner, true, 0);
          // The rows of A below the square are L_2 U, the columns beside it L U_2.
          Expr below;
          Expr beside;
          if (m != k) {
            below = product(columns(rows(g, k, m - k), 0, k), u_inverse);
            const Expr l_rest = columns(rows(packed, k, m - k), 0, k);
            of_u = of_u - triangle(product(adjoint(l_rest), below), true, 0);
          }
          if (n != k) {
            beside = product(l_inverse, columns(rows(g, 0, k), k, n - k));
            const Expr u_rest = columns(rows(packed, 0, k), k, n - k);
            of_l = of_l - triangle(product(beside, adjoint(u_rest)), false, -1);
          }
          const Expr inner = triangle(product(adjoint(l), of_l), false, -1) +
                             triangle(product(of_u, adjoint(u)), true, 0);
          Expr whole = product(l_inverse, inner, u_inverse);
          if (below.valid()) {
            const SmallVector<Expr, 2> parts{whole, below};
            whole = concatenate(parts, whole.rank() - 2);
          }
          if (beside.valid()) {
            const SmallVector<Expr, 2> parts{whole, beside};
            whole = concatenate(parts, whole.rank() - 1);
          }
          v.gradients[0] = product(v.results[1], whole);
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor packed = host.output(0);
          const HostTensor permutation = host.output(1);
          const HostTensor l_inverse = host.output(2);
          const HostTensor u_inverse = host.output(3);
          const HostTensor pivots = host.output(4);
          const HostTensor status = host.output(5);
          for_dtype(a.info.dtype, [&]<class T>() {
            const int64_t m = rows_of(a.info);
            const int64_t n = columns_of(a.info);
            const int64_t k = std::min(m, n);
            for (int64_t i = 0; i < matrix_count(a.info); ++i) {
              Map<T> x = matrix<T>(packed, i);
              x = matrix<T>(a, i);
              Matrix<T> exchanged = Matrix<T>::Identity(m, m);
              int failed = 0;
              for (int64_t j = 0; j < k; ++j) {
                Eigen::Index best = 0;
                x.col(j).tail(m - j).cwiseAbs().maxCoeff(&best);
                best += j;
                static_cast<int32_t*>(pivots.data)[i * k + j] = static_cast<int32_t>(best + 1);
                if (best != j) {
                  x.row(j).swap(x.row(best));
                  exchanged.row(j).swap(exchanged.row(best));
                }
                if (x(j, j) == T(0)) {
                  if (failed == 0) failed = static_cast<int>(j) + 1;
                  continue;
                }
                x.col(j).tail(m - j - 1) /= x(j, j);
                x.bottomRightCorner(m - j - 1, n - j - 1).noalias() -=
                    x.col(j).tail(m - j - 1) * x.row(j).tail(n - j - 1);
              }
              matrix<T>(permutation, i) = exchanged.transpose();
              const Matrix<T> eye = Matrix<T>::Identity(k, k);
              const Matrix<T> square = x.topLeftCorner(k, k);
              matrix<T>(l_inverse, i) =
                  square.template triangularView<Eigen::UnitLower>().solve(eye);
              matrix<T>(u_inverse, i) = square.template triangularView<Eigen::Upper>().solve(eye);
              static_cast<int32_t*>(status.data)[i] = failed;
            }
          });
        },
    // Only the factors have gradients: tests/python/test_linalg.py.
    .autocast = "float32",
    .samples =
        [] {
          SampleTensor whole = t({3, 3});
          whole.grad = false;
          SampleTensor tall = t({2, 3, 2});
          tall.grad = false;
          return SampleList{{{whole}}, {{tall}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
