#include "ops/index/index.h"

namespace flambeau::ops {

using namespace prim;

Expr wrap_index(const Expr& index, const Dim& n) {
  const Expr wide = convert(index, DType::Int64);
  return select(lt(wide, 0.0), wide + extent(index.builder(), n), wide);
}

std::vector<Expr> along_axis(const Expr& x, int axis, const Expr& index) {
  std::vector<Expr> indices;
  const Shape shape = index.shape();
  for (int i = 0; i < x.rank(); ++i)
    indices.push_back(i == axis ? convert(index, DType::Int64) : iota(x.builder(), shape, i));
  return indices;
}

Expr as_axis(const Expr& index, int axis, int rank) {
  Expr result = index.rank() == 0 ? unsqueeze(index, 0) : index;
  for (int i = axis + 1; i < rank; ++i) result = unsqueeze(result, result.rank());
  return result;
}

void check_index_dtype(const Call& call, std::string_view parameter) {
  const DType dtype = call.tensor(parameter).dtype;
  check(dtype == DType::Int64 || dtype == DType::Int32, [&] {
    return concat(call.name(), "(): Expected dtype int32 or int64 for ", parameter, ", got ",
                  info(dtype).name);
  });
}

}  // namespace flambeau::ops
