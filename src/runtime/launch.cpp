#include "runtime/launch.h"

#include <algorithm>
#include <functional>
#include <mutex>

#include "base/error.h"
#include "base/settings.h"
#include "ir/interpreter.h"
#include "runtime/allocator.h"
#include "runtime/compiler.h"
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

/// Elements below which a kernel runs on the caller alone, and the size of one chunk, both for a
/// body of about four instructions.
constexpr int64_t kChunkWork = 1 << 17;
/// Pieces of the inner loop start at multiples of this many elements.
constexpr int64_t kInnerPiece = 256;
/// Cost of a scan's iteration from which vectors that gather pay.
constexpr int kCostlyScan = 24;
/// Rows and columns of a tile of a transposed operand.
constexpr int64_t kTile = 32;

using Numbers = SmallVector<int64_t, 16>;

}  // namespace

void DirectLaunch::run(std::span<void* const> buffers, std::span<const Scalar> call_numbers) const {
  SmallVector<void*, 8> places;
  for (const Pointer& pointer : pointers)
    places.push_back(static_cast<char*>(buffers[static_cast<size_t>(pointer.buffer)]) +
                     pointer.offset);
  if (numbers.empty()) return function(places.data(), slots.data(), 0, rows, 0, columns);
  Numbers values = slots;
  for (const Number& number : numbers)
    values[number.slot] =
        static_cast<int64_t>(call_numbers[static_cast<size_t>(number.number)].bits());
  function(places.data(), values.data(), 0, rows, 0, columns);
}

struct LaunchTemplate::Variant {
  LayoutClass layout;
  std::vector<SlotBinding> slots;
  SmallVector<int, 8> pointers;  // per pointer of the kernel: the access it belongs to
  ir::KernelFunction function;
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
  SmallVector<void*, 8> base;            // per access; null for index accesses
  Numbers offset;                        // per access: start of index accesses
  Numbers dynamic;                       // stride factors of dynamic terms, access by access
  SmallVector<size_t, 8> first_dynamic;  // per access: where its factors begin
  SmallVector<size_t, 8> element_size;
  int64_t reduced_count = 1;

  bool merges(const Level& outer, const Level& inner) const {
    for (size_t a = 0; a < outer.strides.size(); ++a)
      if (outer.strides[a] != inner.strides[a] * inner.extent) return false;
    return true;
  }
};

LaunchTemplate::LaunchTemplate(std::shared_ptr<const KernelTemplate> kernel)
    : kernel_(std::move(kernel)) {}

LaunchTemplate::~LaunchTemplate() {
  for (Variant* v = variants_.load(); v != nullptr;) delete std::exchange(v, v->next);
}

const LaunchTemplate::Variant& LaunchTemplate::variant(const LayoutClass& layout) const {
  for (Variant* v = variants_.load(std::memory_order_acquire); v != nullptr; v = v->next)
    if (v->layout == layout) return *v;
  static std::mutex mutex;
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
  fresh->function = get_kernel(special.program);
  const std::lock_guard lock(mutex);
  fresh->next = variants_.load();
  variants_.store(fresh.get(), std::memory_order_release);
  return *fresh.release();
}

