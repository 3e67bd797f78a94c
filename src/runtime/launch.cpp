#include "runtime/launch.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>

#include "base/error.h"
#include "base/fork.h"
#include "base/settings.h"
#include "ir/interpreter.h"
#include "runtime/allocator.h"
#include "runtime/compiler.h"
#include "runtime/cpu_topology.h"
#include "runtime/thread_pool.h"

namespace flambeau {

using lower::Access;
using lower::AxisIndex;
using lower::KernelKind;
using lower::KernelTemplate;
using lower::LayoutClass;
using lower::SlotBinding;
using lower::StrideClass;

namespace {

/// A launch is cut into about this many chunks, so that threads end together ...
constexpr int64_t kChunks = 64;
/// ... of at least and at most this many elements, for a body of about four instructions.
constexpr int64_t kMinChunkWork = 1 << 14;
constexpr int64_t kMaxChunkWork = 1 << 17;
/// Rows of a chunk, at least, where there are as many: a kernel may go over several at once.
constexpr int64_t kRowsTogether = 16;
/// Work, in the same measure, that pays for a call of the kernel.
constexpr int64_t kWalkWork = 1 << 11;
/// Pieces of the inner loop start at multiples of this many elements.
constexpr int64_t kInnerPiece = 256;
/// Many rows that are this short get a kernel of their length, if their body is simple: what a loop
/// costs to start is most of the time then.
constexpr int64_t kShortRow = 32;
// As many windows next to each other are worth a vector.
constexpr int64_t kLeastWindows = 4;
constexpr int64_t kManyRows = 256;
constexpr int kSimpleBody = 16;
constexpr int kSimpleRow = 64;
/// Cost of a scan's iteration from which vectors that gather pay.
constexpr int kCostlyScan = 24;

using Numbers = SmallVector<int64_t, 16>;

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Work of one chunk of a launch. It depends on shape and cost alone.
int64_t chunk_work(int64_t work) {
  return std::clamp(work / kChunks, kMinChunkWork, kMaxChunkWork);
}

}  // namespace

struct LaunchTemplate::Variant {
  LayoutClass layout;
  std::vector<SlotBinding> slots;
  SmallVector<int, 8> pointers;  // per pointer of the kernel: the access it belongs to
  LoadedKernel kernel;
  Variant* next = nullptr;
};

/// Extents and strides of one launch after sorting and merging.
struct LaunchTemplate::Bound {
  struct Level {
    int64_t extent;
    Numbers strides;  // per access
  };
  SmallVector<Level, 4> kept;            // outermost first
  SmallVector<Level, 2> reduced;         // logical order
  Numbers offset;                        // per access: its start, in elements
  Numbers dynamic;                       // stride factors of dynamic terms, access by access
  SmallVector<size_t, 8> first_dynamic;  // per access: where its factors begin
  SmallVector<size_t, 8> element_size;
  int64_t reduced_count = 1;

