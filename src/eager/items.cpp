#include "eager/items.h"

#include <algorithm>

#include "base/error.h"
#include "base/per_thread.h"
#include "base/prefetch.h"
#include "base/recent_cache.h"
#include "eager/bound_run.h"
#include "eager/call_key.h"
#include "eager/host_call.h"
#include "eager/prepare.h"
#include "eager/recipe.h"
#include "runtime/allocator.h"

namespace flambeau {
namespace {

using ops::Argument;
using ops::Definition;

/// What calls on lists of the same geometry have in common.
struct ItemsPlan {
  std::vector<std::shared_ptr<const CallPlan>> items;
  /// The addresses of all tensors of a call whose items were found apart. Only the thread that made
  /// the plan uses them.
  mutable std::vector<void*> apart;
};

/// The memory of a tensor, and whether the call writes it.
struct Range {
  const char* begin;
  const char* end;
  bool written;
};

void* memory_of(const TensorImpl& tensor, bool written) {
  return written ? tensor.data() : const_cast<void*>(tensor.readable_data());
}

Range range_of(const TensorImpl& tensor, bool written) {
  int64_t last = 0;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    if (tensor.sizes[i] == 0) return {nullptr, nullptr, written};
    last += (tensor.sizes[i] - 1) * tensor.strides[i];
  }
  const auto* const begin = static_cast<const char*>(tensor.readable_data());
  return {begin, begin + (last + 1) * static_cast<int64_t>(size_of(tensor.dtype)), written};
}

/// True if no range meets one that is written.
bool are_apart(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  const char* end = nullptr;
  const char* written_end = nullptr;
  for (const Range& range : ranges) {
    if (range.begin == range.end) continue;
    if (range.begin < written_end || (range.written && range.begin < end)) return false;
    end = std::max(end, range.end);
    if (range.written) written_end = std::max(written_end, range.end);
  }
  return true;
}

class ItemsCall {
 public:
  ItemsCall(const Definition& op, std::span<const Argument> arguments)
      : op_(op),
        arguments_(arguments),
        writes_(op.returns == ops::Returns::Self),
        plan_(find_plan()),
        numbers_(numbers_of(op, *plan_->items[0], arguments)) {}

  Results run() {
    for (size_t i = 0; i < plan_->items.size(); ++i) {
      if (i + kPrefetchAhead < plan_->items.size())
        for_each_tensor(i + kPrefetchAhead,
                        [](const TensorImpl& tensor, bool) { prefetch(tensor.storage.get()); });
      for_each_tensor(i, [&](const TensorImpl& tensor, bool written) {
        if (written) check_writable(op_, tensor);
      });
    }
    Results results(writes_ ? 0 : plan_->items[0]->results.size() * plan_->items.size());
    if (!run_together(results))
      for (size_t i = 0; i < plan_->items.size(); ++i)
        writes_ ? write_alone(i) : run_alone(i, results);
    return results;
  }

 private:
  std::shared_ptr<const ItemsPlan> find_plan() const {
    const CallKey key = call_key(op_, arguments_, CallForm::Function);
    constexpr size_t kRecentLists = 64;
    static constinit thread_local PerThread<RecentCache<ItemsPlan, kRecentLists>> recent;
    if (const auto& known = recent->find({key.data(), key.size()}).value) return known;
    const auto plan = std::make_shared<ItemsPlan>();
    const size_t count = ops::item_count(op_, arguments_);
    for (size_t i = 0; i < count; ++i) {
      const ops::Arguments item = ops::item_arguments(op_, arguments_, i);
      plan->items.push_back(prepare(op_, {item.data(), item.size()}).plan);
    }
    return recent->find({key.data(), key.size()}).value = plan;
  }

  /// Calls fn(tensor, written) for each tensor of an item, in the order of the op's parameters.
  template <class Fn>
  void for_each_tensor(size_t item, const Fn& fn) const {
    const auto visit = [&](size_t parameter, const TensorInfo* info) {
      if (info == nullptr) return;
      fn(static_cast<const TensorImpl&>(*info),
         writes_ && op_.parsed.parameters[parameter].written);
    };
    for (size_t p = 0; p < arguments_.size(); ++p) {
      if (const auto* one = std::get_if<const TensorInfo*>(&arguments_[p]))
        visit(p, *one);
      else if (const auto* list = std::get_if<ops::TensorRefs>(&arguments_[p]))
        if (!list->empty()) visit(p, (*list)[item]);
    }
  }