void LaunchTemplate::launch(std::span<const LaunchBuffer> buffers, const ir::DimBindings& bindings,
                            std::span<const Scalar> numbers, DirectLaunch* direct) const {
  const KernelTemplate& k = *kernel_;
  const size_t kept_count = k.kept.size();
  const size_t access_count = k.accesses.size();
  Bound bound;

  // Loops: kept ones first. An extent of 0 leaves nothing to do; reduced ones may be empty.
  for (const ir::Dim& extent : k.kept) {
    bound.kept.push_back({extent.evaluate(bindings), Numbers(access_count, 0)});
    if (bound.kept.back().extent == 0) return;
  }
  for (const ir::Dim& extent : k.reduced) {
    bound.reduced.push_back({extent.evaluate(bindings), Numbers(access_count, 0)});
    bound.reduced_count *= bound.reduced.back().extent;
  }
  bound.offset.resize(access_count);
  for (size_t a = 0; a < access_count; ++a) {
    const Access& access = k.accesses[a];
    const bool is_index = access.buffer < 0;
    const LaunchBuffer* buffer = is_index ? nullptr : &buffers[static_cast<size_t>(access.buffer)];
    int64_t offset = 0;
    bound.first_dynamic.push_back(bound.dynamic.size());
    for (size_t axis = 0; axis < access.axes.size(); ++axis) {
      const AxisIndex& index = access.axes[axis];
      const int64_t stride = is_index ? 1 : buffer->strides[axis];
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
    // A tensor without elements has no memory to be offset in.
    bound.base.push_back(is_index || buffer->data == nullptr
                             ? nullptr
                             : static_cast<char*>(buffer->data) +
                                   offset * static_cast<int64_t>(size));
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
  run(bound, numbers, bindings, direct);
}

namespace {

StrideClass class_of(int64_t stride) {
  return stride == 0 ? StrideClass::Zero : stride == 1 ? StrideClass::Unit : StrideClass::Other;
}

}  // namespace

void LaunchTemplate::run(const Bound& bound, std::span<const Scalar> numbers,
                         const ir::DimBindings& bindings, DirectLaunch* direct) const {
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
  const auto take_longest = [&] {
    if (walked.empty()) return;
    size_t longest = 0;
    for (size_t i = 1; i < walked.size(); ++i)
      if (walked[i]->extent > walked[longest]->extent) longest = i;
    outer = walked[longest];
    walked.erase(longest);
  };

  if (!k.has_reduced()) {
    layout.kind = KernelKind::Pointwise;
    take_inner();
  } else {
    // Lanes along the reduced axis where that is the axis of unit strides, else along the kept one.
    int64_t along_reduced = 0;
    int64_t along_kept = 0;
    for (size_t a = 0; a < access_count; ++a) {
      if (k.accesses[a].buffer < 0) continue;
      along_reduced += bound.reduced.back().strides[a] == 1;
      along_kept += !bound.kept.empty() && bound.kept.back().strides[a] == 1 &&
                    bound.reduced.back().strides[a] != 0;
    }
    const bool serial = k.has_section(lower::Section::Kind::Serial);
    // Steps that are costly, and must wait for each other, run for several rows at once.
    const bool slow_scan = k.has_section(lower::Section::Kind::Scan) && k.cost > kCostlyScan;
    const bool column = !bound.kept.empty() && (serial || slow_scan || along_kept > along_reduced);
    layout.kind = column ? KernelKind::Column : KernelKind::Row;
    layout.reduced_levels =
        static_cast<uint8_t>(bound.reduced.size() > 1 ? bound.reduced.size() : 1);
    if (column) take_inner();
  }
  take_longest();

  const auto strides_of = [&](const Bound::Level* level, size_t a) {
    return level == nullptr ? int64_t{0} : level->strides[a];
  };
  int64_t rows = outer == nullptr ? 1 : outer->extent;
  for (const Bound::Level* level : walked) rows *= level->extent;

  // A long reduction with few results runs by blocks on all threads, then combines their results.
  size_t reduce_sections = 0;
  for (const lower::Section& s : k.sections)
    reduce_sections += s.kind == lower::Section::Kind::Reduce;
  const bool split =
      layout.kind == KernelKind::Row && reduce_sections == 1 && layout.reduced_levels == 1 &&
      rows <= 4 && bound.reduced_count >= 16 * ir::kReduceBlock &&
      !k.has_section(lower::Section::Kind::Full) && !k.has_section(lower::Section::Kind::Serial) &&
      !k.has_section(lower::Section::Kind::Scan);
  if (split) {
    if (outer != nullptr) walked.push_back(outer);
    outer = nullptr;
    layout.kind = KernelKind::Blocks;
  }

  for (size_t a = 0; a < access_count; ++a) {
    const bool uses_inner =
        layout.kind == KernelKind::Pointwise || layout.kind == KernelKind::Column;
    layout.inner.push_back(uses_inner ? class_of(strides_of(inner, a)) : StrideClass::Zero);
    if (!k.has_reduced()) {
      layout.reduced.push_back(StrideClass::Zero);
    } else if (layout.reduced_levels > 1) {
      bool any = false;
      for (const Bound::Level& level : bound.reduced) any |= level.strides[a] != 0;
      layout.reduced.push_back(any ? StrideClass::Other : StrideClass::Zero);
    } else {
      layout.reduced.push_back(class_of(bound.reduced[0].strides[a]));
    }
  }

  const auto fill = [&](const Variant& v, Numbers& ints) {
    for (const SlotBinding& slot : v.slots) {
      const auto a = static_cast<size_t>(slot.index);
      int64_t value = 0;
      switch (slot.kind) {
        case SlotBinding::Kind::Source: {
          const lower::SlotSource& source = k.slots[a];
          value = source.number >= 0
                      ? static_cast<int64_t>(numbers[static_cast<size_t>(source.number)].bits())
                      : source.dim.evaluate(bindings);
          break;
        }
        case SlotBinding::Kind::ReducedExtent:
          value = slot.level < 0 ? bound.reduced_count
                                 : bound.reduced[static_cast<size_t>(slot.level)].extent;
          break;
        case SlotBinding::Kind::OuterStride:
          value = v.layout.kind == KernelKind::Blocks
                      ? bound.reduced[0].strides[a] * ir::kReduceBlock
                      : strides_of(outer, a);
          break;
        case SlotBinding::Kind::InnerStride:
          value = strides_of(inner, a);
          break;
        case SlotBinding::Kind::ReducedStride:
          value = bound.reduced[static_cast<size_t>(slot.level)].strides[a];
          break;
        case SlotBinding::Kind::Offset:
          value = bound.offset[a];
          break;
        case SlotBinding::Kind::DynamicStride:
          value = bound.dynamic[bound.first_dynamic[a] + static_cast<size_t>(slot.level)];
          break;
      }
      ints.push_back(value);
    }
  };

  int64_t walks = 1;
  for (const Bound::Level* level : walked) walks *= level->extent;

  /// Pointers and integers of one position of the walked loops.
  const auto place = [&](const Variant& v, int64_t walk, SmallVector<void*, 8>& pointers,
                         Numbers& ints) {
    Numbers shift(access_count, 0);
    for (size_t l = walked.size(); l-- > 0;) {
      const int64_t position = walk % walked[l]->extent;
      walk /= walked[l]->extent;
      for (size_t a = 0; a < access_count; ++a) shift[a] += position * walked[l]->strides[a];
    }
    for (const int access : v.pointers) {
      const auto a = static_cast<size_t>(access);
      pointers.push_back(static_cast<char*>(bound.base[a]) +
                         shift[a] * static_cast<int64_t>(bound.element_size[a]));
    }
    for (size_t i = 0; i < v.slots.size(); ++i)
      if (v.slots[i].kind == SlotBinding::Kind::Offset)
        ints[i] += shift[static_cast<size_t>(v.slots[i].index)];
  };

  if (split) {
    const Variant& blocks = variant(layout);
    layout.kind = KernelKind::Tree;
    const Variant& tree = variant(layout);
    const int64_t block_count = (bound.reduced_count + ir::kReduceBlock - 1) / ir::kReduceBlock;
    const size_t bytes = static_cast<size_t>(block_count) * 8;
    Numbers block_ints;
    fill(blocks, block_ints);
    Numbers tree_ints;
    fill(tree, tree_ints);
    for (size_t i = 0; i < tree.slots.size(); ++i) {
      if (tree.slots[i].kind == SlotBinding::Kind::ReducedExtent) tree_ints[i] = block_count;
      if (tree.slots[i].kind == SlotBinding::Kind::OuterStride) tree_ints[i] = 0;
    }
    const std::unique_ptr<void, std::function<void(void*)>> partial(
        allocate(bytes), [bytes](void* p) { deallocate(p, bytes); });
    for (int64_t walk = 0; walk < walks; ++walk) {
      SmallVector<void*, 8> pointers;
      Numbers ints = block_ints;
      place(blocks, walk, pointers, ints);
      pointers.push_back(partial.get());
      const int64_t step = std::max<int64_t>(1, kChunkWork / (ir::kReduceBlock * k.cost / 4 + 1));
      parallel_for((block_count + step - 1) / step,
                   [&](int64_t chunk, int) {
                     blocks.function(pointers.data(), ints.data(), chunk * step,
                                     std::min((chunk + 1) * step, block_count), 0, 1);
                   },
                   bound.reduced_count * k.cost / 8);
      SmallVector<void*, 8> tree_pointers;
      ints = tree_ints;
      place(tree, walk, tree_pointers, ints);
      tree_pointers.push_back(partial.get());
      tree.function(tree_pointers.data(), ints.data(), 0, 1, 0, 1);
    }
    return;
  }

  const Variant& v = variant(layout);
  Numbers ints;
  fill(v, ints);
  const int64_t outer_extent = outer == nullptr ? 1 : outer->extent;
  const int64_t inner_extent = inner == nullptr ? 1 : inner->extent;
  const int64_t row_work = inner_extent * std::max<int64_t>(bound.reduced_count, 1) * k.cost / 4;
  // Chunks depend on the shape alone: pieces of rows if a row is long, else some rows together.
  int64_t inner_step = inner_extent;
  int64_t outer_step = 1;
  if (row_work > kChunkWork && inner != nullptr) {
    const int64_t pieces = (row_work + kChunkWork - 1) / kChunkWork;
    inner_step =
        ((inner_extent + pieces - 1) / pieces + kInnerPiece - 1) / kInnerPiece * kInnerPiece;
  } else if (row_work < kChunkWork) {
    outer_step = kChunkWork / std::max<int64_t>(row_work, 1);
  }
  const int64_t inner_chunks = (inner_extent + inner_step - 1) / inner_step;
  const int64_t outer_chunks = (outer_extent + outer_step - 1) / outer_step;
  const int64_t per_walk = inner_chunks * outer_chunks;
  // Where an operand is contiguous along the rows and not along the vectors, as in a transposed
  // copy, small tiles let every cache line that is fetched serve several rows.
  bool transposed = false;
  for (size_t a = 0; a < access_count; ++a)
    transposed |= layout.inner[a] == StrideClass::Other && strides_of(outer, a) == 1;
  const auto run_chunk = [&](int64_t chunk, void* const* pointers, const int64_t* slots) {
    const int64_t first_row = chunk / inner_chunks * outer_step;
    const int64_t first = chunk % inner_chunks * inner_step;
    const int64_t rows_end = std::min(first_row + outer_step, outer_extent);
    const int64_t end = std::min(first + inner_step, inner_extent);
    if (!transposed) {
      v.function(pointers, slots, first_row, rows_end, first, end);
      return;
    }
    for (int64_t o = first_row; o < rows_end; o += kTile)
      for (int64_t i = first; i < end; i += kTile)
        v.function(pointers, slots, o, std::min(o + kTile, rows_end), i, std::min(i + kTile, end));
  };
  if (walks * per_walk == 1) {
    SmallVector<void*, 8> pointers;
    for (const int access : v.pointers) pointers.push_back(bound.base[static_cast<size_t>(access)]);
    run_chunk(0, pointers.data(), ints.data());
    if (direct == nullptr || transposed) return;
    direct->function = v.function;
    direct->slots = ints;
    direct->rows = outer_extent;
    direct->columns = inner_extent;
    for (const int access : v.pointers) {
      const auto a = static_cast<size_t>(access);
      direct->pointers.push_back(
          {k.accesses[a].buffer, bound.offset[a] * static_cast<int64_t>(bound.element_size[a])});
    }
    for (size_t i = 0; i < v.slots.size(); ++i) {
      if (v.slots[i].kind != SlotBinding::Kind::Source) continue;
      const int number = k.slots[static_cast<size_t>(v.slots[i].index)].number;
      if (number >= 0) direct->numbers.push_back({i, number});
    }
    return;
  }
  // Short walks run several at a time.
  const int64_t walk_work = std::max<int64_t>(row_work * outer_extent, 1);
  const int64_t walks_together =
      per_walk > 1 ? 1 : std::clamp<int64_t>(kChunkWork / walk_work, 1, walks);
  const int64_t walk_groups = (walks + walks_together - 1) / walks_together;
  parallel_for(
      walk_groups * per_walk,
      [&](int64_t task, int) {
        const int64_t first = task / per_walk * walks_together;
        const int64_t last = std::min(first + walks_together, walks);
        for (int64_t walk = first; walk < last; ++walk) {
          SmallVector<void*, 8> pointers;
          Numbers slots = ints;
          place(v, walk, pointers, slots);
          run_chunk(task % per_walk, pointers.data(), slots.data());
        }
      },
      walks * walk_work / 4);
}

}  // namespace flambeau
