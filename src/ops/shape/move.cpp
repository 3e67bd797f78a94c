// Elements in another order, repeated, or with others around them.

#include <algorithm>

#include "ops/functions.h"
#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

void same_shape(const Call& call, ResultInfos& results) {
  results.push_back({call.tensor("self").dtype, call.tensor("self").sizes, {}});
}

const Register kFlip({
    .schema = "flip(Tensor self, int[] dims) -> Tensor",
    .doc = "The elements in reverse along the axes `dims`.",
    .axes = {"dims"},
    .shape = same_shape,
    .lower =
        [](Lowering& l) {
          const Ints& dims = l.call().integers("dims");
          const Expr x = l["self"];
          l.result(dims.empty() || x.rank() == 0 ? x : flip(x, dims));
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), Ints{0}}}, {{t({2, 3}), Ints{0, -1}}}, {{t({2}), Ints{}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Ints{0, 0}}}, "RuntimeError", "appears multiple times"}};
        },
});
template <int kAxis>
Definition flip_axis(std::string_view schema, std::string_view doc) {
  return {.schema = schema,
          .doc = doc,
          .shape =
              [](const Call& call, ResultInfos& results) {
                check(call.tensor("self").dim() > kAxis,
                      [&] { return concat(call.name(), ": Input must be >= ", kAxis + 1, "-d."); });
                same_shape(call, results);
              },
          .lower =
              [](Lowering& l) {
                const Ints axes{kAxis};
                l.result(flip(l["self"], axes));
              },
          .samples = [] { return SampleList{{{t({2, 3})}}}; }};
}
const Register kFlipud(flip_axis<0>("flipud(Tensor self) -> Tensor", "Rows in reverse."));
const Register kFliplr(flip_axis<1>("fliplr(Tensor self) -> Tensor", "Columns in reverse."));

/// `x` with its elements moved by `shift` along `axis`; what leaves at one end enters at the other.
Expr rolled(const Expr& x, int axis, const Dim& shift) {
  const Dim n = x.dim(axis);
  const Dim start = (Dim(0) - shift).mod(n);
  const std::vector<Expr> parts{slice(x, axis, start, n - start), slice(x, axis, 0, start)};
  return concatenate(parts, axis);
}
/// `x` rolled as `l` says, or back.
Expr rolled(const Lowering& l, Expr x, bool back) {
  const std::vector<Dim> shifts = l.integers("shifts");
  const Ints& dims = l.call().integers("dims");
  const auto by = [&](size_t i) { return back ? Dim(0) - shifts[i] : shifts[i]; };
  if (dims.empty()) {
    const Expr flat = reshape(x, {element_count(x.shape())});
    return reshape(rolled(flat, 0, by(0)), x.shape());
  }
  for (size_t i = 0; i < dims.size() && x.rank() > 0; ++i)
    x = rolled(x, static_cast<int>(dims[i]), by(i));
  return x;
}
const Register kRoll({
    .schema = "roll(Tensor self, int[1] shifts, int[1] dims=[]) -> Tensor",
    .doc = "The elements moved by shifts along dims (along the flattened tensor if there are no "
           "dims); what leaves at one end enters at the other.",
    .canonical =
        [](const Call& call, Arguments& arguments) {
          Ints dims = call.integers("dims");
          check(!call.integers("shifts").empty(),
                [&] { return concat(call.name(), ": `shifts` required"); });
          check(dims.size() == call.integers("shifts").size() ||
                    (dims.empty() && call.integers("shifts").size() == 1),
                [&] {
                  return concat(call.name(), ": shifts and dimensions must align. shifts: ",
                                call.integers("shifts").size(), ", dims: ", dims.size());
                });
          check<IndexError>(dims.empty() || call.tensor("self").dim() > 0, [&] {
            return concat(call.name(), ": Dimension specified as ", dims[0],
                          " but tensor has no dimensions");
          });
          for (int64_t& dim : dims) dim = call.axis(dim, call.tensor("self").dim());
          arguments[2] = dims;
        },
    .shape = same_shape,
    .lower = [](Lowering& l) { l.result(rolled(l, l["self"], false)); },
    // The derived gradient adds the parts, each with zeros around it.
    .vjp = [](VjpLowering& v) { v.gradients[0] = rolled(v.forward, v.cotangents[0], true); },
    .dynamic = {"shifts"},
    .samples =
        [] {
          return SampleList{{{t({2, 3}), Ints{1}}},
                            {{t({2, 3}), Ints{-1, 4}, Ints{0, 1}}},
                            {{t({0, 3}), Ints{1}, Ints{0}}}};
        },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Ints{1}, Ints{5}}}, "IndexError", "[-2, 1], but got 5"}};
        },
});
const Register kRot90({
    .schema = "rot90(Tensor self, int k=1, int[] dims=[0,1]) -> Tensor",
    .doc = "The plane of two axes turned by k quarters from the first towards the second.",
    .axes = {"dims"},
    .canonical =
        [](const Call& call, Arguments& arguments) {
          check(call.integers("dims").size() == 2 && call.tensor("self").dim() >= 2, [&] {
            return concat(call.name(), ": expected total rotation dims == 2, but got dims = ",
                          call.integers("dims").size(), " and a tensor of ",
                          call.tensor("self").dim(), " dimensions");
          });
          arguments[1] = Scalar(((call.integer("k") % 4) + 4) % 4);
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          same_shape(call, results);
          const Ints& dims = call.integers("dims");
          if (call.integer("k") % 2 == 1)
            std::swap(results[0].sizes[static_cast<size_t>(dims[0])],
                      results[0].sizes[static_cast<size_t>(dims[1])]);
        },
    .lower =
        [](Lowering& l) {
          const Ints& dims = l.call().integers("dims");
          const Ints first{dims[0]};
          const Ints second{dims[1]};
          const Expr x = l["self"];
          const int a = static_cast<int>(dims[0]);
          const int b = static_cast<int>(dims[1]);
          switch (l.call().integer("k")) {
            case 1:
              return l.result(transpose(flip(x, second), a, b));
            case 2:
              return l.result(flip(x, dims));
            case 3:
              return l.result(transpose(flip(x, first), a, b));
            default:
              return l.result(x);
          }
        },
    .samples =
        [] {
          return SampleList{{{t({2, 3})}}, {{t({2, 3}), Scalar(2)}}, {{t({2, 3}), Scalar(-1)}}};
        },
});

