// Sums of products in Einstein's notation.

#include <algorithm>
#include <optional>

#include "ops/registry.h"
#include "ops/samples.h"

namespace flambeau::ops {
namespace {

using namespace prim;

/// Labels of axes: 0-51 are the letters (A-Z, a-z), those that an ellipsis covers follow.
constexpr int64_t kLetters = 52;
constexpr int64_t kEllipsis = -1;  ///< in a parsed term, before its extent is known

std::string label_text(int64_t label) {
  return std::string(1, static_cast<char>(label < 26 ? 'A' + label : 'a' + label - 26));
}
bool contains(const Ints& labels, int64_t label) {
  return std::ranges::find(labels, label) != labels.end();
}
std::optional<int64_t> letter_label(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  return {};
}

/// An equation for tensors of known ranks: the labels of their axes, and the result's.
struct Equation {
  std::vector<Ints> operands;
  Ints output;
  int64_t labels = kLetters;

  /// True if the axis is in the result or in an operand from `next` on.
  bool needed(int64_t label, size_t next) const {
    return contains(output, label) ||
           std::any_of(operands.begin() + static_cast<std::ptrdiff_t>(next), operands.end(),
                       [&](const Ints& labels_of) { return contains(labels_of, label); });
  }
};

class Parser {
 public:
  explicit Parser(const Call& call) : call_(call), text_(call.string("equation")) {}

  Equation parse() {
    const TensorRefs& tensors = call_.tensors("tensors");
    check(!tensors.empty(),
          [&] { return concat(call_.name(), "(): must provide at least one operand"); });
    std::vector<Ints> terms;
    size_t at = 0;
    const auto input = [&] {
      const size_t number = terms.size();
      check(number < tensors.size(), [&] {
        return concat(call_.name(),
                      "(): fewer operands were provided than specified in the equation");
      });
      terms.push_back(term(at, true, [&](bool found) {
        return concat(call_.name(), "(): found '.' for operand ", number,
                      found ? " for which an ellipsis was already found"
                            : " that is not part of any ellipsis");
      }));
    };
    input();
    while (at < text_.size() && text_[at] == ',') {
      ++at;
      input();
    }
    check(terms.size() == tensors.size(), [&] {
      return concat(call_.name(), "(): more operands were provided than specified in the equation");
    });
    Equation equation = with_ranks(terms, tensors);
    if (at < text_.size()) {
      at += 2;  // "->"
      explicit_output(equation, term(at, false, [&](bool found) {
                        return concat(call_.name(), "(): found '.' for output ",
                                      found ? "but an ellipsis (...) was already found"
                                            : "that is not part of any ellipsis (...)");
                      }));
    } else {
      implicit_output(equation);
    }
    return equation;
  }

 private:
  /// The labels from `at` up to a comma, an arrow (both only of operands) or the end.
  template <class Message>
  Ints term(size_t& at, bool operand, Message dots) {
    Ints labels;
    for (; at < text_.size(); ++at) {
      const char c = text_[at];
      const bool arrow = text_.compare(at, 2, "->") == 0;
      if (operand && (c == ',' || arrow)) break;
      if (c == ' ') continue;
      if (c == '.') {
        const bool found = contains(labels, kEllipsis);
        check(!found && text_.compare(at, 3, "...") == 0, [&] { return dots(found); });
        labels.push_back(kEllipsis);
        at += 2;
        continue;
      }
      const auto label = letter_label(c);
      check(label.has_value(), [&] {
        return concat(call_.name(), "(): invalid subscript given at index ", at,
                      " in the equation string, subscripts must be in [a-zA-Z]");
      });
      labels.push_back(*label);
    }
    return labels;
  }

  Equation with_ranks(const std::vector<Ints>& terms, const TensorRefs& tensors) {
    Equation equation;
    for (size_t i = 0; i < terms.size(); ++i) {
      const bool ellipsis = contains(terms[i], kEllipsis);
      const int64_t named = static_cast<int64_t>(terms[i].size()) - (ellipsis ? 1 : 0);
      const int64_t rank = tensors[i]->dim();
      check(ellipsis ? named <= rank : named == rank, [&] {
        return concat(call_.name(), "(): the number of subscripts in the equation (", named,
                      ellipsis ? ") is more than the number of dimensions ("
                               : ") does not match the number of dimensions (",
                      rank, ") for operand ", i, ellipsis ? "" : " and no ellipsis was given");
      });
      if (ellipsis) equation.labels = std::max(equation.labels, kLetters + rank - named);
    }
    for (size_t i = 0; i < terms.size(); ++i) {
      const int64_t covered = tensors[i]->dim() - static_cast<int64_t>(terms[i].size()) + 1;
      equation.operands.push_back(spelt(terms[i], equation.labels - covered, equation.labels));
    }
    return equation;
  }