  bool merges(const Level& outer, const Level& inner) const {
    for (size_t a = 0; a < outer.strides.size(); ++a)
      if (outer.strides[a] != inner.strides[a] * inner.extent) return false;
    return true;
  }
  /// Iterations of a kept loop may run in either order: the one in which memory goes upwards.
  void walk_forward(Level& level) {
    int upwards = 0;
    for (size_t a = 0; a < level.strides.size(); ++a)
      if (element_size[a] != 0 && std::abs(level.strides[a]) == 1)
        upwards += static_cast<int>(level.strides[a]);
    if (upwards >= 0) return;
    for (size_t a = 0; a < level.strides.size(); ++a) {
      offset[a] += level.strides[a] * (level.extent - 1);
      level.strides[a] = -level.strides[a];
    }
  }
};

LaunchTemplate::LaunchTemplate(std::shared_ptr<const KernelTemplate> kernel)
    : kernel_(std::move(kernel)) {}

LaunchTemplate::~LaunchTemplate() {
  for (Variant* v = variants_.load(); v != nullptr;) delete std::exchange(v, v->next);
}

thread_local constinit bool SizesVary::innermost = false;

namespace {

LayoutClass for_any_length(LayoutClass layout) {
  layout.inner_extent = layout.reduced_extent = 0;
  for (auto* strides : {&layout.inner, &layout.reduced})  // of 2 where a row is that short
    std::replace(strides->begin(), strides->end(), StrideClass::Two, StrideClass::Other);
  return layout;
}

}  // namespace

const LaunchTemplate::Variant* LaunchTemplate::find(const LayoutClass& layout) const {
  for (Variant* v = variants_.load(std::memory_order_acquire); v != nullptr; v = v->next)
    if (v->layout == layout) return v;
  return nullptr;
}

LayoutClass LaunchTemplate::choose(const LayoutClass& layout, const LayoutClass& of_length,
                                   const LayoutClass& preferred) const {
  if (!SizesVary::is_on() || find(preferred) != nullptr) return preferred;
  if (find(layout) != nullptr) return layout;
  if (find(of_length) != nullptr) return of_length;
  for (Variant* v = variants_.load(std::memory_order_acquire); v != nullptr; v = v->next)
    if (for_any_length(v->layout) == layout) return layout;
  return preferred;
}

const LaunchTemplate::Variant& LaunchTemplate::variant(const LayoutClass& layout) const {
  if (const Variant* known = find(layout)) return *known;
  static ForkSafe<std::mutex> mutex;
  auto fresh = std::make_unique<Variant>();
  lower::SpecialisedKernel special = lower::specialise(*kernel_, layout);
  fresh->layout = layout;
  fresh->slots = std::move(special.slots);
  for (size_t a = 0; a < kernel_->accesses.size(); ++a) {
    const Access& access = kernel_->accesses[a];
    const bool seen = std::any_of(
        kernel_->accesses.begin(), kernel_->accesses.begin() + static_cast<ptrdiff_t>(a),
        [&](const Access& o) { return o.buffer == access.buffer && o.axes == access.axes; });
    if (access.buffer >= 0 && !seen) fresh->pointers.push_back(static_cast<int>(a));
  }
  if (bool_setting("FLAMBEAU_CHECK")) ir::verify(special.program);
  fresh->kernel = get_kernel(special.program);
  const std::lock_guard lock(mutex);
  fresh->next = variants_.load();
  variants_.store(fresh.get(), std::memory_order_release);
  return *fresh.release();
}

BoundLaunches LaunchTemplate::bind(std::span<const int64_t* const> strides,
                                   const ir::DimBindings& bindings) const {
  const KernelTemplate& k = *kernel_;
  const size_t kept_count = k.kept.size();
  const size_t access_count = k.accesses.size();
  Bound bound;

  // Loops: kept ones first. An extent of 0 leaves nothing to do; reduced ones may be empty.
  for (const ir::Dim& extent : k.kept) {
    bound.kept.push_back({extent.evaluate(bindings), Numbers(access_count, 0)});
    if (bound.kept.back().extent == 0) return {};
  }
  for (const ir::Dim& extent : k.reduced) {
    bound.reduced.push_back({extent.evaluate(bindings), Numbers(access_count, 0)});
    bound.reduced_count *= bound.reduced.back().extent;
  }
  bound.offset.resize(access_count);
  for (size_t a = 0; a < access_count; ++a) {
    const Access& access = k.accesses[a];
    const bool is_index = access.buffer < 0;
    int64_t offset = 0;
    bound.first_dynamic.push_back(bound.dynamic.size());
    for (size_t axis = 0; axis < access.axes.size(); ++axis) {
      const AxisIndex& index = access.axes[axis];
      const int64_t stride = is_index ? 1 : strides[static_cast<size_t>(access.buffer)][axis];
      if (!index.offset.is_zero()) offset += stride * index.offset.evaluate(bindings);
      for (const AxisIndex::Term& term : index.terms) {
        const int64_t step =
            term.coefficient.is_one() ? stride : stride * term.coefficient.evaluate(bindings);
        const auto loop = static_cast<size_t>(term.loop);
        auto& level = loop < kept_count ? bound.kept[loop] : bound.reduced[loop - kept_count];
        level.strides[a] += step;
      }
      for (const AxisIndex::Dynamic& term : index.dynamic)
        bound.dynamic.push_back(stride * term.coefficient.evaluate(bindings));
    }
    const size_t size = is_index ? 0 : size_of(k.buffers[static_cast<size_t>(access.buffer)].dtype);
    bound.element_size.push_back(size);
    bound.offset[a] = offset;
  }

  // Kept loops: those of the greatest strides outermost, then merged; the first access that tells
  // two loops apart decides, stores before loads, as memory is written in order.
  SmallVector<size_t, 8> order;
  for (size_t a = 0; a < access_count; ++a)
    if (k.accesses[a].is_store) order.push_back(a);
  for (size_t a = 0; a < access_count; ++a)
    if (!k.accesses[a].is_store && k.accesses[a].buffer >= 0) order.push_back(a);
  const auto before = [&](const Bound::Level& p, const Bound::Level& q) {
    for (const size_t a : order) {
      const int64_t sp = std::abs(p.strides[a]);
      const int64_t sq = std::abs(q.strides[a]);
      if (sp != sq && sp != 0 && sq != 0) return sp > sq;
    }
    return false;
  };
  SmallVector<Bound::Level, 4> kept;
  for (Bound::Level& level : bound.kept) {
    if (level.extent == 1) continue;
    bound.walk_forward(level);
    size_t position = kept.size();
    while (position > 0 && before(level, kept[position - 1])) --position;
    kept.insert(position, std::move(level));
  }
  bound.kept.clear();
  for (Bound::Level& level : kept) {
    if (!bound.kept.empty() && bound.merges(bound.kept.back(), level)) {
      bound.kept.back().extent *= level.extent;
      bound.kept.back().strides = level.strides;
    } else {
      bound.kept.push_back(std::move(level));
    }
  }
  // Reduced loops keep their order: it is the order of the sum.
  SmallVector<Bound::Level, 2> reduced;
  for (Bound::Level& level : bound.reduced) {
    if (level.extent == 1 && bound.reduced.size() > 1) continue;
    if (!reduced.empty() && bound.merges(reduced.back(), level)) {
      reduced.back().extent *= level.extent;
      reduced.back().strides = level.strides;
    } else {
      reduced.push_back(std::move(level));
    }
  }
  if (k.has_reduced() && reduced.empty()) reduced.push_back({1, Numbers(access_count, 0)});
  bound.reduced = std::move(reduced);
  return cut(bound, bindings);
}

namespace {

StrideClass class_of(int64_t stride) {
  switch (stride) {
    case 0:
      return StrideClass::Zero;
    case 1:
      return StrideClass::Unit;
    case 2:
      return StrideClass::Two;
    case -1:
      return StrideClass::Back;
    default:
      return StrideClass::Other;
  }
}

/// last_cache_bytes(), which reads files: a static value would be made under a lock that a fork()
/// meanwhile leaves locked in the child.
int64_t cache_room() {
  static std::atomic<int64_t> known{-1};
  int64_t room = known.load(std::memory_order_relaxed);
  if (room < 0) known.store(room = last_cache_bytes(), std::memory_order_relaxed);
  return room;
}

}  // namespace

BoundLaunches LaunchTemplate::cut(const Bound& bound, const ir::DimBindings& bindings) const {
  const KernelTemplate& k = *kernel_;
  const size_t access_count = k.accesses.size();
  static const Bound::Level kNone{1, {}};
  LayoutClass layout;
  SmallVector<const Bound::Level*, 4> walked;
  for (const Bound::Level& level : bound.kept) walked.push_back(&level);
  const Bound::Level* inner = nullptr;
  const Bound::Level* outer = nullptr;

  const auto take_inner = [&] {
    if (walked.empty()) return;
    inner = walked.back();
    walked.pop_back();
  };
  // Whether an operand is contiguous along `across` and not along the vectors.
  const auto is_transposed = [&](const Bound::Level& along, const Bound::Level& across) {
    for (size_t a = 0; a < access_count; ++a)
      if (k.accesses[a].buffer >= 0 && class_of(along.strides[a]) == StrideClass::Other &&
          across.strides[a] == 1)
        return true;
    return false;
  };
  const auto take_outer = [&] {
    if (walked.empty()) return;
    // Memory is walked in order, if what the two loops do pays for a call of the kernel; but where
    // an operand is transposed, small tiles let every cache line that is fetched serve several
    // rows.
    const auto work = [&](const Bound::Level* level) {
      return level->extent * (inner == nullptr ? 1 : inner->extent) * bound.reduced_count * k.cost /
             4;
    };
    size_t best = walked.size() - 1;
    if (work(walked[best]) < kWalkWork)
      for (size_t i = 0; i < walked.size(); ++i)
        if (walked[i]->extent > walked[best]->extent) best = i;
    for (size_t i = 0; i < walked.size() && inner != nullptr; ++i)
      if (walked[i]->extent >= BoundLaunch::kTile && is_transposed(*inner, *walked[i])) best = i;
    outer = walked[best];
    walked.erase(best);
  };

  if (!k.has_reduced()) {
    layout.kind = KernelKind::Pointwise;
    take_inner();
  } else {
    // Lanes along the reduced axis where that is the axis of unit strides, else along the kept one.
    // What does not move along the kept axis is a scalar to lanes along it; what is read at
    // computed places, as rows of a table, moves along the reduced axis in its own way.
    int64_t along_reduced = 0;
    int64_t along_kept = 0;
    bool stores_along_kept = false;
    for (size_t a = 0; a < access_count; ++a) {
      if (k.accesses[a].buffer < 0) continue;
      const int64_t stride = bound.reduced.back().strides[a];
      const int64_t across = bound.kept.empty() ? 1 : bound.kept.back().strides[a];
      const bool is_dynamic = std::any_of(k.accesses[a].axes.begin(), k.accesses[a].axes.end(),
                                          [](const AxisIndex& i) { return !i.dynamic.empty(); });
      // Of pairs along the kept axis the two parts are rows that alternate.
      const bool pairs = stride == 2 && !bound.kept.empty() && bound.kept.back().extent == 2;
      along_reduced += (stride == 1 || pairs) && across != 0;
      along_kept += !bound.kept.empty() && across == 1 && (stride != 0 || is_dynamic);
      stores_along_kept |= k.accesses[a].is_store && !bound.kept.empty() && across == 1;
    }
    // Windows that lie side by side are rows of a few elements: their places are the lanes.
    const auto are_windows = [&] {
      if (bound.kept.empty() || bound.reduced_count > ir::kReduceLanes ||
          bound.kept.back().extent < kLeastWindows)
        return false;
      bool any = false;
      for (size_t a = 0; a < access_count; ++a) {
        bool reads = false;
        for (const Bound::Level& level : bound.reduced) reads |= level.strides[a] != 0;
        if (k.accesses[a].buffer < 0 || !reads) continue;
        const int64_t apart = bound.kept.back().strides[a];
        if (apart != 1 && (apart != 2 || bound.reduced.size() == 1)) return false;
        any = true;
      }
      return any;
    };
    const bool serial = k.has_section(lower::Section::Kind::Serial);
    // Steps that are costly, and must wait for each other, run for several rows at once.
    const bool slow_scan = k.has_section(lower::Section::Kind::Scan) && k.cost > kCostlyScan;
    const bool column =
        !bound.kept.empty() && (serial ? stores_along_kept || along_kept >= along_reduced
                                       : slow_scan || along_kept > along_reduced || are_windows());
    layout.kind = column ? KernelKind::Column : KernelKind::Row;
    layout.reduced_levels =
        static_cast<uint8_t>(bound.reduced.size() > 1 ? bound.reduced.size() : 1);
    if (column) take_inner();
  }
  take_outer();

  const auto strides_of = [&](const Bound::Level* level, size_t a) {
    return level == nullptr ? int64_t{0} : level->strides[a];
  };
  uint8_t inner_extent = 0;
  uint8_t reduced_extent = 0;
  int64_t rows = outer == nullptr ? 1 : outer->extent;
  if (layout.kind == KernelKind::Pointwise && inner != nullptr && inner->extent <= kShortRow &&
      outer != nullptr && k.cost <= kSimpleBody)
    inner_extent = static_cast<uint8_t>(inner->extent);
  const bool many_short = inner_extent > 0 && rows >= kManyRows;
  for (const Bound::Level* level : walked) rows *= level->extent;
  if (layout.kind == KernelKind::Row && layout.reduced_levels == 1 && bound.reduced_count > 0 &&
      bound.reduced_count <= kShortRow && k.cost <= kSimpleRow)
    reduced_extent = static_cast<uint8_t>(bound.reduced_count);
  const bool has_own = many_short || (reduced_extent > 0 && rows >= kManyRows);

  // A long reduction with few results runs by blocks on all threads, then combines their results.
  size_t reduce_sections = 0;
  for (const lower::Section& s : k.sections)
    reduce_sections += s.kind == lower::Section::Kind::Reduce;
  const bool split =
      layout.kind == KernelKind::Row && reduce_sections == 1 && rows <= 4 &&
      bound.reduced_count >= 16 * ir::kReduceBlock && !k.has_section(lower::Section::Kind::Full) &&
      !k.has_section(lower::Section::Kind::Serial) && !k.has_section(lower::Section::Kind::Scan);
  if (split) {
    if (outer != nullptr) walked.push_back(outer);
    outer = nullptr;
    layout.kind = KernelKind::Blocks;
  }

  for (size_t a = 0; a < access_count; ++a) {
    const bool uses_inner =
        layout.kind == KernelKind::Pointwise || layout.kind == KernelKind::Column;
    layout.inner.push_back(uses_inner ? class_of(strides_of(inner, a)) : StrideClass::Zero);
    if (layout.kind == KernelKind::Pointwise && layout.inner.back() == StrideClass::Other &&
        outer != nullptr && outer->strides[a] == 1 && outer->extent >= BoundLaunch::kTile &&
        !k.accesses[a].is_store && k.accesses[a].buffer >= 0)
      layout.inner.back() = StrideClass::Transposed;
    if (!k.has_reduced()) {
      layout.reduced.push_back(StrideClass::Zero);
    } else if (layout.reduced_levels > 1) {
      // Zero: along none of the levels.
      bool any = false;
      for (const Bound::Level& level : bound.reduced) any |= level.strides[a] != 0;
      const StrideClass last = class_of(bound.reduced.back().strides[a]);
      layout.reduced.push_back(any && last == StrideClass::Zero ? StrideClass::Other : last);
    } else {
      layout.reduced.push_back(class_of(bound.reduced[0].strides[a]));
    }
  }

  const auto slot_value = [&](const Variant& v, const SlotBinding& slot) -> int64_t {
    const auto a = static_cast<size_t>(slot.index);
    switch (slot.kind) {
      case SlotBinding::Kind::Source: {
        const lower::SlotSource& source = k.slots[a];
        return source.number >= 0 ? 0 : source.dim.evaluate(bindings);
      }
      case SlotBinding::Kind::ReducedExtent:
        return slot.level < 0 ? bound.reduced_count
                              : bound.reduced[static_cast<size_t>(slot.level)].extent;
      case SlotBinding::Kind::OuterStride:
        if (v.layout.kind != KernelKind::Blocks) return strides_of(outer, a);
        // The indices along several levels are counted from the first block.
        return bound.reduced.size() > 1 ? 0 : bound.reduced[0].strides[a] * ir::kReduceBlock;
      case SlotBinding::Kind::InnerStride:
        return strides_of(inner, a);
      case SlotBinding::Kind::ReducedStride:
        return bound.reduced[static_cast<size_t>(slot.level)].strides[a];
      case SlotBinding::Kind::Offset:
        return bound.offset[a];
      case SlotBinding::Kind::PastCaches:
        return 0;  // each call says
      case SlotBinding::Kind::DynamicStride:
        return bound.dynamic[bound.first_dynamic[a] + static_cast<size_t>(slot.level)];
    }
    throw InternalError("launch: unknown slot");
  };
  /// Of what the launch reads and writes.
  const auto fits_in_caches = [&](const Variant& v) {
    int64_t bytes = 0;
    for (const int access : v.pointers) {
      const auto a = static_cast<size_t>(access);
      auto own = static_cast<int64_t>(bound.element_size[a]);
      for (const Bound::Level& level : bound.kept) own *= level.strides[a] != 0 ? level.extent : 1;
      for (const Bound::Level& level : bound.reduced)
        own *= level.strides[a] != 0 ? level.extent : 1;
      bytes += own;
    }
    return bytes <= cache_room();
  };
  /// All but the chunks.
  const auto bind_to = [&](const Variant& v) {
    BoundLaunch launch;
    launch.function = v.kernel.function;
    for (const int access : v.pointers) {
      const auto a = static_cast<size_t>(access);
      launch.pointers.push_back(
          {k.accesses[a].buffer, bound.offset[a] * static_cast<int64_t>(bound.element_size[a])});
    }
    for (size_t i = 0; i < v.slots.size(); ++i) {
      launch.slots.push_back(slot_value(v, v.slots[i]));
      if (v.slots[i].kind == SlotBinding::Kind::Offset)
        launch.offset_slots.push_back(static_cast<int>(i));
      if (v.slots[i].kind == SlotBinding::Kind::PastCaches && !fits_in_caches(v))
        launch.past_caches = static_cast<int>(i);
      if (v.slots[i].kind != SlotBinding::Kind::Source) continue;
      const int number = k.slots[static_cast<size_t>(v.slots[i].index)].number;
      if (number >= 0) launch.numbers.push_back({i, number});
    }
    for (const Bound::Level* level : walked) {
      BoundLaunch::Walk walk{level->extent, {}, {}};
      for (const int access : v.pointers) {
        const auto a = static_cast<size_t>(access);
        walk.bytes.push_back(level->strides[a] * static_cast<int64_t>(bound.element_size[a]));
      }
      for (const int slot : launch.offset_slots)
        walk.shifts.push_back(
            level->strides[static_cast<size_t>(v.slots[static_cast<size_t>(slot)].index)]);
      launch.walks.push_back(std::move(walk));
      launch.walk_count *= level->extent;
    }
    return launch;
  };

  BoundLaunches result;
  if (split) {
    const int64_t block_count = (bound.reduced_count + ir::kReduceBlock - 1) / ir::kReduceBlock;
    const int64_t bytes = block_count * 8;
    // The results of the blocks of all walks lie one after the other.
    const auto add_partial = [&](BoundLaunch& launch) {
      launch.pointers.push_back({static_cast<int>(k.buffers.size()), 0});
      int64_t step = bytes;
      for (size_t l = launch.walks.size(); l-- > 0;) {
        launch.walks[l].bytes.push_back(step);
        step *= launch.walks[l].extent;
      }
    };
    LayoutClass of_tree = layout;
    of_tree.kind = KernelKind::Tree;
    try {
      variant(layout);
    } catch (const KernelMissing&) {
      variant(of_tree);  // is asked for, too
      throw;
    }
    BoundLaunch blocks = bind_to(variant(layout));
    add_partial(blocks);
    blocks.rows = block_count;
    const int64_t block_work = ir::kReduceBlock * k.cost / 4 + 1;
    blocks.row_step =
        std::max<int64_t>(1, chunk_work(blocks.walk_count * block_count * block_work) / block_work);
    blocks.cost = blocks.walk_count * bound.reduced_count * k.cost / 8;
    const Variant& tree_variant = variant(of_tree);
    BoundLaunch tree = bind_to(tree_variant);
    add_partial(tree);
    tree.walks_together = tree.walk_count;
    tree.cost = tree.walk_count * block_count;
    for (size_t i = 0; i < tree_variant.slots.size(); ++i) {
      if (tree_variant.slots[i].kind == SlotBinding::Kind::ReducedExtent)
        tree.slots[i] = block_count;
      if (tree_variant.slots[i].kind == SlotBinding::Kind::OuterStride) tree.slots[i] = 0;
    }
    result.scratch_bytes = static_cast<size_t>(blocks.walk_count * bytes);
    result.launches.push_back(std::move(blocks));
    result.launches.push_back(std::move(tree));
    return result;
  }

  LayoutClass of_length = layout;
  of_length.inner_extent = inner_extent;
  of_length.reduced_extent = reduced_extent;
  BoundLaunch launch =
      bind_to(variant(choose(for_any_length(layout), of_length, has_own ? of_length : layout)));
  launch.rows = outer == nullptr ? 1 : outer->extent;
  launch.columns = inner == nullptr ? 1 : inner->extent;
  launch.tiled = inner != nullptr && outer != nullptr && is_transposed(*inner, *outer);
  const int64_t row_work = launch.columns * std::max<int64_t>(bound.reduced_count, 1) * k.cost / 4;
  const int64_t walk_work = std::max<int64_t>(row_work * launch.rows, 1);
  const int64_t wanted = chunk_work(walk_work * launch.walk_count);
  // Pieces of rows if a row is long, else some rows together, else some walks.
  launch.column_step = launch.columns;
  if (row_work > wanted && inner != nullptr) {
    const int64_t pieces = (row_work + wanted - 1) / wanted;
    launch.column_step = round_up((launch.columns + pieces - 1) / pieces, kInnerPiece);
  } else if (row_work < wanted) {
    launch.row_step = wanted / std::max<int64_t>(row_work, 1);
    if (launch.tiled) launch.row_step = round_up(launch.row_step, BoundLaunch::kTile);
  }
  if (!bound.reduced.empty())
    launch.row_step = std::max(launch.row_step, std::min(kRowsTogether, launch.rows / kChunks));
  if (launch.pieces() == 1)
    launch.walks_together = std::clamp<int64_t>(wanted / walk_work, 1, launch.walk_count);
  launch.cost = launch.walk_count * walk_work / 4;
  result.launches.push_back(std::move(launch));
  return result;
}

void LaunchTemplate::launch(std::span<const LaunchBuffer> buffers, const ir::DimBindings& bindings,
                            std::span<const Scalar> numbers) const {
  SmallVector<const int64_t*, 8> strides;
  SmallVector<void*, 8> memory;
  for (const LaunchBuffer& buffer : buffers) {
    strides.push_back(buffer.strides);
    memory.push_back(buffer.data);
  }
  const BoundLaunches bound = bind({strides.data(), strides.size()}, bindings);
  const std::unique_ptr<void, std::function<void(void*)>> scratch(
      allocate(bound.scratch_bytes),
      [bytes = bound.scratch_bytes](void* p) { deallocate(p, bytes); });
  memory.push_back(scratch.get());
  for (const BoundLaunch& launch : bound.launches) launch.run(memory.data(), numbers);
}

}  // namespace flambeau
