// Triangular factors by partial pivoting.

#include <algorithm>
#include <eigen3/Eigen/LU>
#include <limits>

#include "ops/functions.h"
#include "ops/linear/factor.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;
using namespace factor;

namespace {

/// The place of the largest element: of complex numbers by |re| + |im|, as LAPACK has it.
template <class T>
int64_t largest(
    const Eigen::Ref<const Eigen::Matrix<T, Eigen::Dynamic, 1>, 0, Eigen::InnerStride<>>& x) {
  Eigen::Index best = 0;
  if constexpr (Eigen::NumTraits<T>::IsComplex)
    (x.real().cwiseAbs() + x.imag().cwiseAbs()).maxCoeff(&best);
  else
    x.cwiseAbs().maxCoeff(&best);
  return best;
}
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
          const Expr& packed = v.results[0];
          Expr g = v.cotangents[0];
          if (!g.valid()) g = full_like(packed, 0.0);
          const Dim k = v.results[2].dim(-1);
          const Dim m = packed.dim(-2);
          const Dim n = packed.dim(-1);
          const Expr l_inverse = transposed(v.results[2]);
          const Expr u_inverse = transposed(v.results[3]);
          const Expr square = columns(rows(packed, 0, k), 0, k);
          const Expr l = select(on_diagonal(square), 1.0, triangle(square, false, 0));
          const Expr u = triangle(square, true, 0);
          const Expr corner = columns(rows(g, 0, k), 0, k);
          Expr of_l = triangle(corner, false, -1);
          Expr of_u = triangle(corner, true, 0);
          if (const Expr more = through_inverse(l_inverse, v.cotangents[2]); more.valid())
            of_l = of_l + triangle(more, false, -1);
          if (const Expr more = through_inverse(u_inverse, v.cotangents[3]); more.valid())
            of_u = of_u + triangle(more, true, 0);
          // The rows of A below the square are L_2 U, the columns beside it L U_2.
          Expr below;
          Expr beside;
          if (m != k) {
            below = product(columns(rows(g, k, m - k), 0, k), u_inverse);
            const Expr l_rest = columns(rows(packed, k, m - k), 0, k);
            of_u = of_u - triangle(product(transposed(l_rest), below), true, 0);
          }
          if (n != k) {
            beside = product(l_inverse, columns(rows(g, 0, k), k, n - k));
            const Expr u_rest = columns(rows(packed, 0, k), k, n - k);
            of_l = of_l - triangle(product(beside, transposed(u_rest)), false, -1);
          }
          const Expr inner = triangle(product(transposed(l), of_l), false, -1) +
                             triangle(product(of_u, transposed(u)), true, 0);
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
                const int64_t best = j + largest<T>(x.col(j).tail(m - j));
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
              Matrix<T> square = x.topLeftCorner(k, k);
              // The inverse of U serves gradients alone, which of a determinant are then finite.
              for (int64_t j = 0; j < k; ++j)
                if (square(j, j) == T(0)) square(j, j) = std::numeric_limits<RealOf<T>>::epsilon();
              matrix<T>(l_inverse, i) =
                  square.template triangularView<Eigen::UnitLower>().solve(eye);
              matrix<T>(u_inverse, i) = square.template triangularView<Eigen::Upper>().solve(eye);
              static_cast<int32_t*>(status.data)[i] = failed;
            }
          });
        },
    .complex_kernel = true,
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
