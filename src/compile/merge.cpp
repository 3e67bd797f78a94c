#include "compile/merge.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>

#include "base/bounded_cache.h"
#include "base/error.h"
#include "base/hash.h"
#include "eager/executable_hash.h"
#include "eager/host_program.h"
#include "eager/run_shape.h"
#include "ir/complex.h"
#include "prim/build.h"
#include "prim/relax.h"

namespace flambeau::compiler {

using ir::Dim;
using ir::Expr;
using ir::Node;
using ir::PrimitiveClass;
using ir::Program;

Ints values_of(const Recording& recording, std::span<const IntegerSource> sources) {
  Ints values;
  const IntegerSource* last = nullptr;  // whose form it is: those of one view stand in a row
  std::optional<ViewForm> form;
  for (const IntegerSource& source : sources) {
    if (source.integer >= 0) {
      values.push_back(recording.integers[static_cast<size_t>(source.integer)]);
      continue;
    }
    const Window& window = recording.windows[static_cast<size_t>(source.window)];
    if (source.part == IntegerSource::Part::Size) {
      values.push_back(window.info.sizes[static_cast<size_t>(source.axis)]);
      continue;
    }
    if (last == nullptr || last->base != source.base || last->window != source.window)
      form = view_form(recording.windows[static_cast<size_t>(source.base)], window);
    last = &source;
    const ViewForm::Digit& digit = form.value().digits[static_cast<size_t>(source.axis)];
    values.push_back(source.part == IntegerSource::Part::Extent ? digit.extent : digit.start);
  }
  return values;
}

IntegerFacts::IntegerFacts(const Recording& recording, std::vector<IntegerSource> sources,
                           std::vector<ViewRead> views)
    : sources_(std::move(sources)), views_(std::move(views)) {
  const Ints values = values_of(recording, sources_);
  std::unordered_map<int64_t, int32_t> first;
  for (size_t i = 0; i < sources_.size(); ++i) {
    const auto own = static_cast<int32_t>(i);
    if (sources_[i].part == IntegerSource::Part::Start)
      classes_.push_back(own);  // nothing asks what it is equal to
    else
      classes_.push_back(values[i] == 1 ? -1 : first.try_emplace(values[i], own).first->second);
  }
}

bool IntegerFacts::hold(const Recording& recording) const {
  for (const ViewRead& view : views_) {
    const auto form = view_form(recording.windows[static_cast<size_t>(view.base)],
                                recording.windows[static_cast<size_t>(view.window)]);
    if (!form || !form->is_like(view.form)) return false;
  }
  const Ints values = values_of(recording, sources_);
  for (size_t i = 0; i < values.size(); ++i) {
    const int32_t same = classes_[i];
    if (same == static_cast<int32_t>(i)) continue;
    if (values[i] != (same < 0 ? 1 : values[static_cast<size_t>(same)])) return false;
  }
  return true;
}

namespace {

std::shared_ptr<const Executable> relaxed(const Executable& executable) {
  if (host_program_of(executable) != nullptr) return share(executable);
  const Program& program = program_of(executable);
  if (ir::has_complex(program)) return share(executable);
  return make_executable(prim::relax(program));
}

}  // namespace

bool reads_by_view(const Region& both, const Region& one, const Region& other) {
  const auto views = [](const Region& region) {
    return region.facts ? region.facts->views().size() : 0;
  };
  return views(both) > views(one) + views(other);
}

bool writes_apart(const Recording& recording, const Region& region) {
  std::vector<size_t> written;
  for (const int32_t window : region.outputs) written.push_back(recording.slot_of(window));
  std::sort(written.begin(), written.end());
  return std::adjacent_find(written.begin(), written.end()) == written.end();
}

bool fills_blocks(const Entry& entry) {
  const auto& places = entry.shape->results;
  return std::all_of(places.begin(), places.end(), [&](const RunShape::Place& place) {
    return place.kind != RunShape::Place::Kind::Block || is_whole(*entry.shape, place);
  });
}

Region region_of(const Recording& recording, int32_t number) {
  const Entry& entry = recording.entries[static_cast<size_t>(number)];
  Region region;
  region.entries = {number};
  region.program =
      entry.options.numerics == Numerics::Fast ? relaxed(*entry.program) : entry.program;
  const auto parameters = recording.operands_of(entry.parameters);
  region.parameters.assign(parameters.begin(), parameters.end());
  const auto outputs = recording.operands_of(entry.results);
  region.outputs.assign(outputs.begin(), outputs.end());
  for (int32_t i = entry.numbers.begin; i < entry.numbers.end; ++i) region.numbers.push_back(i);
  for (int32_t i = entry.integers.begin; i < entry.integers.end; ++i)
    region.integers.push_back({.integer = i});
  return region;
}

namespace {

constexpr size_t kMaxNodes = 600;
/// In wiring: what follows is read through a view.
constexpr int32_t kView = std::numeric_limits<int32_t>::min() + 1;

/// What break_merges() was given; null for nothing.
std::atomic<const std::vector<std::string>*> broken_ops = nullptr;

/// Some runs under construction as one program.
class Merger {
 public:
  Merger(const Recording& recording, const Flow& flow, std::vector<int32_t> entries,
         const std::vector<bool>& is_stored)
      : recording_(recording), flow_(flow), is_stored_(is_stored) {
    region_.entries = std::move(entries);
  }