// ---- repetition
// ------------------------------------------------------------------------------------
/// `x` repeated repeats[i] times along axis i, of which there may be more in front than x has.
Expr repeated(const Expr& x, const std::vector<Dim>& repeats) {
  const int extra = static_cast<int>(repeats.size()) - x.rank();
  Shape stretched;
  Shape result;
  Ints axes;
  for (size_t i = 0; i < repeats.size(); ++i) {
    const int own = static_cast<int>(i) - extra;
    const Dim n = own < 0 ? Dim(1) : x.dim(own);
    stretched.push_back(repeats[i]);
    if (own >= 0) {
      axes.push_back(static_cast<int64_t>(stretched.size()));
      stretched.push_back(n);
    }
    result.push_back(n * repeats[i]);
  }
  return reshape(broadcast(x, axes, stretched), result);
}
Definition repetition(std::string_view schema, std::string_view doc, Variants variants,
                      std::string_view repeats, void (*canonical)(const Call&, Arguments&)) {
  return {.schema = schema,
          .doc = doc,
          .variants = std::move(variants),
          .canonical = canonical,
          .shape =
              [](const Call& call, ResultInfos& results) {
                const TensorInfo& self = call.tensor("self");
                const Ints& repeats = std::get<Ints>(call.arguments()[1]);
                TensorInfo result{self.dtype, repeats, {}};
                const size_t extra = repeats.size() - self.sizes.size();
                for (size_t i = 0; i < self.sizes.size(); ++i)
                  result.sizes[extra + i] *= self.sizes[i];
                results.push_back(result);
              },
          .lower =
              [](Lowering& l) {
                const Parameter& repeats = l.call().definition().parsed.parameters[1];
                l.result(repeated(l["self"], l.integers(repeats.name)));
              },
          .dynamic = {repeats},
          .samples =
              [] {
                return SampleList{
                    {{t({2, 3}), Ints{2, 1}}}, {{t({3}), Ints{2, 2}}}, {{t({2, 3}), Ints{0, 2}}}};
              }};
}
void check_repeats(const Call& call, Arguments& arguments) {
  const Ints& repeats = std::get<Ints>(arguments[1]);
  check(repeats.size() >= call.tensor("self").sizes.size(), [&] {
    return concat(call.name(),
                  ": Number of dimensions of repeat dims can not be smaller than number "
                  "of dimensions of tensor, got ",
                  repeats.size(), " for ", call.tensor("self").dim());
  });
  for (const int64_t repeat : repeats)
    check(repeat >= 0, [&] {
      return concat(call.name(), ": Trying to create tensor with negative dimension ", repeat);
    });
}
const Register kRepeat(
    repetition("repeat(Tensor self, int[] repeats) -> Tensor",
               "self repeats[i] times along axis i; more repeats than axes add axes in front.",
               {.function = false}, "repeats", check_repeats));
