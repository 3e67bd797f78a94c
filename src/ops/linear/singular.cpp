// Singular values and vectors.

#include <algorithm>
#include <eigen3/Eigen/SVD>
#include <limits>

#include "ops/linear/factor.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {

using namespace prim;
using namespace factor;

namespace {

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
          results.push_back({real_dtype(a.dtype), with(batch_of(a), {k}), {}});
          results.push_back({a.dtype, with(batch_of(a), {full ? n : k, n}), {}});
        },
    .vjp =
        [](VjpLowering& v) {
          const std::vector<Expr> seeds = conjugated(v.cotangents);
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
          Expr inner = diagonal_matrix(seeds[1].valid() ? seeds[1] : s * 0.0, square);
          Expr outer;
          const auto add = [&](const Expr& term) { outer = outer.valid() ? outer + term : term; };
          if (seeds[0].valid()) {
            const Expr g = columns(seeds[0], 0, k);
            const Expr turned = product(adjoint(u), g);
            inner = inner + skew(turned) * row;
            // Of complex vectors the phase is free, but U's goes with V's.
            if (is_complex(u.dtype()) && seeds[2].valid()) {
              const Expr phase = complex(imag(turned) * 0.0, imag(turned));
              inner = inner + select(on_diagonal(turned), phase / row, 0.0);
            }
            const Expr away = g - product(u, adjoint(u), g);
            add(product(away / row, vh));
          }
          if (seeds[2].valid()) {
            const Expr g = rows(seeds[2], 0, k);
            inner = inner + skew(product(vh, adjoint(g))) * column;
            const Expr away = g - product(g, adjoint(vh), vh);
            add(product(u, away / column));
          }
          const Expr main = product(u, inner, vh);
          v.gradients[0] = conj(outer.valid() ? main + outer : main);
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
              VectorMap<RealOf<T>> values = vector<RealOf<T>>(s, i);
              if (!x.allFinite()) {  // of these the algorithm makes nothing
                constexpr RealOf<T> kNan = std::numeric_limits<RealOf<T>>::quiet_NaN();
                matrix<T>(u, i).setConstant(kNan);
                matrix<T>(vh, i).setConstant(kNan);
                values.setConstant(kNan);
                continue;
              }
              const Eigen::BDCSVD<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>> svd(x, options);
              matrix<T>(u, i) = svd.matrixU();
              values = svd.singularValues();
              matrix<T>(vh, i) = svd.matrixV().adjoint();
            }
          });
        },
    .complex_kernel = true,
    .autocast = "float32",
    // Gradients of reals alone: the phases of complex vectors are free.
    .samples =
        [] {
          SampleList samples{{{t({3, 3})}}, {{t({4, 2})}}, {{t({2, 2, 3})}}};
          for (size_t i = 0; i < 3; ++i) {
            SampleTensor real = std::get<SampleTensor>(samples[i].positional[0]);
            real.dtype = DType::Float64;
            std::get<SampleTensor>(samples[i].positional[0]).grad = false;
            samples.push_back({{real}});
          }
          return samples;
        },
});

const Register kPseudoinverse({
    .schema = "_linalg_pseudoinverse(Tensor A, Tensor inverse) -> Tensor",
    .doc = "`inverse`, the pseudoinverse of A by whatever factors, as a function of A.",
    .variants = {.function = false, .method = false, .aliases = {"_linalg.pseudoinverse"}},
    .shape =
        [](const Call& call, ResultInfos& results) {
          check_matrices(call, "A");
          const TensorInfo& a = call.tensor("A");
          const TensorInfo& inverse = call.tensor("inverse");
          check(inverse.sizes == with(batch_of(a), {columns_of(a), rows_of(a)}) &&
                    inverse.dtype == a.dtype,
                [&] {
                  return concat(call.name(), ": no inverse of A of ", list_text(a.sizes), ": ",
                                list_text(inverse.sizes));
                });
          results.push_back({a.dtype, inverse.sizes, {}});
        },
    // A node of its own, so that what the backward keeps is the result, which depends on A.
    .lower = [](Lowering& l) { l.result(stop_gradient(l["inverse"])); },
    // G. H. Golub and V. Pereyra, "The differentiation of pseudo-inverses and nonlinear least
    // squares problems whose variables separate", SIAM J. Numer. Anal. 10 (1973): finite for equal
    // singular values, and where the rank is not full.
    .vjp =
        [](VjpLowering& v) {
          const Expr& a = v.forward["A"];
          const Expr& r = v.results[0];
          const Expr h = adjoint(r);
          const Expr g = adjoint(conj(v.cotangents[0]));
          const Expr k = product(g, r);
          const Expr kh = product(k, h);
          v.gradients[0] = conj(kh - adjoint(product(r, k)) - product(a, r, kh) +
                                product(h, r, g - product(k, a)));
        },
    .saves_result = true,
    .autocast = "float32",
    .samples =
        [] {
          // The inverse is not A's: tests/python/test_linalg.py has its gradient.
          SampleTensor a = t({3, 2});
          a.grad = false;
          SampleTensor inverse = t({2, 3});
          inverse.grad = false;
          return SampleList{{{a, inverse}}};
        },
});

}  // namespace
}  // namespace flambeau::ops