  std::optional<Region> merge() {
    for (const int32_t number : region_.entries)
      if (host_program_of(*entry(number).program) != nullptr) return std::nullopt;
    collect();
    region_.facts.emplace(recording_, std::move(sources_), std::move(views_));
    choose_symbols();
    // The cache of programs by what the merger looks at.
    constexpr size_t kMaxMerged = 4096;
    static auto* const cache =
        new BoundedCache<Hash128, std::shared_ptr<const Executable>>(kMaxMerged);
    const Hash128 key = this->key();
    if (auto known = cache->find(key)) return finish(*std::move(known));
    std::optional<Program> program = build();
    return finish(
        cache->add(key, program.has_value() ? make_executable(*std::move(program)) : nullptr));
  }

 private:
  /// Of the input, view or result whose sources begin at first_extent_[which].
  struct FixedExtent {
    size_t which, axis;
    Dim number;
  };

  const Entry& entry(int32_t number) const {
    return recording_.entries[static_cast<size_t>(number)];
  }
  const Window& window(int32_t number) const {
    return recording_.windows[static_cast<size_t>(number)];
  }

  std::optional<Region> finish(std::shared_ptr<const Executable> program) {
    if (program == nullptr) return std::nullopt;
    region_.program = std::move(program);
    return std::move(region_);
  }

  /// Inputs, outputs, numbers and integers of the region, in the order of its runs.
  void collect() {
    std::unordered_map<int32_t, int32_t> made;        // value: its number among those made here
    std::unordered_map<int64_t, int32_t> inputs;      // window and value: parameter
    std::vector<size_t> made_extents, input_extents;  // by their numbers: of first_extent_
    for (const int32_t number : region_.entries) {
      const Entry& e = entry(number);
      const Program& program = program_of(*e.program);
      for (int32_t o = e.parameters.begin; o < e.parameters.end; ++o) {
        const auto note = [&](size_t which) {
          const auto parameter = static_cast<size_t>(o - e.parameters.begin);
          note_numbers(which, program.parameters[parameter].shape);
        };
        const int32_t value = flow_.value_of[static_cast<size_t>(o)];
        const auto here = made.find(value);
        const int32_t w = recording_.operands[static_cast<size_t>(o)];
        if (value >= 0 && here != made.end()) {
          if (const int32_t base = flow_.values[static_cast<size_t>(value)].window; base != w) {
            wiring_.push_back(kView);
            note(first_extent_.size());
            add_view(base, w);
          } else {
            note(made_extents[static_cast<size_t>(here->second)]);
          }
          wiring_.push_back(-1 - here->second);
          continue;
        }
        const int64_t identity = int64_t{w} << 32 | static_cast<uint32_t>(value);
        const auto [input, fresh] =
            inputs.try_emplace(identity, static_cast<int32_t>(region_.parameters.size()));
        if (fresh) {
          region_.parameters.push_back(w);
          input_extents.push_back(first_extent_.size());
          add_extents(w);
        }
        note(input_extents[static_cast<size_t>(input->second)]);
        wiring_.push_back(input->second);
      }
      for (int32_t i = e.integers.begin; i < e.integers.end; ++i)
        sources_.push_back({.integer = i});
      for (int32_t i = e.numbers.begin; i < e.numbers.end; ++i) region_.numbers.push_back(i);
      for (int32_t o = e.results.begin; o < e.results.end; ++o) {
        const int32_t value = flow_.value_of[static_cast<size_t>(o)];
        if (value < 0 || made.contains(value)) {
          wiring_.push_back(std::numeric_limits<int32_t>::min());
          continue;
        }
        made.emplace(value, static_cast<int32_t>(made.size()));
        const int32_t w = recording_.operands[static_cast<size_t>(o)];
        made_extents.push_back(first_extent_.size());
        add_extents(w);
        const ir::NodeId result = program.results[static_cast<size_t>(o - e.results.begin)];
        note_numbers(made_extents.back(), program.nodes[static_cast<size_t>(result)].type.shape);
        const bool stored = is_stored_[static_cast<size_t>(value)];
        wiring_.push_back(stored ? 1 : 0);
        if (stored) region_.outputs.push_back(w);
      }
    }
  }