const Register kTile(repetition("tile(Tensor self, int[] dims) -> Tensor",
                                "self dims[i] times along axis i; missing dims in front are 1.", {},
                                "dims", [](const Call& call, Arguments& arguments) {
                                  Ints dims = std::get<Ints>(arguments[1]);
                                  while (dims.size() < call.tensor("self").sizes.size())
                                    dims.insert(0, 1);
                                  arguments[1] = dims;
                                  check_repeats(call, arguments);
                                }));
const Register kRepeatInterleave({
    .schema = "repeat_interleave.self_int(Tensor self, int repeats, int? dim=None, *, int? "
              "output_size=None) -> Tensor",
    .doc = "Each element along `dim` (of the flattened tensor without dim) `repeats` times.",
    .axes = {"dim"},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const TensorInfo& self = call.tensor("self");
          const int64_t repeats = call.integer("repeats");
          check(repeats >= 0, [&] {
            return concat(call.name(), ": Repeats must be non-negative, got ", repeats);
          });
          if (call.is_none("dim") || self.dim() == 0) {
            results.push_back({self.dtype, {self.numel() * repeats}, {}});
            return;
          }
          results.push_back({self.dtype, self.sizes, {}});
          results[0].sizes[static_cast<size_t>(call.integer("dim"))] *= repeats;
        },
    .lower =
        [](Lowering& l) {
          Expr x = l["self"];
          const Dim repeats = l.integer("repeats");
          int axis = 0;
          if (l.call().is_none("dim") || x.rank() == 0)
            x = reshape(x, {element_count(x.shape())});
          else
            axis = static_cast<int>(l.call().integer("dim"));
          Shape stretched = x.shape();
          stretched.insert(static_cast<size_t>(axis) + 1, repeats);
          Shape result = x.shape();
          result[static_cast<size_t>(axis)] = x.dim(axis) * repeats;
          l.result(reshape(broadcast_to(unsqueeze(x, axis + 1), stretched), result));
        },
    .dynamic = {"repeats"},
    .samples =
        [] { return SampleList{{{t({2, 3}), Scalar(2)}}, {{t({2, 3}), Scalar(2), Scalar(1)}}}; },
});

