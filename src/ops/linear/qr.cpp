// Orthonormal factors.

#include <algorithm>
#include <eigen3/Eigen/QR>

#include "ops/functions.h"
#include "ops/linear/factor.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;
using namespace factor;

namespace {

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
  const Expr half = select(on_diagonal(upper), upper * 0.5, upper);
  Expr total = product(q, half + adjoint(half));
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
          const std::vector<Expr> seeds = conjugated(v.cotangents);
          Expr gq = seeds[0].valid() ? columns(seeds[0], 0, k) : Expr();
          Expr gr = seeds[1].valid() ? rows(seeds[1], 0, k) : Expr();
          Expr of_square = through_inverse(adjoint(inverse), seeds[2]);
          if (of_square.valid()) of_square = triangle(of_square, true, 0);
          if (!gq.valid() && !gr.valid() && !of_square.valid()) return;
          if (n == k) {
            v.gradients[0] = conj(qr_gradient(q, square, inverse, gq, joined(gr, of_square)));
            return;
          }
          // A = [X | Y] with X = Q U and R = [U | Q^H Y].
          const Dim rest = n - k;
          const Expr y = columns(v.forward["A"], k, rest);
          Expr of_y = full_like(y, 0.0);
          if (gr.valid()) {
            const Expr tail = columns(gr, k, rest);
            of_y = product(q, tail);
            const Expr of_q = product(y, adjoint(tail));
            gq = gq.valid() ? gq + of_q : of_q;
            of_square = joined(columns(gr, 0, k), of_square);
          }
          const SmallVector<Expr, 2> parts{qr_gradient(q, square, inverse, gq, of_square), of_y};
          v.gradients[0] = conj(concatenate(parts, of_y.rank() - 1));
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
    .complex_kernel = true,
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
              vector<T>(tau, i) = qr.hCoeffs().conjugate();
            }
          });
        },
    .complex_kernel = true,
    .differentiable = false,
    .missing_gradients = {"self"},
    .autocast = "float32",
    .samples = [] { return SampleList{{{t({3, 3})}}, {{t({2, 3, 2})}}}; },
});

}  // namespace
}  // namespace flambeau::ops