  /// The extents of the view, then of each digit its extent and, if it is cut, its start.
  void add_view(int32_t base, int32_t w) {
    add_extents(w);
    views_.push_back({base, w, view_form(window(base), window(w)).value()});
    const auto& digits = views_.back().form.digits;
    for (size_t d = 0; d < digits.size(); ++d) {
      const auto digit = static_cast<int32_t>(d);
      sources_.push_back(
          {.window = w, .axis = digit, .base = base, .part = IntegerSource::Part::Extent});
      if (digits[d].is_cut())
        sources_.push_back(
            {.window = w, .axis = digit, .base = base, .part = IntegerSource::Part::Start});
    }
  }

  void add_extents(int32_t w) {
    first_extent_.emplace_back(sources_.size());
    for (size_t axis = 0; axis < window(w).info.sizes.size(); ++axis)
      sources_.push_back({.window = w, .axis = static_cast<int32_t>(axis)});
  }

  /// What a program was made for some extents of alone, it has as numbers.
  void note_numbers(size_t which, const ir::Shape& shape) {
    for (size_t axis = 0; axis < shape.size(); ++axis)
      if (shape[axis].is_constant()) numbers_.push_back({which, axis, shape[axis]});
  }

  /// The symbol of each class of equal integers: the number that it is in one of the programs, or
  /// the extent of a parameter or an integer.
  void choose_symbols() {
    const auto& sources = region_.facts->sources();
    const auto& classes = region_.facts->classes();
    symbols_.assign(sources.size(), std::nullopt);
    for (const FixedExtent& fixed : numbers_)
      if (const int32_t same = classes[first_extent_[fixed.which] + fixed.axis]; same >= 0)
        symbols_[static_cast<size_t>(same)] = fixed.number;
    for (size_t i = 0; i < sources.size(); ++i) {
      if (classes[i] < 0 || sources[i].window < 0 || sources[i].part != IntegerSource::Part::Size)
        continue;
      std::optional<Dim>& symbol = symbols_[static_cast<size_t>(classes[i])];
      const auto parameter =
          std::find(region_.parameters.begin(), region_.parameters.end(), sources[i].window);
      if (symbol || parameter == region_.parameters.end()) continue;
      symbol = Dim::size(static_cast<int>(parameter - region_.parameters.begin()), sources[i].axis);
    }
    for (size_t i = 0; i < sources.size(); ++i) {
      if (classes[i] < 0) continue;
      std::optional<Dim>& symbol = symbols_[static_cast<size_t>(classes[i])];
      if (symbol) continue;
      symbol = Dim::integer(static_cast<int>(region_.integers.size()));
      region_.integers.push_back(sources[static_cast<size_t>(classes[i])]);
    }
  }

  /// The symbol of source number `source`.
  Dim dim(size_t source) const {
    const int32_t same = region_.facts->classes()[source];
    return same < 0 ? Dim(1) : *symbols_[static_cast<size_t>(same)];
  }

  ir::Shape extents(size_t which, size_t rank) const {
    ir::Shape shape;
    for (size_t axis = 0; axis < rank; ++axis) shape.push_back(dim(first_extent_[which] + axis));
    return shape;
  }

  Hash128 key() const {
    Hasher hasher;
    for (const int32_t number : region_.entries) {
      hasher.add(hash_of(*entry(number).program));
      hasher.add(entry(number).integers.size());
    }
    hasher.add(is_broken()).add(is_fast());
    hasher.add(wiring_.size());
    for (const int32_t wire : wiring_) hasher.add(wire);
    for (const int32_t same : region_.facts->classes()) hasher.add(same);
    for (const ViewRead& view : region_.facts->views()) view.form.hash_into(hasher);
    return hasher.finish();
  }