  /// `term` with its ellipsis replaced by the labels [first, last).
  static Ints spelt(const Ints& term, int64_t first, int64_t last) {
    Ints labels;
    for (const int64_t label : term) {
      if (label != kEllipsis) labels.push_back(label);
      for (int64_t i = first; label == kEllipsis && i < last; ++i) labels.push_back(i);
    }
    return labels;
  }

  void explicit_output(Equation& equation, const Ints& term) {
    equation.output = spelt(term, kLetters, equation.labels);
    for (size_t i = 0; i < term.size(); ++i) {
      if (term[i] == kEllipsis) continue;
      check(std::count(term.begin(), term.end(), term[i]) == 1, [&] {
        return concat(call_.name(), "(): output subscript ", label_text(term[i]),
                      " appears more than once in the output");
      });
      check(std::ranges::any_of(equation.operands,
                                [&](const Ints& labels) { return contains(labels, term[i]); }),
            [&] {
              return concat(call_.name(), "(): output subscript ", label_text(term[i]),
                            " does not appear in the equation for any input operand");
            });
    }
  }

  /// The axes of ellipses, then the letters that occur once, in alphabetical order.
  static void implicit_output(Equation& equation) {
    for (int64_t i = kLetters; i < equation.labels; ++i) equation.output.push_back(i);
    for (int64_t label = 0; label < kLetters; ++label) {
      int64_t uses = 0;
      for (const Ints& labels : equation.operands)
        uses += std::count(labels.begin(), labels.end(), label);
      if (uses == 1) equation.output.push_back(label);
    }
  }

  const Call& call_;
  const std::string& text_;
};

/// The extent of each label; RuntimeError if operands do not agree. Extents 1 broadcast.
Ints extents_of(const Call& call, const Equation& equation) {
  Ints extents(static_cast<size_t>(equation.labels), 1);
  const TensorRefs& tensors = call.tensors("tensors");
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Ints& labels = equation.operands[i];
    const Ints& sizes = tensors[i]->sizes;
    for (size_t axis = 0; axis < labels.size(); ++axis) {
      const int64_t label = labels[axis];
      const auto first = static_cast<size_t>(std::ranges::find(labels, label) - labels.begin());
      check(sizes[first] == sizes[axis], [&] {
        return concat(call.name(), "(): subscript ", label_text(label), " is repeated for operand ",
                      i, " but the sizes don't match, ", sizes[axis], " != ", sizes[first]);
      });
      int64_t& extent = extents[static_cast<size_t>(label)];
      check(extent == 1 || sizes[axis] == 1 || extent == sizes[axis], [&] {
        if (label >= kLetters)
          return concat(call.name(), "(): dimension ", label - kLetters,
                        " covered by ellipsis in operand ", i, " has size ", sizes[axis],
                        " which does not broadcast with previously seen ellipsis with size ",
                        extent, " for the respective dimension");
        return concat(call.name(), "(): subscript ", label_text(label), " has size ", sizes[axis],
                      " for operand ", i, " which does not broadcast with previously seen size ",
                      extent);
      });
      if (extent == 1) extent = sizes[axis];
    }
  }
  return extents;
}

/// The axes of operand `i` that are longer than 1, each once.
Ints long_labels(const Call& call, const Equation& equation, size_t i) {
  Ints labels;
  const Ints& sizes = call.tensors("tensors")[i]->sizes;
  for (size_t axis = 0; axis < sizes.size(); ++axis) {
    const int64_t label = equation.operands[i][axis];
    if (sizes[axis] != 1 && !contains(labels, label)) labels.push_back(label);
  }
  return labels;
}

/// What becomes of the axes of two factors, of which those for which `needed` holds stay.
struct Pair {
  Ints batch, rows, columns, inner;  ///< of both; of a; of b; of both, summed
  Ints only_a, only_b;               ///< of one, summed

