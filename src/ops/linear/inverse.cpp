// Inverses of matrices, and solutions with them.

#include <eigen3/Eigen/LU>

#include "ops/linear/factor.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;
using namespace factor;

namespace {

SampleTensor well(std::initializer_list<int64_t> shape) { return t(shape, -1, 1); }

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
          const Expr r = transposed(v.results[0]);
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
    .complex_kernel = true,
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
          const Expr r = transposed(v.results[1]);
          Expr of_a;
          if (const Expr& g = v.cotangents[0]; g.valid()) {
            v.gradients[1] = product(r, g);
            of_a = -product(v.gradients[1], transposed(v.results[0]));
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
    .complex_kernel = true,
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
          const Expr r = transposed(v.results[0]);
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
    .complex_kernel = true,
    .autocast = "float32",
    .samples =
        [] {
          return SampleList{{{t({3, 3}, 0.5, 1.5), Scalar(true)}},
                            {{t({2, 3, 3}, 0.5, 1.5), Scalar(false), Scalar(true)}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