// ---- margins
// ---------------------------------------------------------------------------------------
struct Margins {
  Ints low, high;  // per axis; negative ones cut
};
/// From PyTorch's list: pairs (before, after) from the last axis forwards.
Margins margins_of(const Call& call) {
  const Ints& pad = call.integers("pad");
  const auto rank = call.tensor("self").sizes.size();
  check(pad.size() % 2 == 0, [&] {
    return concat(call.name(), ": Padding length must be divisible by 2, got ", pad.size());
  });
  check(pad.size() <= 2 * rank, [&] {
    return concat(call.name(),
                  ": Padding length should be less than or equal to two times the "
                  "input dimension but got padding length ",
                  pad.size(), " and input of dimension ", rank);
  });
  Margins m{Ints(rank, 0), Ints(rank, 0)};
  for (size_t i = 0; i < pad.size() / 2; ++i) {
    m.low[rank - 1 - i] = pad[2 * i];
    m.high[rank - 1 - i] = pad[2 * i + 1];
  }
  return m;
}
/// What negative margins leave of an axis of so many elements.
int64_t cut_extent(const Margins& m, size_t axis, int64_t extent) {
  return extent + std::min<int64_t>(m.low[axis], 0) + std::min<int64_t>(m.high[axis], 0);
}
void padded_shape(const Call& call, ResultInfos& results) {
  const Margins m = margins_of(call);
  same_shape(call, results);
  for (size_t i = 0; i < m.low.size(); ++i) {
    int64_t& extent_here = results[0].sizes[i];
    const int64_t before = extent_here;
    extent_here += m.low[i] + m.high[i];
    check(extent_here >= 0, [&] {
      return concat(call.name(), ": The input size ", before, ", plus negative padding ", m.low[i],
                    " and ", m.high[i], " resulted in a negative output size");
    });
  }
}
/// With constant margins: what is cut must be there, however much is added elsewhere.
void constant_shape(const Call& call, ResultInfos& results) {
  const Margins m = margins_of(call);
  const Ints& sizes = call.tensor("self").sizes;
  for (size_t i = 0; i < m.low.size(); ++i)
    check(cut_extent(m, i, sizes[i]) >= 0, [&] {
      return concat(call.name(), ": padding (", m.low[i], ", ", m.high[i],
                    ") cuts more than the size of dimension ", i, ", ", sizes[i]);
    });
  padded_shape(call, results);
}
/// One margin of a program.
struct Margin {
  Dim added = 0;
  Dim cut = 0;
};
struct AxisMargins {
  Margin low = {};
  Margin high = {};
};
/// margins_of() as the program knows them: their signs are in the key.
std::vector<AxisMargins> symbolic_margins(const Lowering& l) {
  const Ints& values = l.call().integers("pad");
  const std::vector<Dim> dims = l.integers("pad");
  const auto margin = [&](size_t i) {
    return values[i] < 0 ? Margin{0, Dim(0) - dims[i]} : Margin{dims[i], 0};
  };
  const size_t rank = l.call().tensor("self").sizes.size();
  std::vector<AxisMargins> margins(rank);
  for (size_t i = 0; i < dims.size() / 2; ++i)
    margins[rank - 1 - i] = {margin(2 * i), margin(2 * i + 1)};
  return margins;
}
/// What the margins leave of `x` along `axis`.
Expr cut(const Expr& x, int axis, const AxisMargins& m) {
  if (m.low.cut.is_zero() && m.high.cut.is_zero()) return x;
  return slice(x, axis, m.low.cut, x.dim(axis) - m.low.cut - m.high.cut);
}
/// Margins of `value`; negative ones cut.
Expr padded(const Lowering& l, Expr x, const Expr& value) {
  std::vector<Dim> low;
  std::vector<Dim> high;
  for (const AxisMargins& m : symbolic_margins(l)) {
    x = cut(x, static_cast<int>(low.size()), m);
    low.push_back(m.low.added);
    high.push_back(m.high.added);
  }
  const std::vector<Dim> none(low.size(), Dim(0));
  return low.empty() ? x : pad(x, convert(value, x.dtype()), low, high, none);
}
const Register kConstantPad({
    .schema = "constant_pad_nd(Tensor self, int[] pad, Scalar value=0) -> Tensor",
    .doc =
        "Margins of one number: pairs (before, after) from the last axis forwards; negative ones "
        "cut.",
    .shape = constant_shape,
    .lower = [](Lowering& l) { l.result(padded(l, l["self"], l.number("value"))); },
    .dynamic = {"pad"},
    .signs = {"pad"},
    .samples =
        [] { return SampleList{{{t({2, 3}), Ints{1, 2}}}, {{t({2, 3}), Ints{-1, 1, 0, 2}, 0.5}}}; },
    .errors =
        [] {
          return std::vector<ErrorSample>{
              {{{t({2, 3}), Ints{1}}}, "RuntimeError", "must be divisible by 2"},
              {{{t({2, 3}), Ints{-4, 5}}}, "RuntimeError", "cuts more than the size"}};
        },
});