  template <class Needed>
  Pair(const Ints& a, const Ints& b, Needed needed) {
    for (const int64_t label : a) {
      if (contains(b, label))
        (needed(label) ? batch : inner).push_back(label);
      else
        (needed(label) ? rows : only_a).push_back(label);
    }
    for (const int64_t label : b)
      if (!contains(a, label)) (needed(label) ? columns : only_b).push_back(label);
  }
  Ints result() const {
    Ints labels = batch;
    labels.append(rows.begin(), rows.end());
    labels.append(columns.begin(), columns.end());
    return labels;
  }
};

DType summed_dtype(DType dtype, const Ints& axes) {
  return axes.empty() || is_inexact(dtype) ? dtype : DType::Int64;
}

/// The result's dtype: products with summed axes want one dtype, those without promote, and sums of
/// integers are Int64.
DType result_dtype(const Call& call, const Equation& equation) {
  const TensorRefs& tensors = call.tensors("tensors");
  DType dtype = tensors[0]->dtype;
  Ints labels = long_labels(call, equation, 0);
  for (size_t i = 1; i < tensors.size(); ++i) {
    const Pair pair(labels, long_labels(call, equation, i),
                    [&](int64_t label) { return equation.needed(label, i + 1); });
    dtype = summed_dtype(dtype, pair.only_a);
    const DType other = summed_dtype(tensors[i]->dtype, pair.only_b);
    if (pair.inner.empty()) {
      dtype = promote_types(dtype, other);
    } else {
      check(dtype == other, [&] {
        return concat(call.name(), "(): expected scalar type ", info(dtype).word, " but found ",
                      info(other).word);
      });
      check(!is_bool(dtype),
            [&] { return concat(call.name(), "(): \"bmm\" not implemented for 'Bool'"); });
    }
    labels = pair.result();
  }
  if (tensors.size() == 1) labels = equation.operands[0];
  Ints rest;
  for (const int64_t label : labels)
    if (!contains(equation.output, label)) rest.push_back(label);
  return summed_dtype(dtype, rest);
}

/// A factor: its axes are longer than 1 and have distinct labels.
struct Factor {
  Expr value;
  Ints labels;

  Dim extent(int64_t label) const {
    return value.dim(static_cast<int>(std::ranges::find(labels, label) - labels.begin()));
  }
  /// The value with its axes in the order of `wanted`, a permutation of `labels`.
  Expr ordered(const Ints& wanted) const {
    Ints axes;
    for (const int64_t label : wanted)
      axes.push_back(std::ranges::find(labels, label) - labels.begin());
    return std::ranges::is_sorted(axes) ? value : permute(value, axes);
  }
  void sum_over(const Ints& out) {
    if (out.empty()) return;
    Ints axes;
    Ints rest;
    for (size_t i = 0; i < labels.size(); ++i) {
      if (contains(out, labels[i]))
        axes.push_back(static_cast<int64_t>(i));
      else
        rest.push_back(labels[i]);
    }
    value = sum(convert(value, summed_dtype(value.dtype(), out)), axes, false);
    labels = rest;
  }
};

/// A tensor of the call as a factor: axes of extent 1 left out, of repeated labels the diagonal.
Factor factor(const Lowering& l, const Equation& equation, size_t i, const Expr& x) {
  const Ints& all = equation.operands[i];
  const Ints labels = long_labels(l.call(), equation, i);
  Ints ones;
  Ints kept;
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool one = x.dim(axis).is_one();
    (one ? ones : kept).push_back(one ? axis : all[static_cast<size_t>(axis)]);
  }
  Factor result{ones.empty() ? x : squeeze(x, ones), labels};
  if (kept.size() == labels.size()) return result;
  Shape shape;
  for (const int64_t label : labels)
    shape.push_back(
        result.value.dim(static_cast<int>(std::ranges::find(kept, label) - kept.begin())));
  std::vector<Expr> places;
  for (const int64_t label : kept)
    places.push_back(iota(x.builder(), shape,
                          static_cast<int>(std::ranges::find(labels, label) - labels.begin())));
  result.value = gather(result.value, places);
  return result;
}

Factor product(Factor a, Factor b, const Pair& pair) {
  a.sum_over(pair.only_a);
  b.sum_over(pair.only_b);
  Shape batch;
  for (const int64_t label : pair.batch) batch.push_back(a.extent(label));
  // The factor's axes: batch, then `left` and `right`, each as axes of its own or merged into one.
  const bool merge = !pair.inner.empty();
  const auto arranged = [&](const Factor& f, const Ints& left, const Ints& right) {
    Ints order = pair.batch;
    Shape shape = batch;
    for (const Ints& group : {left, right}) {
      Dim merged = 1;
      for (const int64_t label : group) {
        order.push_back(label);
        merged = merged * f.extent(label);
        if (!merge) shape.push_back(f.extent(label));
      }
      if (merge) shape.push_back(merged);
    }
    Expr value = f.ordered(order);
    Shape split = batch;
    for (int axis = static_cast<int>(batch.size()); axis < value.rank(); ++axis)
      split.push_back(value.dim(axis));
    return reshape(broadcast_to(value, split), shape);
  };
  Shape shape = batch;
  for (const int64_t label : pair.rows) shape.push_back(a.extent(label));
  for (const int64_t label : pair.columns) shape.push_back(b.extent(label));
  if (merge) {
    const Expr value =
        contract(arranged(a, pair.rows, pair.inner), arranged(b, pair.inner, pair.columns));
    return {reshape(value, shape), pair.result()};
  }
  const DType dtype = promote_types(a.value.dtype(), b.value.dtype());
  Expr left = convert(arranged(a, pair.rows, {}), dtype);
  Expr right = convert(arranged(b, {}, pair.columns), dtype);
  for (size_t i = 0; i < pair.columns.size(); ++i) left = unsqueeze(left, left.rank());
  for (size_t i = 0; i < pair.rows.size(); ++i)
    right = unsqueeze(right, static_cast<int>(batch.size()));
  return {left * right, pair.result()};
}