  /// Nullopt where the runs do not fit together.
  std::optional<Program> build() {
    size_t nodes = 0;
    for (const int32_t number : region_.entries) {
      const Program& program = program_of(*entry(number).program);
      nodes += program.nodes.size();
      if (ir::has_complex(program)) return std::nullopt;
      for (const Node& node : program.nodes)
        if (node.primitive->cls == PrimitiveClass::BlockScan) return std::nullopt;
    }
    if (nodes > kMaxNodes) return std::nullopt;

    ir::Builder builder;
    std::vector<Expr> inputs;
    std::vector<Expr> made;
    std::vector<Expr> results;
    size_t wire = 0;
    size_t source = 0;  // of integers
    size_t extent = 0;  // of first_extent_
    size_t view = 0;    // of the facts' views
    for (const int32_t number : region_.entries) {
      const Entry& e = entry(number);
      const Program& program = program_of(*e.program);
      std::vector<Expr> arguments;
      std::vector<ir::Shape> shapes;
      for (const ir::Type& type : program.parameters) {
        int32_t from = wiring_[wire++];
        if (from == kView) {
          from = wiring_[wire++];
          const ViewForm& form = region_.facts->views()[view++].form;
          const Expr& base = made[static_cast<size_t>(-1 - from)];
          const ir::Shape shape = extents(extent++, form.digit_of.size());
          source += form.digit_of.size();
          arguments.push_back(read_view(base, form, shape, source));
          if (arguments.back().dtype() != type.dtype) return std::nullopt;
          shapes.push_back(shape);
          continue;
        }
        if (from >= static_cast<int32_t>(inputs.size())) {
          const ir::Shape shape = extents(extent++, type.shape.size());
          source += type.shape.size();
          inputs.push_back(builder.parameter(type.dtype, shape));
        }
        arguments.push_back(from >= 0 ? inputs[static_cast<size_t>(from)]
                                      : made[static_cast<size_t>(-1 - from)]);
        if (arguments.back().dtype() != type.dtype) return std::nullopt;
        shapes.push_back(arguments.back().shape());
      }
      const size_t first_integer = source;
      source += static_cast<size_t>(e.integers.size());
      const auto bound = [&](const Dim& symbolic) {
        return symbolic.substitute(
            [&](int parameter, int axis) {
              return shapes[static_cast<size_t>(parameter)][static_cast<size_t>(axis)];
            },
            [&](int slot) { return dim(first_integer + static_cast<size_t>(slot)); });
      };
      std::vector<Expr> values;
      if (!append(builder, program, arguments, bound, values)) return std::nullopt;
      for (const ir::NodeId id : program.results) {
        const int32_t kind = wiring_[wire++];
        if (kind == std::numeric_limits<int32_t>::min()) continue;
        const size_t rank = static_cast<size_t>(values[static_cast<size_t>(id)].rank());
        const ir::Shape shape = extents(extent++, rank);
        if (!may_have(values[static_cast<size_t>(id)].shape(), shape)) return std::nullopt;
        const Expr value = with_extents(values[static_cast<size_t>(id)], shape);
        source += rank;
        made.push_back(value);
        if (kind == 1) results.push_back(value);
      }
    }
    if (is_broken() && results[0].dtype() == DType::Float32) {
      const Expr more = prim::constant(builder, DType::Float32, 1.0000001192092896);
      using namespace prim;  // NOLINT(google-build-using-namespace): operators
      results[0] = results[0] * broadcast_to(more, results[0].shape());
    }
    Program program = builder.finish(results);
    return is_fast() ? prim::relax(program) : program;
  }

  /// A view of `base` with these extents. Sources from number `source` on are what the form takes.
  Expr read_view(const Expr& base, const ViewForm& form, const ir::Shape& shape,
                 size_t& source) const {
    const size_t count = form.digits.size();
    SmallVector<Dim, 6> numbers;
    SmallVector<Dim, 6> starts;
    for (const ViewForm::Digit& digit : form.digits) {
      numbers.push_back(dim(source++));
      starts.push_back(digit.is_cut() ? dim(source++) : Dim(0));
    }
    // The outermost digit of an axis is what the others leave of it.
    ir::Shape digits;
    for (size_t d = 0; d < count; ++d) {
      const int32_t axis = form.digits[d].axis;
      if (d > 0 && form.digits[d - 1].axis == axis) {
        digits.push_back(numbers[d]);
        continue;
      }
      Dim others = 1;
      for (size_t inner = d + 1; inner < count && form.digits[inner].axis == axis; ++inner)
        others = others * numbers[inner];
      digits.push_back(base.dim(axis).floor_div(others));
    }
    Expr value = digits == base.shape() ? base : prim::reshape(base, digits);
    SmallVector<int64_t, 6> still;
    SmallVector<int64_t, 6> order;  // walked digits as the view has them
    SmallVector<int64_t, 6> places;
    std::vector<Dim> lengths(count, Dim(1));
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      if (form.digit_of[axis] < 0) continue;
      lengths[static_cast<size_t>(form.digit_of[axis])] = shape[axis];
      order.push_back(form.digit_of[axis]);
      places.push_back(static_cast<int64_t>(axis));
    }
    for (size_t d = 0; d < count; ++d) {
      if (form.digits[d].is_cut() || !(value.dim(static_cast<int>(d)) == lengths[d]))
        value = prim::slice(value, static_cast<int>(d), starts[d], lengths[d]);
      if (!form.digits[d].is_walked) still.push_back(static_cast<int64_t>(d));
    }
    if (!still.empty()) value = prim::squeeze(value, {still.data(), still.size()});
    for (int64_t& digit : order)
      digit -= std::count_if(still.begin(), still.end(), [&](int64_t s) { return s < digit; });
    if (!std::is_sorted(order.begin(), order.end()))
      value = prim::permute(value, {order.data(), order.size()});
    if (value.shape() == shape) return value;
    return prim::broadcast(value, {places.data(), places.size()}, shape);
  }