/// x with margins along `axis` that repeat what is inside; negative ones cut. "circular" repeats
/// what they leave.
Expr with_edges(const Expr& given, int axis, const AxisMargins& m, const std::string& mode) {
  const Expr x = mode == "circular" ? cut(given, axis, m) : given;
  const Dim n = x.dim(axis);
  const auto part = [&](const Dim& first, const Dim& count) {
    return slice(x, axis, first, count);
  };
  const auto flipped = [&](const Dim& first, const Dim& count) {
    return flip(part(first, count), Ints{axis});
  };
  const auto repeated = [&](const Dim& place, const Dim& count) {
    Shape shape = x.shape();
    shape[static_cast<size_t>(axis)] = count;
    return broadcast_to(part(place, 1), shape);
  };
  std::vector<Expr> parts;
  const Dim& low = m.low.added;
  const Dim& high = m.high.added;
  if (!low.is_zero())
    parts.push_back(mode == "reflect"     ? flipped(1, low)
                    : mode == "replicate" ? repeated(0, low)
                                          : part(n - low, low));
  parts.push_back(x);
  if (!high.is_zero())
    parts.push_back(mode == "reflect"     ? flipped(n - 1 - high, high)
                    : mode == "replicate" ? repeated(n - 1, high)
                                          : part(0, high));
  const Expr whole = parts.size() == 1 ? x : concatenate(parts, axis);
  return mode == "circular" ? whole : cut(whole, axis, m);
}
const Register kPad({
    .schema = "pad(Tensor self, int[] pad, str mode=\"constant\", float? value=None) -> Tensor",
    .doc = "Margins of a constant, or filled by \"reflect\", \"replicate\" or \"circular\" from "
           "what is inside.",
    .variants = {.function = false, .method = false, .aliases = {"nn.functional.pad"}},
    .canonical =
        [](const Call& call, Arguments&) {
          const std::string& mode = call.string("mode");
          check<NotImplementedError>(
              mode == "constant" || mode == "reflect" || mode == "replicate" || mode == "circular",
              [&] { return concat(call.name(), ": Unrecognised padding mode ", mode); });
          const TensorInfo& self = call.tensor("self");
          if (mode == "constant") return;
          const Margins m = margins_of(call);
          const size_t pairs = call.integers("pad").size() / 2;
          check<NotImplementedError>(
              pairs >= 1 && pairs <= 3 && self.dim() >= static_cast<int>(pairs) + 1 &&
                  self.dim() <= static_cast<int>(pairs) + 2,
              [&] {
                return concat(call.name(),
                              ": Only 2D, 3D, 4D, 5D padding with non-constant padding are "
                              "supported for now, got ",
                              pairs, " pairs for ", self.dim(), "D");
              });
          // What is repeated must be there; a batch may be empty.
          const size_t batch = self.sizes.size() - pairs - 1;
          const bool empty =
              std::find(self.sizes.begin() + batch, self.sizes.end(), 0) != self.sizes.end();
          check(mode == "circular" || !empty, [&] {
            return concat(call.name(),
                          ": Expected a tensor with possibly 0 batch size and other non-zero "
                          "dimensions for input, but got: ",
                          list_text(self.sizes));
          });
          for (size_t i = 0; i < m.low.size(); ++i) {
            const int64_t limit = mode == "reflect"    ? self.sizes[i] - 1
                                  : mode == "circular" ? cut_extent(m, i, self.sizes[i])
                                                       : std::max(m.low[i], m.high[i]);
            check(std::max(m.low[i], m.high[i]) <= limit || (m.low[i] <= 0 && m.high[i] <= 0), [&] {
              return concat(call.name(),
                            ": Padding size should be less than the corresponding "
                            "input dimension, but got: padding (",
                            m.low[i], ", ", m.high[i], ") at dimension ", i, " of input ",
                            list_text(self.sizes));
            });
          }
        },
    .shape =
        [](const Call& call, ResultInfos& results) {
          if (call.string("mode") == "constant") return constant_shape(call, results);
          padded_shape(call, results);
        },
    .lower =
        [](Lowering& l) {
          const Expr x = l["self"];
          const std::string& mode = l.call().string("mode");
          if (mode == "constant") {
            const Expr value = l.call().is_none("value") ? constant(x, DType::Float64, Scalar(0.0))
                                                         : l.number("value");
            return l.result(padded(l, x, value));
          }
          const std::vector<AxisMargins> margins = symbolic_margins(l);
          Expr y = x;
          for (size_t i = margins.size(); i-- > 0;)
            y = with_edges(y, static_cast<int>(i), margins[i], mode);
          l.result(y);
        },
    .dynamic = {"pad"},
    .signs = {"pad"},
    // Joins of constant extents are half as fast again backward.
    .fixed = [](const Call& call, size_t tensor) -> uint64_t {
      return call.string("mode") == "constant" ? 0 : every_axis(call, tensor);
    },
    .samples =
        [] {
          return SampleList{{{t({2, 3}), Ints{1, 2}}},
                            {{t({1, 2, 4}), Ints{1, 2}, std::string("reflect")}},
                            {{t({1, 2, 4}), Ints{3, -1}, std::string("replicate")}},
                            {{t({1, 2, 4}), Ints{2, 1}, std::string("circular")}},
                            {{t({1, 2, 4}), Ints{-2, 1}, std::string("circular")}}};
        },
    .errors =
        [] {
          const char* const too_much = "Padding size should be less";
          return std::vector<ErrorSample>{
              {{{t({1, 2, 4}), Ints{4, 0}, std::string("reflect")}}, "RuntimeError", too_much},
              {{{t({1, 2, 4}), Ints{4, -1}, std::string("circular")}}, "RuntimeError", too_much},
              {{{t({1, 2, 0}), Ints{1, 1}, std::string("replicate")}}, "RuntimeError", "non-zero"},
              {{{t({2, 3}), Ints{-4, 5}}}, "RuntimeError", "cuts more than the size"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
