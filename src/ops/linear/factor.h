#pragma once
// What the factorisations of matrices, and of batches of them, share. They are Eigen's; their
// gradients are products of the factors, and where one needs an inverse, the operation gives it as
// a result of its own.

#include <complex>
#include <eigen3/Eigen/Core>

#include "ops/definition.h"

namespace flambeau::ops::factor {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Map = Eigen::Map<Matrix<T>>;
template <class T>
using VectorMap = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, 1>>;
/// The dtype of the parts of T's numbers.
template <class T>
using RealOf = typename Eigen::NumTraits<T>::Real;

int64_t rows_of(const TensorInfo& t);
int64_t columns_of(const TensorInfo& t);
Ints batch_of(const TensorInfo& t);
/// The sizes of a batch of tensors of the sizes `last`.
Ints with(const Ints& batch, std::initializer_list<int64_t> last);
int64_t matrix_count(const TensorInfo& t);

/// RuntimeError unless the tensor `name` is of matrices of single or double precision.
void check_matrices(const Call& call, const char* name);
/// The same, and unless they are square.
void check_square(const Call& call, const char* name);

/// Calls fn.operator()<T>() with the C++ type of `dtype`.
template <class Fn>
void for_dtype(DType dtype, const Fn& fn) {
  switch (dtype) {
    case DType::Float64:
      return fn.template operator()<double>();
    case DType::Complex64:
      return fn.template operator()<std::complex<float>>();
    case DType::Complex128:
      return fn.template operator()<std::complex<double>>();
    default:
      return fn.template operator()<float>();
  }
}
/// Matrix number `i` of a batch.
template <class T>
Map<T> matrix(const HostTensor& t, int64_t i) {
  const int64_t rows = rows_of(t.info);
  const int64_t columns = columns_of(t.info);
  return {static_cast<T*>(t.data) + i * rows * columns, rows, columns};
}
/// Vector number `i` of a batch.
template <class T>
VectorMap<T> vector(const HostTensor& t, int64_t i) {
  const int64_t size = t.info.sizes.back();
  return {static_cast<T*>(t.data) + i * size, size};
}

Expr transposed(const Expr& x);
/// Transposed and conjugated.
Expr adjoint(const Expr& x);
Expr product(const Expr& a, const Expr& b);
Expr product(const Expr& a, const Expr& b, const Expr& c);
/// The lower triangle up to diagonal `offset`, or the upper one from it; 0 elsewhere.
Expr triangle(const Expr& x, bool upper, int64_t offset);
/// Where the elements of the diagonal are.
Expr on_diagonal(const Expr& x);
/// A matrix like `like`, of its dtype, with the last axis of `d` on its diagonal.
Expr diagonal_matrix(const Expr& d, const Expr& like);
/// Part of the columns, part of the rows.
Expr columns(const Expr& x, const Dim& first, const Dim& count);
Expr rows(const Expr& x, const Dim& first, const Dim& count);

/// a + b, either of which may be invalid: nothing to add.
Expr joined(const Expr& a, const Expr& b);
/// The cotangent of x, given that of its inverse (of both as `conjugated` gives them, or of
/// neither).
Expr through_inverse(const Expr& inverse_adjoint, const Expr& cotangent);

/// The cotangents of a factorisation that is no holomorphic function of its matrix (conjugates are
/// part of its definition), dL/dre + i dL/dim; its gradient is to be conjugated. Overrides of
/// holomorphic functions see and give the conjugates of both.
std::vector<Expr> conjugated(std::span<const Expr> cotangents);

}  // namespace flambeau::ops::factor