  /// False for a program made for some sizes alone, whose extents are numbers, under symbols: what
  /// estimates programs gives those any values.
  static bool may_have(const ir::Shape& extents, const ir::Shape& symbols) {
    for (size_t axis = 0; axis < symbols.size(); ++axis)
      if (extents[axis].is_constant() && !(extents[axis] == symbols[axis])) return false;
    return true;
  }

  /// `value`, whose extents are `shape` in all recordings that the facts hold for, as later runs
  /// take it: under the symbols of those values.
  static Expr with_extents(Expr value, const ir::Shape& shape) {
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      ir::Shape named = value.shape();
      if (named[axis] == shape[axis]) continue;
      named[axis] = shape[axis];
      value = prim::reshape(value, named);
    }
    return value;
  }

  bool is_fast() const {
    return std::all_of(region_.entries.begin(), region_.entries.end(), [&](int32_t number) {
      return entry(number).options.numerics == Numerics::Fast;
    });
  }

  bool is_broken() const {
    const std::vector<std::string>* const ops = broken_ops.load();
    if (ops == nullptr) return false;
    const auto is_label = [&](int32_t number, const std::string& op) {
      return entry(number).label == op;
    };
    return std::search(region_.entries.begin(), region_.entries.end(), ops->begin(), ops->end(),
                       is_label) != region_.entries.end();
  }

  /// The nodes of `program`, its extents replaced by `bound`; false if they do not fit.
  template <class Bound>
  static bool append(ir::Builder& builder, const Program& program,
                     const std::vector<Expr>& arguments, const Bound& bound,
                     std::vector<Expr>& values) {
    std::vector<Expr> numbers;
    for (const DType dtype : program.numbers) numbers.push_back(builder.number(dtype));
    for (const Node& node : program.nodes) {
      if (node.primitive == ir::parameter_row()) {
        values.push_back(arguments[static_cast<size_t>(node.attributes.index)]);
        continue;
      }
      if (node.primitive == ir::number_row()) {
        values.push_back(numbers[static_cast<size_t>(node.attributes.index)]);
        continue;
      }
      SmallVector<Expr, 4> operands;
      for (const ir::NodeId id : node.arguments)
        operands.push_back(values[static_cast<size_t>(id)]);
      ir::Attributes attributes = node.attributes;
      for (Dim& d : attributes.dims) d = bound(d);
      try {
        values.push_back(
            builder.add(node.primitive, {operands.data(), operands.size()}, std::move(attributes)));
      } catch (const InternalError&) {
        return false;
      }
    }
    return true;
  }

  const Recording& recording_;
  const Flow& flow_;
  const std::vector<bool>& is_stored_;
  Region region_;
  std::vector<int32_t> wiring_;  // per operand of the runs: what it is
  std::vector<IntegerSource> sources_;
  std::vector<ViewRead> views_;
  std::vector<size_t> first_extent_;  // per input and result, in order: its first source
  std::vector<FixedExtent> numbers_;
  std::vector<std::optional<Dim>> symbols_;  // per class, at its first source
};

}  // namespace

void break_merges(std::vector<std::string> ops) {
  // Leaked: merges may be under way.
  broken_ops = ops.empty() ? nullptr : new std::vector<std::string>(std::move(ops));
}

std::optional<Region> merge(const Recording& recording, const Flow& flow,
                            std::vector<int32_t> entries, const std::vector<bool>& is_stored) {
  for (const int32_t entry : entries)
    if (!flow.alone.empty() && flow.alone[static_cast<size_t>(entry)]) return std::nullopt;
  return Merger(recording, flow, std::move(entries), is_stored).merge();
}

}  // namespace flambeau::compiler