  /// Result `number` of an item.
  Tensor& result(Results& results, size_t item, size_t number) const {
    return results[number * plan_->items.size() + item];
  }

  void run_alone(size_t item, Results& results) const {
    PreparedCall prepared;
    prepared.op = &op_;
    prepared.plan = plan_->items[item];
    prepared.numbers = numbers_;
    for_each_tensor(item, [&](const TensorImpl& tensor, bool) {
      prepared.inputs.push_back(tensor_of(&tensor));
    });
    const Results one = execute(prepared);
    for (size_t r = 0; r < one.size(); ++r) result(results, item, r) = one[r];
  }

  /// The same of an op that writes its arguments.
  void write_alone(size_t item) const {
    SmallVector<Tensor, 8> inputs;
    SmallVector<Tensor, 4> written;
    for_each_tensor(item, [&](const TensorImpl& tensor, bool is_written) {
      inputs.push_back(tensor_of(&tensor));
      if (is_written) written.push_back(inputs.back());
    });
    const CallPlan& plan = *plan_->items[item];
    run_into(plan.run, *static_cast<const CallRecipe&>(*plan.recipe).forward(),
             {inputs.data(), inputs.size()}, {numbers_.data(), numbers_.size()},
             {plan.integers.data(), plan.integers.size()}, {written.data(), written.size()});
    count_writes(item);
  }
  void count_writes(size_t item) const {
    for_each_tensor(item, [&](const TensorImpl& tensor, bool written) {
      if (written) tensor.version_counter().value.fetch_add(1, std::memory_order_relaxed);
    });
  }

  /// Runs all items in one region; false, and nothing is done, if that cannot be.
  bool run_together(Results& results) const {
    if (run_sink() != nullptr) return false;
    for (const auto& item : plan_->items) {
      const BoundRun* run = item->run.get();
      if (run == nullptr || !run->possible || !run->overlaps.empty() || !run->made.empty() ||
          run->launches.size() > 1 || !run->contractions.empty())
        return false;
    }
    if (!find_apart()) return false;
    LaunchGroup group;
    for (size_t i = 0; i < plan_->items.size(); ++i) {
      SmallVector<void*, 12> buffers;
      SmallVector<void*, 4> written;
      for_each_tensor(i, [&](const TensorImpl& tensor, bool is_written) {
        buffers.push_back(memory_of(tensor, is_written));
        if (is_written) written.push_back(buffers.back());
      });
      buffers.append(written.begin(), written.end());
      const CallPlan& item = *plan_->items[i];
      if (!writes_)
        for (size_t r = 0; r < item.results.size(); ++r) {
          const TensorInfo& info = item.results[r];
          Tensor& made = result(results, i, r);
          made = Tensor::empty_strided(info.sizes, info.strides, info.dtype);
          buffers.push_back(made.data_ptr());
        }
      for (const BoundLaunch& launch : item.run->launches)
        group.add(launch, buffers.data(), {numbers_.data(), numbers_.size()});
    }
    group.run();
    for (size_t i = 0; writes_ && i < plan_->items.size(); ++i) count_writes(i);
    return true;
  }

  /// True if what is written is no other tensor's memory.
  bool find_apart() const {
    if (!writes_) return true;
    SmallVector<void*, 128> memory;
    for (size_t i = 0; i < plan_->items.size(); ++i)
      for_each_tensor(i, [&](const TensorImpl& tensor, bool written) {
        memory.push_back(memory_of(tensor, written));
      });
    std::vector<void*>& known = plan_->apart;
    if (std::equal(memory.begin(), memory.end(), known.begin(), known.end())) return true;
    std::vector<Range> ranges;
    for (size_t i = 0; i < plan_->items.size(); ++i)
      for_each_tensor(i, [&](const TensorImpl& tensor, bool written) {
        ranges.push_back(range_of(tensor, written));
      });
    if (!are_apart(std::move(ranges))) return false;
    known.assign(memory.begin(), memory.end());
    return true;
  }

  const Definition& op_;
  std::span<const Argument> arguments_;
  bool writes_;
  std::shared_ptr<const ItemsPlan> plan_;
  SmallVector<Scalar, 2> numbers_;
};

}  // namespace

Results call_items(const Definition& op, std::span<const Argument> arguments) try {
  require(may_repeat(op, CallForm::Function), "call_items: an op on items with code of its own");
  if (ops::item_count(op, arguments) == 0) return {};
  return ItemsCall(op, arguments).run();
} catch (const OutOfMemory& error) {
  throw OutOfMemory(op.parsed.name, error.reason());
}

}  // namespace flambeau
