// The Cholesky factor of matrices.

#include <cmath>
#include <eigen3/Eigen/Core>

#include "ops/linear/factor.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;
using namespace factor;

namespace {

const Register kCholesky({
    .schema = "_linalg_cholesky(Tensor A) -> (Tensor L, Tensor inverse, Tensor info)",
    .doc = "The lower triangular L with L L^H = A for Hermitian positive-definite A (its lower "
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
          const std::vector<Expr> seeds = conjugated(v.cotangents);
          Expr g = seeds[0];
          if (seeds[1].valid()) {
            const Expr t = adjoint(r);
            const Expr of_inverse = triangle(-product(t, seeds[1], t), false, 0);
            g = g.valid() ? g + of_inverse : of_inverse;
          }
          if (!g.valid()) return;
          const Expr full = triangle(product(adjoint(l), g), false, 0);
          const Expr whole = full + adjoint(triangle(full, false, -1));
          v.gradients[0] = conj(product(adjoint(r), whole, r) * 0.5);
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
                const RealOf<T> pivot =
                    Eigen::numext::real(x(j, j)) - l.row(j).head(j).squaredNorm();
                if (!(pivot > 0)) {
                  failed = static_cast<int>(j) + 1;
                  break;
                }
                l(j, j) = std::sqrt(pivot);
                for (int64_t k = j + 1; k < n; ++k)
                  l(k, j) = (x(k, j) - l.row(j).head(j).dot(l.row(k).head(j))) / l(j, j);
              }
              static_cast<int32_t*>(status.data)[i] = failed;
              const Matrix<T> eye = Matrix<T>::Identity(n, n);
              matrix<T>(inverse, i) = l.template triangularView<Eigen::Lower>().solve(eye);
            }
          });
        },
    .complex_kernel = true,
    // Random matrices are not positive-definite: tests/python/test_linalg.py has its gradient.
    .autocast = "float32",
    .samples =
        [] {
          SampleTensor a = t({1, 1}, 0.5, 2);
          SampleTensor b = t({2, 1, 1}, 0.5, 2);
          SampleTensor real = b;
          real.dtype = DType::Float64;
          a.grad = b.grad = false;  // of complex ones the diagonal's imaginary part is not read
          return SampleList{{{a}}, {{b}}, {{real}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
