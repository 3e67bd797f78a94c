// Eigenvalues and eigenvectors.

#include <algorithm>
#include <cmath>
#include <eigen3/Eigen/Eigenvalues>
#include <eigen3/Eigen/LU>
#include <limits>

#include "ops/linear/factor.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;
using namespace factor;

namespace {

const Register kEigh({
    .schema =
        "_linalg_eigh(Tensor A, bool upper=False) -> (Tensor eigenvalues, Tensor eigenvectors)",
    .doc = "The eigenvalues, ascending, and eigenvectors (columns) of Hermitian matrices, of which "
           "one triangle is read.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.eigh"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "A");
          const TensorInfo& a = call.tensor("A");
          results.push_back({real_dtype(a.dtype), with(batch_of(a), {rows_of(a)}), {}});
          results.push_back({a.dtype, a.sizes, {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const Expr& values = v.results[0];
          const Expr& vectors = v.results[1];
          const std::vector<Expr> seeds = conjugated(v.cotangents);
          Expr inner;
          if (seeds[1].valid()) {
            // What changes no length and no angle.
            const Expr free = product(adjoint(vectors), seeds[1]);
            const Expr turned = (free - adjoint(free)) * 0.5;
            const Expr gap =
                unsqueeze(values, values.rank() - 1) - unsqueeze(values, values.rank());
            inner = select(on_diagonal(turned), 0.0, turned / select(on_diagonal(gap), 1.0, gap));
          }
          if (seeds[0].valid()) {
            const Expr own = diagonal_matrix(seeds[0], vectors);
            inner = inner.valid() ? inner + own : own;
          }
          if (inner.valid()) v.gradients[0] = conj(product(vectors, inner, adjoint(vectors)));
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
              if (upper) x.adjointInPlace();
              const Eigen::SelfAdjointEigenSolver<Matrix<T>> solver(x);
              vector<RealOf<T>>(values, i) = solver.eigenvalues();
              matrix<T>(vectors, i) = solver.eigenvectors();
            }
          });
        },
    .complex_kernel = true,
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

/// The eigenvectors of an upper triangular matrix, by substitution.
template <class M>
M triangular_vectors(const M& t) {
  const double smallest =
      std::max(std::numeric_limits<double>::min(),
               std::numeric_limits<double>::epsilon() * t.cwiseAbs().maxCoeff());
  M x = M::Identity(t.rows(), t.cols());
  for (Eigen::Index k = 1; k < t.cols(); ++k)
    for (Eigen::Index i = k - 1; i >= 0; --i) {
      const Eigen::Index between = k - i - 1;
      const auto known = t(i, k) + t.row(i)
                                       .segment(i + 1, between)
                                       .transpose()
                                       .cwiseProduct(x.col(k).segment(i + 1, between))
                                       .sum();
      auto gap = t(k, k) - t(i, i);
      if (gap == 0.0) gap = smallest;  // equal eigenvalues
      x(i, k) = known / gap;
    }
  return x;
}

/// The complex eigenvalues and eigenvectors of one matrix and the inverse of these, in double
/// precision whatever the tensor's; NaN for a matrix with numbers that are not finite.
template <class T>
struct Spectrum {
  using Complex = std::complex<double>;
  Eigen::Matrix<Complex, Eigen::Dynamic, 1> values;
  Eigen::Matrix<Complex, Eigen::Dynamic, Eigen::Dynamic> vectors;
  Eigen::Matrix<Complex, Eigen::Dynamic, Eigen::Dynamic> inverse;