const Register kEinsum({
    .schema = "einsum(str equation, Tensor[] tensors) -> Tensor",
    .doc = "The sum of products that `equation` names: \"bij,bjk->bik\" is a batch of matrix "
           "products. Operands are multiplied from left to right.",
    .variants = {.method = false},
    .shape =
        [](const Call& call, ResultInfos& results) {
          const Equation equation = Parser(call).parse();
          const Ints extents = extents_of(call, equation);
          TensorInfo result{result_dtype(call, equation), {}, {}};
          for (const int64_t label : equation.output)
            result.sizes.push_back(extents[static_cast<size_t>(label)]);
          results.push_back(result);
        },
    .lower =
        [](Lowering& l) {
          const Equation equation = Parser(l.call()).parse();
          const std::vector<Expr> tensors = l.tensors("tensors");
          Factor result = factor(l, equation, 0, tensors[0]);
          for (size_t i = 1; i < tensors.size(); ++i) {
            Factor next = factor(l, equation, i, tensors[i]);
            const Pair pair(result.labels, next.labels,
                            [&](int64_t label) { return equation.needed(label, i + 1); });
            result = product(std::move(result), std::move(next), pair);
          }
          Ints rest;
          Ints order;
          for (const int64_t label : result.labels)
            if (!contains(equation.output, label)) rest.push_back(label);
          result.sum_over(rest);
          for (const int64_t label : equation.output)
            if (contains(result.labels, label)) order.push_back(label);
          Expr value = result.ordered(order);
          for (size_t i = 0; i < equation.output.size(); ++i)
            if (!contains(result.labels, equation.output[i]))
              value = unsqueeze(value, static_cast<int>(i));
          l.result(value);
        },
    .autocast = "lower_precision",
    .samples =
        [] {
          const auto call = [](std::string equation, std::vector<SampleTensor> tensors) {
            return Sample{{std::move(equation), std::move(tensors)}};
          };
          return SampleList{call("ij,jk->ik", {t({2, 3}), t({3, 4})}),
                            call("bhqd,bkhd->bhqk", {t({2, 2, 3, 4}), t({2, 3, 2, 4})}),
                            call("...ij,...jk->...ki", {t({2, 1, 2, 3}), t({3, 3, 4})}),
                            call("iij->ji", {t({3, 3, 2})}),
                            call("ij->", {t({2, 3})}),
                            call("bi,bj", {t({2, 3}), t({2, 4})}),
                            call("ij,kj->i", {t({2, 3}), t({1, 3})}),
                            call("i,i->i", {t({3}), t({1})}),
                            call("abc,cbd,de->ae", {t({2, 3, 2}), t({2, 3, 2}), t({2, 4})}),
                            call("ij,jk->ik", {t({2, 0}), t({0, 3})})};
        },
    .errors =
        [] {
          const auto call = [](std::string equation, std::vector<SampleTensor> tensors) {
            return Sample{{std::move(equation), std::move(tensors)}};
          };
          return std::vector<ErrorSample>{
              {call("ij,jk->ik", {t({2, 3}), t({4, 5})}), "RuntimeError",
               "einsum(): subscript j has size 4 for operand 1 which does not broadcast with "
               "previously seen size 3"},
              {call("ij,jk", {t({2, 3})}), "RuntimeError", "fewer operands"},
              {call("ij", {t({2, 3}), t({2, 3})}), "RuntimeError", "more operands"},
              {call("i1", {t({2, 3})}), "RuntimeError", "invalid subscript given at index 1"},
              {call("i.j", {t({2, 3})}), "RuntimeError",
               "found '.' for operand 0 that is not part of any ellipsis"},
              {call("i...j...", {t({2, 3})}), "RuntimeError", "an ellipsis was already found"},
              {call("ij->i.", {t({2, 3})}), "RuntimeError", "found '.' for output"},
              {call("i", {t({2, 3})}), "RuntimeError", "does not match the number of dimensions"},
              {call("...ijk", {t({2, 3})}), "RuntimeError", "more than the number of dimensions"},
              {call("ij->ii", {t({2, 3})}), "RuntimeError", "more than once in the output"},
              {call("ij->k", {t({2, 3})}), "RuntimeError", "does not appear in the equation"},
              {call("ii", {t({2, 3})}), "RuntimeError", "the sizes don't match, 3 != 2"},
              {call("...,...", {t({2, 3}), t({4, 3})}), "RuntimeError", "covered by ellipsis"}};
        },
});

}  // namespace
}  // namespace flambeau::ops
