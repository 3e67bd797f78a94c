#include "compile/replay.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "autograd/node.h"
#include "base/error.h"
#include "compile/check.h"
#include "compile/recorder.h"
#include "compile/report.h"
#include "eager/host_call.h"
#include "runtime/allocator.h"
#include "tensor/generator.h"
#include "tensor/overlap.h"

namespace flambeau::compiler {
namespace {

/// Where gradients of results would go, had the tape been kept.
class ReplayedCall final : public Node {
 public:
  std::string name() const override { return "ReplayedCallBackward"; }
  TensorList apply(const TensorList& /*gradients*/) override {
    throw RuntimeError(
        "backward: a call compiled with replay=True keeps no tape; call backward() inside the "
        "function, or compile without replay");
  }
};

/// Gradients of the sources are looked for behind it, too.
void add_history(const Tensor& tensor, std::span<const Tensor> sources) {
  const auto node = std::make_shared<ReplayedCall>();
  for (const Tensor& source : sources)
    if (requires_grad(source)) node->edges.push_back(gradient_edge(source));
  set_history(tensor, node, node->add_output(tensor.info()));
}

int32_t source_of(const TensorList& sources, const Storage* storage) {
  for (size_t i = 0; i < sources.size(); ++i)
    if (sources[i]->storage.get() == storage) return static_cast<int32_t>(i);
  return -1;
}

/// The keys between the default generator's state before the call and that now; nullopt if it is
/// not there by drawing alone. A state that is set and taken back, as checkpoints do it, is none.
std::optional<std::vector<int64_t>> keys_drawn(const Capture& capture) {
  const std::vector<std::byte> now = default_generator().get_state();
  Generator generator;
  generator.set_state(capture.generator_state);
  std::vector<int64_t> keys;
  while (generator.get_state() != now) {
    if (keys.size() == capture.draws.size()) return std::nullopt;
    keys.push_back(static_cast<int64_t>(next_philox_key(generator)));
  }
  return keys;
}

/// Of memory that is as it should be, though runs are to come.
Ref<Storage> copy_of(const Storage& storage) {
  auto copy = make_ref<Storage>(storage.bytes());
  std::memcpy(copy->data(), storage.memory(), storage.bytes());
  return copy;
}

/// Where the tensor begins in its storage.
int64_t first_byte(const Tensor& tensor) {
  return tensor->offset * static_cast<int64_t>(size_of(tensor.dtype()));
}

/// A tensor without memory that nobody reads.
Tensor unread(const TensorInfo& info) {
  const MemoryDeferral at_first_use(true);
  return Tensor(make_ref<TensorImpl>(make_ref<Storage>(size_t{1}), info, 0));
}

}  // namespace

bool is_drawn(const Capture& capture, const Scalar& number) {
  return std::any_of(capture.draws.begin(), capture.draws.end(),
                     [&](const Draw& draw) { return Scalar(draw.key) == number; });
}

bool Replay::fits(std::span<const Tensor> sources) const {
  for (const Shared& pair : shared_) {
    const auto i = static_cast<size_t>(pair.source);
    const auto first = static_cast<size_t>(pair.first);
    if (!(sources[i]->storage == sources[first]->storage) ||
        sources[i]->offset - offsets_[i] != sources[first]->offset - offsets_[first] ||
        sources[i].is_same(sources[first]) != pair.is_same)
      return false;
  }
  for (const Reach& reach : reaches_) {
    const auto i = static_cast<size_t>(reach.source);
    const int64_t begin = first_byte(sources[i]);
    const size_t bytes = sources[i]->storage->bytes();
    if (begin + reach.low < 0 || begin + reach.high > static_cast<int64_t>(bytes) ||
        (reach.is_fixed && sources[i]->offset != offsets_[i]) ||
        (reach.is_looked_at && bytes != reach.bytes))
      return false;
  }
  return are_apart(sources) && values_fit(sources);
}

bool Replay::are_apart(std::span<const Tensor> sources) const {
  // Those of different slots are apart, and no memory that the recording holds.
  const std::lock_guard lock(mutex_);
  const auto storage_of = [&](size_t number) -> const Storage* {
    const Place& place = places_[outside_[number]];
    return place.source < 0 ? place.constant.get()
                            : sources[static_cast<size_t>(place.source)]->storage.get();
  };
  const size_t count = outside_.size();
  bool known = true;
  for (size_t i = 0; i < count; ++i) {
    const Storage* const storage = storage_of(i);
    known = known && storage == seen_apart_[i];
    if (!recording_.slots[outside_[i]].written || !storage->is_exported()) continue;
    for (size_t other = 0; other < count; ++other)
      if (other != i && share_memory(*storage, *storage_of(other))) return false;
  }
  if (known) return true;
  for (size_t i = 0; i < count; ++i) {
    const Storage* const storage = storage_of(i);
    if (storage == seen_apart_[i]) continue;
    for (size_t other = 0; other < count; ++other)
      if (other != i && storage_of(other) == storage) return false;
  }
  for (size_t i = 0; i < count; ++i) seen_apart_[i] = storage_of(i);
  return true;
}

/// Where a check fails, the call is not run again but made: it raises the error where it comes to
/// it, with all before that done.
bool Replay::values_fit(std::span<const Tensor> sources) const {
  for (const Check& check : checks_) {
    PreparedCall call;
    call.op = check.op;
    call.arguments = check.arguments;
    for (const CheckInput& input : check.inputs) {
      if (input.source < 0) {
        call.inputs.push_back(input.constant.defined() ? input.constant : unread(input.info));
        continue;
      }
      const Tensor& source = sources[static_cast<size_t>(input.source)];
      call.inputs.push_back(source.window(input.info, source->offset + input.offset));
    }
    size_t next = 0;
    for_each_info(call.arguments,
                  [&](const TensorInfo*& info) { info = call.inputs[next++].impl(); });
    HostCallOnTensors host(call);
    try {
      check.op->checks(host);
    } catch (const std::exception&) {
      return false;
    }
  }
  return true;
}

int64_t Replay::shift_of(const Place& place, std::span<const Tensor> sources) const {
  if (place.source < 0) return 0;
  const auto source = static_cast<size_t>(place.source);
  return sources[source]->offset - offsets_[source];
}

const Ref<Storage>& Replay::storage_of(const Place& place, std::span<const Tensor> sources,
                                       const Fresh& fresh) const {
  if (place.fresh >= 0) return fresh[static_cast<size_t>(place.fresh)];
  return place.source >= 0 ? sources[static_cast<size_t>(place.source)]->storage : place.constant;
}

std::shared_ptr<const Schedule> Replay::schedule() const {
  // Both look at each run by itself.
  if (reporting() || checking()) return nullptr;
  const std::lock_guard lock(mutex_);
  if (!scheduled_ && ready_.bound != nullptr) {
    std::vector<bool> given(places_.size());
    for (size_t slot = 0; slot < given.size(); ++slot)
      given[slot] = places_[slot].kind != Place::Kind::Made || places_[slot].fresh >= 0;
    std::vector<bool> changing(recording_.numbers.size());
    for (const DrawnNumber& drawn : drawn_) changing[drawn.number] = true;
    schedule_ =
        Schedule::make(recording_, *ready_.program, ready_.bound, {given, bytes_, changing});
    scheduled_ = true;
  }
  return schedule_;
}

bool Replay::run_schedule(const Schedule& schedule, std::span<const Tensor> sources,
                          const Fresh& fresh, std::span<const Scalar> numbers) const {
  SmallVector<char*, 64> memory;
  try {
    for (const Schedule::Given& given : schedule.given()) {
      const Place& place = places_[given.slot];
      const Storage& storage = *storage_of(place, sources, fresh);
      // What others are to read may be read before; what is written may not.
      const void* const data = given.written ? storage.data() : storage.readable_data();
      memory.push_back(static_cast<char*>(const_cast<void*>(data)) +
                       shift_of(place, sources) * static_cast<int64_t>(given.element_size));
    }
  } catch (const OutOfMemory&) {
    return false;
  }
  return schedule.run({memory.data(), memory.size()}, numbers);
}

std::vector<Ref<Storage>> Replay::storages_for(std::span<const Tensor> sources, const Fresh& fresh,
                                               const BoundProgram* bound) const {
  // What is not bound may need the memory between the runs of a region.
  const bool all = bound == nullptr || std::any_of(bound->runs.begin(), bound->runs.end(),
                                                   [](const auto& run) { return run == nullptr; });
  std::vector<Ref<Storage>> storages(places_.size());
  const MemoryDeferral at_first_use(true);
  for (size_t slot = 0; slot < storages.size(); ++slot) {
    const Place& place = places_[slot];
    if (place.kind == Place::Kind::Source) {
      const Tensor& source = sources[static_cast<size_t>(place.source)];
      // What others are to read may be read before; what is written may not.
      if (source->storage->pending() != nullptr)
        static_cast<void>(recording_.slots[slot].written ? source->storage->data()
                                                         : source->storage->readable_data());
      storages[slot] = source->storage;
    } else if (place.kind == Place::Kind::Constant) {
      storages[slot] = place.constant;
    } else if (place.fresh >= 0) {
      storages[slot] = fresh[static_cast<size_t>(place.fresh)];
    } else if (all || touched_[slot]) {
      storages[slot] = make_ref<Storage>(bytes_[slot]);
    }
  }
  return storages;
}

void Replay::run_program(std::span<const Tensor> sources, const Fresh& fresh,
                         std::span<const Scalar> numbers) const {
  ReadyProgram ready;
  {
    const std::lock_guard lock(mutex_);
    ready = ready_;
  }
  const BoundProgram* const bound = ready.bound.get();
  std::vector<Ref<Storage>> storages = storages_for(sources, fresh, bound);
  std::vector<int64_t> shifts;
  for (const Place& place : places_) shifts.push_back(shift_of(place, sources));
  execute(recording_, ready,
          {.storages = storages,
           .numbers = numbers,
           .shifts = shifts,
           .bytes = bytes_,
           .marked = false});
  if (ready.bound.get() == bound) return;
  const std::lock_guard lock(mutex_);
  ready_ = std::move(ready);
  scheduled_ = false;
}

TensorList Replay::run(std::span<const Tensor> sources) const try {
  TensorList results;
  run_now([&] {
    std::span<const Scalar> numbers = recording_.numbers;
    std::vector<Scalar> own;
    if (draws_ > 0) {
      SmallVector<int64_t, 16> keys;
      for (size_t i = 0; i < draws_; ++i) keys.push_back(static_cast<int64_t>(next_philox_key()));
      own = recording_.numbers;
      for (const DrawnNumber& drawn : drawn_) own[drawn.number] = Scalar(keys[drawn.draw]);
      numbers = own;
    }
    Fresh fresh;
    {
      const MemoryDeferral at_first_use(true);
      for (const Made& made : fresh_)
        fresh.push_back(made.contents ? copy_of(*made.contents) : make_ref<Storage>(made.bytes));
    }
    results.reserve(results_.size());
    for (const Result& result : results_) {
      if (result.same_as >= 0) {
        results.push_back(results[static_cast<size_t>(result.same_as)]);
        continue;
      }
      if (result.fresh >= 0)
        results.emplace_back(make_ref<TensorImpl>(fresh[static_cast<size_t>(result.fresh)],
                                                  result.info, result.offset));
      else if (result.is_source)
        results.push_back(sources[static_cast<size_t>(result.source)]);
      else if (result.source >= 0)
        results.push_back(sources[static_cast<size_t>(result.source)].window(
            result.info, sources[static_cast<size_t>(result.source)]->offset + result.offset));
      else
        results.push_back(result.constant);
      if (result.requires_grad) add_history(results.back(), sources);
      if (result.is_variable) results.back()->requires_grad = true;
      if (result.is_inference && !result.is_source) results.back()->is_inference = true;
    }
    if (recording_.empty()) return;
    if (const auto flat = schedule();
        flat == nullptr || !run_schedule(*flat, sources, fresh, numbers))
      run_program(sources, fresh, numbers);
    for (const int32_t source : written_)
      sources[static_cast<size_t>(source)].version_counter().value.fetch_add(
          1, std::memory_order_relaxed);
  });
  return results;
} catch (const RunFailed& failure) {
  raise(failure, recording_);
}

CapturedCall::CapturedCall(TensorList sources)
    : capture_{.sources = std::move(sources), .generator_state = default_generator().get_state()} {
  Recorder::of_thread().begin_capture(capture_);
}

CapturedCall::~CapturedCall() {
  if (ended_) return;
  try {
    Recorder::of_thread().end_capture([](Recording& recording) {
      recording.mark_running(Recorder::of_thread());
      execute(recording, OnFailure::Drop);
    });
  } catch (const std::exception&) {  // an error is on its way already
    static_cast<void>(0);
  }
}

Tensor CapturedCall::add_result(const Tensor& tensor) {
  Replay::Result result{.info = tensor.info(), .offset = tensor->offset};
  const auto known = std::find(given_.begin(), given_.end(), tensor.impl()) - given_.begin();
  given_.push_back(tensor.impl());
  if (static_cast<size_t>(known) < kept_.size()) {
    result.same_as = static_cast<int32_t>(known);
    results_.push_back(std::move(result));
    const Tensor same = kept_[static_cast<size_t>(known)];
    kept_.push_back(same);
    return same;
  }
  result.is_inference = tensor->is_inference;
  const auto same = std::find_if(capture_.sources.begin(), capture_.sources.end(),
                                 [&](const Tensor& source) { return source.is_same(tensor); });
  result.is_source = same != capture_.sources.end();
  result.requires_grad = !result.is_source && requires_grad(tensor) && !is_leaf(tensor);
  result.is_variable = !result.is_source && requires_grad(tensor) && is_leaf(tensor);
  const Tensor kept = result.is_source ? tensor : tensor.window(tensor.info(), tensor->offset);
  result.source = result.is_source ? static_cast<int32_t>(same - capture_.sources.begin())
                                   : source_of(capture_.sources, tensor->storage.get());
  if (result.source >= 0)
    result.offset -= capture_.sources[static_cast<size_t>(result.source)]->offset;
  else if (tensor->storage->pending() != &Recorder::of_thread())
    result.constant = kept;
  if (result.requires_grad) add_history(kept, capture_.sources);
  if (result.is_variable) kept->requires_grad = true;
  results_.push_back(std::move(result));
  kept_.push_back(kept);
  return kept;
}

void CapturedCall::check_refused() const {
  check(capture_.refused.empty(),
        [&] { return concat(capture_.refused, " (the function caught this error)"); });
}

std::vector<std::string> CapturedCall::held_by_others() {
  std::vector<std::string> texts;
  for (const Tensor& state : capture_.states)
    if (state->storage->owners() > 1 || state->storage->pending() == &Recorder::of_thread())
      texts.emplace_back("the state of a generator of random numbers");
  std::map<const Storage*, uint64_t> own;
  for (const Tensor& tensor : kept_) ++own[tensor->storage.get()];
  Recorder::of_thread().look_at_recording([&](const Recording& recording) {
    for (size_t slot = 0; slot < recording.slots.size(); ++slot) {
      const Storage* const storage = recording.storages[slot].get();
      if (!storage->is_deferred() || source_of(capture_.sources, storage) >= 0) continue;
      const auto found = own.find(storage);
      if (storage->owners() <= (found == own.end() ? 0 : found->second)) continue;
      std::string_view maker;
      for (const Entry& entry : recording.entries)
        recording.for_written(entry, [&](size_t s) {
          if (s == slot) maker = entry.label;
        });
      const Window& window =
          recording.windows[static_cast<size_t>(recording.slots[slot].windows[0])];
      texts.push_back(concat("what ", maker, " computed, ", info(window.info.dtype).name,
                             list_text(window.info.sizes)));
    }
  });
  return texts;
}

/// True of memory that the call made: nobody but it and what is kept of it hold it.
bool CapturedCall::is_own(const Storage& storage, const Replay& kept) const {
  std::set<const TensorImpl*> tensors;
  const auto look = [&](const Tensor& tensor) {
    if (tensor.defined() && tensor->storage.get() == &storage) tensors.insert(tensor.impl());
  };
  for (const Tensor& tensor : kept_) look(tensor);
  for (const Replay::Check& check : kept.checks_)
    for (const Replay::CheckInput& input : check.inputs) look(input.constant);
  const auto places =
      std::count_if(kept.places_.begin(), kept.places_.end(),
                    [&](const Replay::Place& place) { return place.constant.get() == &storage; });
  return storage.owners() == tensors.size() + static_cast<uint64_t>(places);
}

/// The number of what each run makes in place of `constant`: the caller may write to what it was
/// given, and the call to what it made. -1 if others hold it, too: it stays the same one.
int32_t CapturedCall::fresh_for(const Ref<Storage>& constant, Replay& kept, std::string& why) {
  const auto [it, is_new] = own_.try_emplace(constant.get(), -1);
  if (!is_new || constant->is_meta() || !is_own(*constant, kept)) return it->second;
  if (constant->is_exported() && why.empty())
    why = "it returns or writes memory of another library, which may be other memory in each call";
  it->second = static_cast<int32_t>(kept.fresh_.size());
  kept.fresh_.push_back({constant->bytes(), copy_of(*constant)});
  return it->second;
}

/// What the call found neither among its sources nor computed, and writes.
void CapturedCall::place_constants(const Recording& recording, Replay& kept, std::string& why) {
  for (size_t slot = 0; slot < recording.slots.size(); ++slot) {
    Replay::Place& place = kept.places_[slot];
    if (place.kind != Replay::Place::Kind::Constant || !recording.slots[slot].written) continue;
    place.fresh = fresh_for(place.constant, kept, why);
    if (place.fresh < 0 && why.empty())
      why =
          "it writes to a tensor that is neither reachable from its arguments and what it uses, "
          "nor made by it";
  }
}

void CapturedCall::place_results(Replay& kept, std::string& why) {
  for (size_t i = 0; i < results_.size(); ++i) {
    Replay::Result& result = results_[i];
    if (result.source >= 0 || result.same_as >= 0) continue;
    const Ref<Storage>& storage = kept_[i]->storage;
    if (result.constant.defined()) {
      result.fresh = fresh_for(storage, kept, why);
      continue;
    }
    Replay::Place& place = kept.places_[static_cast<size_t>(storage->pending_slot())];
    if (place.kind == Replay::Place::Kind::Constant) {
      result.constant = kept_[i];
      if (place.fresh < 0) place.fresh = fresh_for(storage, kept, why);
    } else if (place.fresh < 0) {
      place.fresh = static_cast<int32_t>(kept.fresh_.size());
      kept.fresh_.emplace_back(Replay::Made{storage->bytes(), {}});
    }
    result.fresh = place.fresh;
  }
  for (Replay::Result& result : results_)
    if (result.fresh >= 0) result.constant = {};
  for (Replay::Place& place : kept.places_)
    if (place.kind == Replay::Place::Kind::Constant && place.fresh >= 0)
      place = {.kind = Replay::Place::Kind::Made, .fresh = place.fresh};
  for (Replay::Check& check : kept.checks_)
    for (Replay::CheckInput& input : check.inputs) {
      Tensor& tensor = input.constant;
      if (!tensor.defined()) continue;
      const auto it = own_.find(tensor->storage.get());
      if (it == own_.end() || it->second < 0) continue;
      tensor = Tensor(make_ref<TensorImpl>(kept.fresh_[static_cast<size_t>(it->second)].contents,
                                           tensor.info(), tensor->offset));
    }
}

/// Where the memory of each slot comes from.
void CapturedCall::place_slots(const Recording& recording, Replay& kept) const {
  kept.places_.resize(recording.slots.size());
  for (size_t slot = 0; slot < recording.slots.size(); ++slot) {
    Replay::Place& place = kept.places_[slot];
    const Ref<Storage>& storage = recording.storages[slot];
    place.source = source_of(capture_.sources, storage.get());
    kept.bytes_.push_back(storage->bytes());
    if (place.source >= 0) {
      place.kind = Replay::Place::Kind::Source;
    } else if (storage->is_deferred() || storage->bytes() == 0) {  // what is empty has no memory
      place.kind = Replay::Place::Kind::Made;
    } else {
      place.kind = Replay::Place::Kind::Constant;
      place.constant = storage;
    }
  }
}

/// What fits() asks of the sources, and which of them are written.
void CapturedCall::note_sources(const Recording& recording, Replay& kept) const {
  const TensorList& sources = capture_.sources;
  std::map<int32_t, std::vector<int32_t>> by_slot;
  for (size_t i = 0; i < sources.size(); ++i) {
    kept.offsets_.push_back(sources[i]->offset);
    if (sources[i]->storage->pending() != &Recorder::of_thread()) continue;
    const int32_t slot = sources[i]->storage->pending_slot();
    by_slot[slot].push_back(static_cast<int32_t>(i));
    if (recording.slots[static_cast<size_t>(slot)].written)
      kept.written_.push_back(static_cast<int32_t>(i));
  }
  for (const auto& [slot, group] : by_slot)
    for (const int32_t source : std::span(group).subspan(1)) {
      const Tensor& first = sources[static_cast<size_t>(group[0])];
      kept.shared_.push_back(
          {source, group[0], sources[static_cast<size_t>(source)].is_same(first)});
    }
}

/// What the call touches of the storages of its sources.
void CapturedCall::note_reaches(const Recording& recording, Replay& kept) const {
  const TensorList& sources = capture_.sources;
  std::map<int32_t, Replay::Reach> reaches;  // by the first source of a storage
  const auto touch = [&](int32_t source, const TensorInfo& info, int64_t offset) {
    if (source < 0) return;
    const Tensor& first = sources[static_cast<size_t>(source)];
    const auto size = static_cast<int64_t>(size_of(info.dtype));
    Replay::Reach& reach = reaches[source];
    reach.source = source;
    reach.is_looked_at = capture_.offsets_are_fixed;
    reach.bytes = first->storage->bytes();
    // Offsets count in elements of the source.
    reach.is_fixed =
        reach.is_fixed || reach.is_looked_at || size_of(info.dtype) != size_of(first.dtype());
    if (info.numel() == 0) return;
    int64_t last = offset;
    for (size_t i = 0; i < info.sizes.size(); ++i) last += (info.sizes[i] - 1) * info.strides[i];
    reach.low = std::min(reach.low, offset * size - first_byte(first));
    reach.high = std::max(reach.high, (last + 1) * size - first_byte(first));
  };
  for (const Window& window : recording.windows)
    touch(kept.places_[static_cast<size_t>(window.slot)].source, window.info, window.offset);
  for (const Tensor& source : sources)
    touch(source_of(sources, source->storage.get()), source.info(), source->offset);
  for (const Replay::Result& result : results_)
    if (result.source >= 0)
      touch(result.source, result.info,
            sources[static_cast<size_t>(result.source)]->offset + result.offset);
  for (const Replay::Check& check : kept.checks_)
    for (const Replay::CheckInput& input : check.inputs)
      if (input.source >= 0)
        touch(input.source, input.info,
              sources[static_cast<size_t>(input.source)]->offset + input.offset);
  for (const auto& [source, reach] : reaches) kept.reaches_.push_back(reach);
}

/// The checks of values, to be made again by each call.
void CapturedCall::place_checks(Replay& kept) {
  const TensorList& sources = capture_.sources;
  for (ValueCheck& check : capture_.checks) {
    Replay::Check& again =
        kept.checks_.emplace_back(Replay::Check{check.op, std::move(check.arguments), {}});
    for (ValueCheck::Input& input : check.inputs) {
      Replay::CheckInput& place = again.inputs.emplace_back();
      place.info = input.info;
      if (!input.tensor.defined()) continue;
      place.source = source_of(sources, input.tensor->storage.get());
      if (place.source < 0)
        place.constant = std::move(input.tensor);
      else
        place.offset = input.tensor->offset - sources[static_cast<size_t>(place.source)]->offset;
    }
  }
}

/// The numbers that each call draws anew.
void CapturedCall::place_draws(const Recording& recording, Replay& kept, std::string& why) const {
  const std::optional<std::vector<int64_t>> keys = keys_drawn(capture_);
  bool draws_alone = keys.has_value();
  for (size_t n = 0; draws_alone && n < recording.numbers.size(); ++n) {
    if (!is_drawn(capture_, recording.numbers[n])) continue;
    const auto key = std::find_if(keys->begin(), keys->end(),
                                  [&](int64_t k) { return Scalar(k) == recording.numbers[n]; });
    draws_alone = key != keys->end();
    kept.drawn_.push_back({n, static_cast<size_t>(key - keys->begin())});
  }
  for (const Draw& draw : capture_.draws)
    if (draw.generator != &default_generator() && why.empty())
      why = "it draws from a generator other than the default one";
  if (!draws_alone && why.empty()) why = "it sets the state of the generator of random numbers";
  kept.draws_ = keys ? keys->size() : 0;
}

/// Runs what was recorded, which `kept` then has.
void CapturedCall::run_first(Recording& recording, Replay& kept) {
  kept.touched_.assign(recording.slots.size(), false);
  if (recording.empty()) {
    for (const Ref<Storage>& storage : recording.storages) storage->set_pending(nullptr, 0);
  } else {
    recording.mark_running(Recorder::of_thread());
    execute(recording, kept.ready_,
            {.storages = recording.storages, .numbers = recording.numbers, .will_repeat = true});
    for (const Region& region : kept.ready_.program->regions)
      for (const auto* windows : {&region.parameters, &region.outputs})
        for (const int32_t window : *windows)
          if (window >= 0) kept.touched_[recording.slot_of(window)] = true;
  }
  kept.recording_ = std::move(recording);
  kept.recording_.storages.clear();
}

TensorList CapturedCall::finish(std::shared_ptr<const Replay>& replay, std::string& why) {
  auto kept = std::make_shared<Replay>();
  ended_ = true;
  Recorder::of_thread().end_capture([&](Recording& recording) {
    why = capture_.broken;
    if (!why.empty()) return run_first(recording, *kept);  // it is not all of the call
    place_slots(recording, *kept);
    note_sources(recording, *kept);
    place_checks(*kept);
    note_reaches(recording, *kept);
    place_constants(recording, *kept, why);
    place_results(*kept, why);
    for (size_t slot = 0; slot < kept->places_.size(); ++slot)
      if (kept->places_[slot].kind != Replay::Place::Kind::Made) kept->outside_.push_back(slot);
    kept->seen_apart_.resize(kept->outside_.size());
    place_draws(recording, *kept, why);
    run_first(recording, *kept);
  });
  kept->results_ = std::move(results_);
  if (why.empty()) replay = std::move(kept);
  return std::move(kept_);
}

}  // namespace flambeau::compiler