  explicit Spectrum(const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>& a) {
    using Columns = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
    constexpr bool kComplex = Eigen::NumTraits<T>::IsComplex;
    if (!a.allFinite()) {
      constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
      values.setConstant(a.rows(), Complex(kNan, kNan));
      vectors.setConstant(a.rows(), a.rows(), Complex(kNan, kNan));
      inverse = vectors;
      return;
    }
    if constexpr (kComplex) {
      // In the order of the Schur form, as LAPACK has them; ComplexEigenSolver sorts them.
      const Eigen::ComplexSchur<Columns> schur(a);
      values = schur.matrixT().diagonal();
      vectors = schur.matrixU() * triangular_vectors(schur.matrixT());
    } else {
      const Eigen::EigenSolver<Columns> solver(a);
      values = solver.eigenvalues();
      vectors = solver.eigenvectors();
    }
    // Of length 1; the largest element of a complex one is real, as LAPACK has it.
    for (Eigen::Index i = 0; i < vectors.cols(); ++i) {
      auto column = vectors.col(i);
      column /= column.norm();
      if (!kComplex && values[i].imag() == 0) continue;
      Eigen::Index largest = 0;
      const double size = std::sqrt(column.cwiseAbs2().maxCoeff(&largest));
      column *= std::conj(column[largest]) / size;
      column[largest] = column[largest].real();
    }
    inverse = vectors.inverse();
  }
};

const Register kEig({
    .schema = "_linalg_eig(Tensor A) -> (Tensor eigenvalues, Tensor eigenvectors, Tensor inverse)",
    .doc =
        "The eigenvalues and eigenvectors (columns) of square matrices, complex, and the inverse "
        "of the matrix of eigenvectors.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.eig"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_square(call, "A");
          const TensorInfo& a = call.tensor("A");
          const DType dtype = complex_dtype(a.dtype);
          results.push_back({dtype, with(batch_of(a), {rows_of(a)}), {}});
          results.push_back({dtype, a.sizes, {}});
          results.push_back({dtype, a.sizes, {}});
        },
    // That of vectors which are of length 1 whatever the matrix is.
    .vjp =
        [](VjpLowering& v) {
          const Expr values = conj(v.results[0]);
          const Expr& vectors = v.results[1];
          const Expr inverse = adjoint(v.results[2]);
          const std::vector<Expr> seeds = conjugated(v.cotangents);
          const Expr of_vectors = joined(seeds[1], through_inverse(inverse, seeds[2]));
          Expr inner;
          if (of_vectors.valid()) {
            const Expr turned = product(adjoint(vectors), of_vectors);
            const SmallVector<int64_t, 1> rows{turned.rank() - 2};
            const Expr own = sum(select(on_diagonal(turned), turned, 0.0), rows);
            const Expr free = turned - product(adjoint(vectors), vectors * real(own));
            const Expr gap =
                unsqueeze(values, values.rank() - 1) - unsqueeze(values, values.rank());
            inner = select(on_diagonal(free), 0.0, free / select(on_diagonal(gap), 1.0, gap));
          }
          if (seeds[0].valid()) {
            const Expr own = diagonal_matrix(seeds[0], vectors);
            inner = inner.valid() ? inner + own : own;
          }
          if (inner.valid()) v.gradients[0] = conj(product(inverse, inner, adjoint(vectors)));
        },
    .kernel =
        [](HostCall& host) {
          const HostTensor a = host.input("A");
          const HostTensor values = host.output(0);
          const HostTensor vectors = host.output(1);
          const HostTensor inverse = host.output(2);
          for_dtype(a.info.dtype, [&]<class T>() {
            using Wide =
                std::conditional_t<Eigen::NumTraits<T>::IsComplex, std::complex<double>, double>;
            using Complex = std::complex<RealOf<T>>;
            for (int64_t i = 0; i < matrix_count(a.info) && rows_of(a.info) > 0; ++i) {
              const Spectrum<Wide> found(matrix<T>(a, i).template cast<Wide>());
              vector<Complex>(values, i) = found.values.template cast<Complex>();
              matrix<Complex>(vectors, i) = found.vectors.template cast<Complex>();
              matrix<Complex>(inverse, i) = found.inverse.template cast<Complex>();
            }
          });
        },
    .complex_kernel = true,
    // Pairs have free signs, and matrices with equal eigenvalues no gradient:
    // tests/python/test_linalg.py compares what is determined.
    .autocast = "float32",
    .samples =
        [] {
          SampleTensor a = t({3, 3});
          a.grad = false;
          SampleTensor b = t({2, 2, 2});
          b.grad = false;
          return SampleList{{{a}}, {{b}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
