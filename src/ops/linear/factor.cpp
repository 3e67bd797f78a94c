#include "ops/linear/factor.h"

#include "ops/linear/matmul.h"

namespace flambeau::ops::factor {

using namespace prim;

int64_t rows_of(const TensorInfo& t) { return t.sizes[t.sizes.size() - 2]; }
int64_t columns_of(const TensorInfo& t) { return t.sizes.back(); }
Ints batch_of(const TensorInfo& t) { return {t.sizes.begin(), t.sizes.end() - 2}; }
Ints with(const Ints& batch, std::initializer_list<int64_t> last) {
  Ints sizes = batch;
  for (const int64_t size : last) sizes.push_back(size);
  return sizes;
}
int64_t matrix_count(const TensorInfo& t) {
  int64_t n = 1;
  for (const int64_t size : batch_of(t)) n *= size;
  return n;
}

void check_matrices(const Call& call, const char* name) {
  const TensorInfo& a = call.tensor(name);
  check(a.dim() >= 2, [&] {
    return concat(call.name(), ": The input tensor ", name,
                  " must have at least 2 dimensions, got shape ", list_text(a.sizes));
  });
  const DType part = real_dtype(a.dtype);
  check(part == DType::Float32 || part == DType::Float64, [&] {
    return concat(call.name(),
                  ": Expected a float32, float64, complex64 or complex128 tensor as input. Got ",
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

Expr transposed(const Expr& x) { return transpose(x, -2, -1); }
Expr adjoint(const Expr& x) { return conj(transposed(x)); }
Expr product(const Expr& a, const Expr& b) { return matmul(a, b); }
Expr product(const Expr& a, const Expr& b, const Expr& c) { return matmul(matmul(a, b), c); }
Expr triangle(const Expr& x, bool upper, int64_t offset) {
  const Expr row = iota(x.builder(), x.shape(), x.rank() - 2) + static_cast<double>(offset);
  const Expr column = iota(x.builder(), x.shape(), x.rank() - 1);
  return select(upper ? ge(column, row) : le(column, row), x, 0.0);
}
Expr on_diagonal(const Expr& x) {
  return eq(iota(x.builder(), x.shape(), x.rank() - 2), iota(x.builder(), x.shape(), x.rank() - 1));
}
Expr diagonal_matrix(const Expr& d, const Expr& like) {
  const Expr whole = convert(d, like.dtype());
  return select(on_diagonal(like), broadcast_to(unsqueeze(whole, d.rank()), like.shape()), 0.0);
}
Expr columns(const Expr& x, const Dim& first, const Dim& count) {
  return slice(x, x.rank() - 1, first, count);
}
Expr rows(const Expr& x, const Dim& first, const Dim& count) {
  return slice(x, x.rank() - 2, first, count);
}
Expr joined(const Expr& a, const Expr& b) { return !a.valid() ? b : !b.valid() ? a : a + b; }
Expr through_inverse(const Expr& inverse_adjoint, const Expr& cotangent) {
  if (!cotangent.valid()) return cotangent;
  return -product(inverse_adjoint, cotangent, inverse_adjoint);
}
std::vector<Expr> conjugated(std::span<const Expr> cotangents) {
  std::vector<Expr> result;
  for (const Expr& cotangent : cotangents)
    result.push_back(cotangent.valid() ? conj(cotangent) : cotangent);
  return result;
}

}  // namespace flambeau::ops::factor
