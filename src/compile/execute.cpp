#include "compile/execute.h"

#include <algorithm>
#include <chrono>
#include <unordered_map>

#include "compile/block_rows.h"
#include "compile/check.h"
#include "compile/program.h"
#include "compile/report.h"
#include "eager/bound_run.h"
#include "eager/host_program.h"
#include "eager/step_times.h"
#include "runtime/allocator.h"
#include "runtime/compiler.h"
#include "runtime/launch.h"

namespace flambeau::compiler {
namespace {

using RunNumbers = SmallVector<Scalar, 8>;

RunNumbers numbers_of(const Region& region, std::span<const Scalar> all) {
  RunNumbers numbers;
  for (const int32_t number : region.numbers) numbers.push_back(all[static_cast<size_t>(number)]);
  return numbers;
}

class Execution {
 public:
  Execution(const Recording& recording, ReadyProgram& ready, const Frame& frame, bool fail_outputs,
            size_t done)
      : recording_(recording),
        ready_(ready),
        first_(done),
        frame_(frame),
        fail_outputs_(fail_outputs) {}

  void run() {
    const SizesVary of_a_program;
    try {
      prepare();
      size_t begin = first_;
      if (begin > 0 && begin == program_->regions.size()) return let_go_of_all();
      for (const int32_t slot : program_->unused) let_go(slot);
      for (size_t i = 0; i < first_; ++i) has_run(i);
      for (const size_t end : program_->group_ends) {
        if (end <= begin) continue;
        if (report_)
          for (size_t i = begin; i < end; ++i) run_reported(i);
        else if (end - begin > 1 && bound_ != nullptr)
          run_group(begin, end);
        else
          for (size_t i = begin; i < end; ++i) run(i);
        for (size_t i = begin; check_ != nullptr && i < end; ++i) check_->region_has_run(i);
        for (size_t i = begin; i < end; ++i) has_run(i);
        begin = end;
      }
    } catch (const OutOfMemory&) {
      return run_rest();
    } catch (...) {
      std::vector<int32_t> failed;
      if (program_ != nullptr) {
        const auto first = std::find(done_.begin(), done_.end(), false) - done_.begin();
        failed = program_->regions[static_cast<size_t>(first)].entries;
      }
      stop(entries_left(), std::move(failed));
    }
    if (fresh_ != nullptr) {
      program_->keep(ready_.geometry, fresh_);
      ready_.bound = std::move(fresh_);
    }
    if (report_) add_report(std::move(*report_));
    if (check_ != nullptr) end_check();
  }

 private:
  const Window& window(int32_t number) const {
    return recording_.windows[static_cast<size_t>(number)];
  }
  Ref<Storage>& storage_of(const Window& window) const {
    return frame_.storages[static_cast<size_t>(window.slot)];
  }
  int64_t offset_of(const Window& window) const { return frame_.offset_of(window); }

  void prepare() {
    for (const Ref<Storage>& storage : frame_.storages)
      had_memory_.push_back(storage && !storage->is_deferred());
    for (const Frame::Taken& taken : frame_.taken)
      if (taken.region >= first_) had_memory_[static_cast<size_t>(taken.slot)] = false;
    if (ready_.program == nullptr) {
      // Who looks at a program, or keeps it, wants that which comes to stay.
      ready_.program = program_of(recording_, frame_.will_repeat || reporting() || checking());
      ready_.geometry = geometry_of(recording_);
      ready_.bound = ready_.program->find_bound(ready_.geometry);
    }
    program_ = ready_.program.get();
    bound_ = ready_.bound.get();
    done_.resize(program_->regions.size());
    int64_t merged = 0;
    for (size_t i = 0; i < first_; ++i) {
      done_[i] = true;
      if (program_->regions[i].facts) ++merged;
    }
    count_regions(true, merged);
    // Other memory than the program's own may belong to somebody else, too.
    for (const Program::Donation& donation : program_->donations) {
      const Ref<Storage>& from = storage_of(window(donation.from));
      const Ref<Storage>& to = storage_of(window(donation.to));
      makes_.push_back(from && to && from->is_deferred() && to->is_deferred());
    }
    if (reporting() && first_ == 0) begin_report();
    if (checking() && first_ == 0 && is_exact())
      check_ = std::make_unique<Check>(recording_, *program_, frame_);
    if (bound_ != nullptr) return;
    fresh_ = std::make_shared<BoundProgram>();
    fresh_->runs.resize(program_->regions.size());
  }

  /// True if the program gives the bits of its runs one by one.
  bool is_exact() const {
    return std::all_of(
        recording_.entries.begin(), recording_.entries.end(),
        [](const Entry& entry) { return entry.options.numerics == Numerics::Exact; });
  }

  /// True if a run of the region asks not to be part of one program.
  bool is_one_by_one(const Region& region) const {
    return std::any_of(region.entries.begin(), region.entries.end(), [&](int32_t entry) {
      return recording_.entries[static_cast<size_t>(entry)].options.one_by_one;
    });
  }

  /// Per entry: it has to happen and has not. Without a program nothing has.
  std::vector<bool> entries_left() const {
    std::vector<bool> left(recording_.entries.size(), program_ == nullptr);
    // One that is computed again is of several regions.
    if (program_ != nullptr)
      for (size_t i = 0; i < program_->regions.size(); ++i)
        for (size_t k = 0; k < program_->regions[i].entries.size(); ++k)
          if (!done_[i] && (i != halfway_ || k >= happened_))
            left[static_cast<size_t>(program_->regions[i].entries[k])] = true;
    return left;
  }

  /// After a region had no memory, what is left happens as it was recorded, one by one: so what was
  /// recorded before the run that fails happens, and nothing after it.
  void run_rest() {
    std::vector<bool> left = entries_left();
    for (size_t slot = 0; slot < frame_.bytes.size(); ++slot)
      if (!frame_.storages[slot]) {
        const MemoryDeferral at_first_use(true);
        frame_.storages[slot] = make_ref<Storage>(frame_.bytes[slot]);
      }
    std::vector<size_t> last_use(recording_.slots.size(), 0);
    for (size_t i = 0; i < left.size(); ++i)
      if (left[i])
        recording_.for_touched(recording_.entries[i], [&](size_t slot) { last_use[slot] = i; });
    for (size_t i = 0; i < left.size(); ++i) {
      if (!left[i]) continue;
      try {
        std::shared_ptr<const BoundRun> bound;
        run_alone(region_of(recording_, static_cast<int32_t>(i)), bound);
      } catch (...) {
        stop(left, {static_cast<int32_t>(i)});
      }
      left[i] = false;
      recording_.for_touched(recording_.entries[i], [&](size_t slot) {
        if (last_use[slot] == i) let_go(static_cast<int32_t>(slot));
      });
    }
    let_go_of_all();
  }

  /// After a failure of one of the entries `failed`; those of `left` do not happen.
  [[noreturn]] void stop(const std::vector<bool>& left, std::vector<int32_t> failed) {
    RunFailed failure;
    failure.cause = std::current_exception();
    failure.entries = std::move(failed);
    failure.left = left;
    if (fail_outputs_) fail_outputs(left, failure);
    if (frame_.marked)
      for (const Ref<Storage>& storage : frame_.storages)
        if (storage && storage->pending_slot() == Recording::kRunning)
          storage->set_pending(nullptr, 0);
    throw RunFailed(std::move(failure));
  }

  void end_check() {
    check_->end();
    std::optional<Difference>& found = check_->difference();
    if (!found) return;
    if (collecting_differences()) return add_difference(std::move(*found));
    RunFailed failure;
    failure.difference = std::make_shared<const Difference>(std::move(*found));
    throw RunFailed(std::move(failure));
  }

  void begin_report() {
    report_.emplace();
    report_->recording = text_of(recording_);
    report_->ended = recording_.ended;
    report_->runs = static_cast<int32_t>(recording_.entries.size());
    const std::vector<bool>& needed = program_->flow.needed;
    report_->unneeded = static_cast<int32_t>(std::count(needed.begin(), needed.end(), false));
    report_->storages = storages_of(recording_);
    held_.resize(recording_.slots.size());
    for (size_t i = 0; i < held_.size(); ++i) {
      const Ref<Storage>& storage = frame_.storages[i];
      StorageReport& told = report_->storages[i];
      told.made = storage && storage->is_deferred();
      told.bytes = storage ? static_cast<double>(storage->bytes()) : 0;
      seen_.push_back(storage && is_seen(*storage));
    }
  }

  void run_reported(size_t number) {
    const Region& region = program_->regions[number];
    const std::shared_ptr<const Executable> form = region.facts ? form_of(region) : region.program;
    RegionReport report = report_of(recording_, region, *form);
    {
      const StepTimes times;
      const auto start = std::chrono::steady_clock::now();
      run(number);
      report.nanoseconds = static_cast<double>(
          std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
      if (merged_) report_steps(report, *form, times.of(*form));
    }
    report.merged = merged_;
    report_memory(report);
    report_->regions.push_back(std::move(report));
  }

  /// `nanoseconds` may be of fewer steps than there are, and of copies behind them.
  static void report_steps(RegionReport& report, const Executable& form,
                           std::span<const double> nanoseconds) {
    if (nanoseconds.size() > report.steps.size()) {
      const bool on_host = host_program_of(form) != nullptr;
      report.steps.push_back({.text = on_host ? "on the host" : "copies of results",
                              .launches = 1,
                              .bytes = on_host ? report.bytes : 0});
      if (!on_host) ++report.launches;
    }
    for (size_t i = 0; i < nanoseconds.size(); ++i) report.steps[i].nanoseconds = nanoseconds[i];
  }

  void report_memory(RegionReport& report) {
    // Where slots share memory it is what was written last.
    std::unordered_map<const Storage*, size_t> owners;
    std::vector<bool> held(held_.size());
    for (size_t i = 0; i < held.size(); ++i) {
      const Ref<Storage>& storage = frame_.storages[i];
      if (!report_->storages[i].made) continue;
      // What no later region touches is held by those who see it.
      held[i] = storage ? !storage->is_deferred() : held_[i] && seen_[i];
      if (!held[i] || !storage) continue;
      const auto [owner, is_first] = owners.emplace(storage.get(), i);
      if (is_first) continue;
      held[held_[i] ? i : owner->second] = false;
      if (!held_[i]) owner->second = i;
    }
    for (size_t i = 0; i < held.size(); ++i) {
      if (held[i]) report.live_bytes += report_->storages[i].bytes;
      if (held[i] != held_[i])
        (held[i] ? report.begins : report.ends).push_back(static_cast<int32_t>(i));
    }
    held_ = std::move(held);
  }

  void run(size_t number) {
    run_region(program_->regions[number], number);
    done_[number] = true;
  }

  void run_region(const Region& region, size_t number) {
    merged_ = true;
    Donated donated(*this, number);
    if (bound_ != nullptr && bound_->runs[number] != nullptr) {
      if (region.facts) count_regions(true);
      const BoundRun& run = *bound_->runs[number];
      run_bound(recording_, region, run, given_to(region), frame_.numbers);
      return donated.keep();
    }
    std::shared_ptr<const BoundRun> bound;
    if (!region.facts) {
      run_alone(region, bound);
      donated.keep();
    } else if (!is_one_by_one(region) && run_merged(region, *form_of(region), bound)) {
      donated.keep();
    } else {
      // What is compiled by the next time is taken then.
      donated.undo();
      merged_ = false;
      bound = nullptr;
      run_one_by_one(region, number);
    }
    if (region.facts) count_regions(merged_);
    if (bound == nullptr || !bound->possible) return;
    // Others may use what is bound: this goes on with a copy.
    if (fresh_ == nullptr) fresh_ = std::make_shared<BoundProgram>(*bound_);
    fresh_->runs[number] = std::move(bound);
  }

  /// What nothing behind an entry of the region needs goes as soon as that has run.
  void run_one_by_one(const Region& region, size_t number) {
    halfway_ = number;
    happened_ = 0;
    std::vector<size_t> last_use(recording_.slots.size(), region.entries.size());
    for (size_t k = 0; k < region.entries.size(); ++k)
      recording_.for_touched(recording_.entries[static_cast<size_t>(region.entries[k])],
                             [&](size_t slot) { last_use[slot] = k; });
    while (happened_ < region.entries.size()) {
      std::shared_ptr<const BoundRun> once;
      run_alone(region_of(recording_, region.entries[happened_]), once);
      const size_t k = happened_++;
      if (check_ == nullptr && !report_)
        has_run(number, [&](int32_t slot) { return last_use[static_cast<size_t>(slot)] == k; });
    }
  }

  /// While one lives, storages that the region reads last are those that it writes; afterwards only
  /// if it has run.
  class Donated {
   public:
    Donated(Execution& execution, size_t number) : execution_(execution) {
      const auto& all = execution.program_->donations;
      const auto is_before = [](const Program::Donation& d, size_t n) {
        return static_cast<size_t>(d.region) < n;
      };
      auto it = std::lower_bound(all.begin(), all.end(), number, is_before);
      for (; it != all.end() && static_cast<size_t>(it->region) == number; ++it) {
        const Window& from = execution.window(it->from);
        const Window& to = execution.window(it->to);
        const Ref<Storage>& dying = execution.storage_of(from);
        const Ref<Storage>& fresh = execution.storage_of(to);
        if (!execution.makes_[static_cast<size_t>(it - all.begin())] || dying->is_deferred() ||
            !fresh->is_deferred() || dying->bytes() != fresh->bytes() ||
            from.info.dtype != to.info.dtype || from.info.sizes != to.info.sizes ||
            from.info.strides != to.info.strides ||
            execution.offset_of(from) != execution.offset_of(to))
          continue;
        execution.let_go(to.slot);
        execution.storage_of(to) = dying;
        windows_.push_back(it->to);
      }
    }
    ~Donated() { undo(); }
    Donated(const Donated&) = delete;
    Donated& operator=(const Donated&) = delete;
    void keep() { windows_.clear(); }
    void undo() {
      const MemoryDeferral at_first_use(true);
      for (const int32_t number : windows_) {
        Ref<Storage>& storage = execution_.storage_of(execution_.window(number));
        storage = make_ref<Storage>(storage->bytes());
      }
      windows_.clear();
    }

   private:
    Execution& execution_;
    SmallVector<int32_t, 4> windows_;
  };

  template <class Windows>
  SmallVector<Tensor, 8> tensors(const Windows& windows) const {
    SmallVector<Tensor, 8> list;
    for (const int32_t number : windows) {
      if (number < 0) {
        list.emplace_back();
        continue;
      }
      const Window& w = window(number);
      list.emplace_back(make_ref<TensorImpl>(storage_of(w), w.info, offset_of(w)));
    }
    return list;
  }

  /// False if a kernel is not compiled yet. Nothing that the single runs read is lost: only the
  /// last kernel writes in place.
  bool run_merged(const Region& region, const Executable& form,
                  std::shared_ptr<const BoundRun>& bound) try {
    std::optional<CompileLater> never_wait;
    if (check_ == nullptr) never_wait.emplace();  // what is checked has to be there
    run_into(region, form, bound);
    return true;
  } catch (const KernelMissing&) {
    return false;
  }

  void run_into(const Region& region, const Executable& form,
                std::shared_ptr<const BoundRun>& bound) {
    const auto parameters = tensors(region.parameters);
    auto outputs = tensors(region.outputs);
    const RunNumbers numbers = numbers_of(region, frame_.numbers);
    const Ints integers = values_of(recording_, region.integers);
    flambeau::run_into(bound, form, {parameters.data(), parameters.size()},
                       {numbers.data(), numbers.size()}, {integers.data(), integers.size()},
                       {outputs.data(), outputs.size()});
  }

  RunMemory given_to(const Region& region) const {
    RunMemory given(given_count(region));
    set_given({given.data(), given.size()}, recording_, region, frame_);
    return given;
  }

  /// `region` is one entry.
  void run_alone(const Region& region, std::shared_ptr<const BoundRun>& bound) {
    const Entry& entry = recording_.entries[static_cast<size_t>(region.entries[0])];
    if (fills_blocks(entry)) return run_into(region, *region.program, bound);
    const auto parameters = tensors(recording_.operands_of(entry.parameters));
    const auto blocks = tensors(recording_.operands_of(entry.blocks));
    const auto outputs = tensors(recording_.operands_of(entry.outputs));
    run_in_blocks(*entry.program, *entry.shape, {blocks.data(), blocks.size()},
                  {parameters.data(), parameters.size()},
                  frame_.numbers.subspan(static_cast<size_t>(entry.numbers.begin),
                                         static_cast<size_t>(entry.numbers.size())),
                  {recording_.integers.data() + entry.integers.begin,
                   static_cast<size_t>(entry.integers.size())},
                  {outputs.data(), outputs.size()});
  }

  /// Regions that are apart: those that are one launch run as one parallel region.
  void run_group(size_t begin, size_t end) {
    LaunchGroup group;
    SmallVector<size_t, 16> together;
    SmallVector<size_t, 16> others;
    for (size_t i = begin; i < end; ++i) {
      const Region& region = program_->regions[i];
      const BoundRun* run = bound_->runs[i].get();
      const bool single = run != nullptr && run->launches.size() == 1 &&
                          run->contractions.empty() && run->made.empty();
      if (!single) {
        others.push_back(i);
        continue;
      }
      together.push_back(i);
      if (region.facts) count_regions(true);
      const RunNumbers numbers = numbers_of(region, frame_.numbers);
      group.add(run->launches[0], given_to(region).data(), {numbers.data(), numbers.size()});
    }
    group.run();
    for (const size_t i : together) done_[i] = true;
    for (const size_t i : others) run(i);
  }

  void has_run(size_t region) {
    has_run(region, [](int32_t) { return true; });
  }
  template <class Slots>
  void has_run(size_t region, const Slots& is_inside) {
    for (const int32_t slot : program_->last_uses[region])
      if (is_inside(slot)) let_go(slot);
    for (const int32_t slot : program_->renewed[region])
      if (is_inside(slot)) renew(slot);
  }

  /// No run touches the slot any more: others may.
  void let_go(int32_t slot) {
    Ref<Storage>& storage = frame_.storages[static_cast<size_t>(slot)];
    if (storage && frame_.marked && storage->pending_slot() == Recording::kRunning)
      storage->set_pending(nullptr, 0);
    storage = nullptr;
  }

  void let_go_of_all() {
    for (size_t slot = 0; slot < frame_.storages.size(); ++slot) let_go(static_cast<int32_t>(slot));
  }

  /// The slot's contents are read by nobody any more: memory is taken again if it is written.
  void renew(int32_t slot) {
    Ref<Storage>& storage = frame_.storages[static_cast<size_t>(slot)];
    if (!storage || storage->is_deferred()) return;
    const size_t bytes = storage->bytes();
    let_go(slot);
    const MemoryDeferral at_first_use(true);
    storage = make_ref<Storage>(bytes);
  }

  /// What the runs `left` would have made, also where it has memory by now.
  void fail_outputs(const std::vector<bool>& left, RunFailed& failure) const {
    std::vector<bool> made = had_memory_;
    made.resize(recording_.slots.size());
    const auto for_outputs = [&](bool of_left, const auto& visit) {
      for (size_t i = 0; i < left.size(); ++i)
        if (left[i] == of_left) recording_.for_written(recording_.entries[i], visit);
    };
    for_outputs(false, [&](size_t slot) { made[slot] = true; });
    for_outputs(true, [&](size_t slot) {
      const Ref<Storage>& storage = frame_.storages[slot];
      if (!storage || made[slot]) return;
      made[slot] = true;
      storage->fail("");
      failure.never_made.push_back(storage);
    });
  }

  const Recording& recording_;
  ReadyProgram& ready_;
  const Program* program_ = nullptr;
  const BoundProgram* bound_ = nullptr;
  const size_t first_;            // regions before it have run
  std::vector<bool> done_;        // per region
  size_t halfway_ = 0;            // the region whose entries ran by themselves last
  size_t happened_ = 0;           // so many of these
  std::vector<bool> had_memory_;  // per slot: before anything ran
  std::vector<bool> makes_;  // per donation: both storages had no memory before the program ran
  Frame frame_;
  bool fail_outputs_;                    // after a failure
  std::shared_ptr<BoundProgram> fresh_;  // what becomes bound by this run
  bool merged_ = false;                  // the region that ran last ran as one program
  std::unique_ptr<Check> check_;         // null: nobody asked for it
  std::optional<ProgramReport> report_;
  // For the report, per slot: memory that the program has made is held; somebody else holds it.
  std::vector<bool> held_;
  std::vector<bool> seen_;
};

}  // namespace

void set_given(std::span<void*> given, const Recording& recording, const Region& region,
               const Frame& frame) {
  size_t next = 0;
  const auto add = [&](int32_t number, bool write) {
    void*& place = given[next++];
    place = nullptr;
    if (number < 0) return;
    const Window& window = recording.windows[static_cast<size_t>(number)];
    const Storage& storage = *frame.storages[static_cast<size_t>(window.slot)];
    void* const base = !storage.is_linked() ? storage.memory()
                       : write              ? storage.data()
                                            : const_cast<void*>(storage.readable_data());
    if (base != nullptr)
      place = static_cast<char*>(base) +
              frame.offset_of(window) * static_cast<int64_t>(size_of(window.info.dtype));
  };
  for (const int32_t number : region.parameters) add(number, false);
  for (const int32_t number : region.outputs) add(number, true);
}

void run_bound(const Recording& recording, const Region& region, const BoundRun& run,
               std::span<void* const> given, std::span<const Scalar> numbers) {
  const RunNumbers own = numbers_of(region, numbers);
  // What would run again after a failure must find what it reads.
  const auto is_read = [&](int32_t output) {
    return output >= 0 &&
           std::any_of(region.parameters.begin(), region.parameters.end(), [&](int32_t parameter) {
             return parameter >= 0 && recording.slot_of(parameter) == recording.slot_of(output);
           });
  };
  const bool makes_first =
      run.makes_late() && std::any_of(region.outputs.begin(), region.outputs.end(), is_read);
  RunMemory memory;
  memory.append(given.begin(), given.end());
  memory.resize(given.size() + run.made.size());
  run.run_on({memory.data(), memory.size()}, {own.data(), own.size()}, makes_first);
}

void raise(const RunFailed& failure, const Recording& recording) {
  if (failure.difference != nullptr)
    throw InternalError(concat("compile: ", text_of(*failure.difference)));
  // What failed: operations and lines, each once.
  const auto joined = [&](const char* separator, const auto& text_of) {
    std::vector<std::string> texts;
    for (const int32_t number : failure.entries) {
      std::string text = text_of(recording.entries[static_cast<size_t>(number)]);
      if (text.empty() || std::find(texts.begin(), texts.end(), text) != texts.end()) continue;
      texts.push_back(std::move(text));
    }
    std::string all;
    for (const std::string& text : texts) all += (all.empty() ? "" : separator) + text;
    return all;
  };
  const std::string ops = joined(" + ", [](const Entry& e) { return std::string(e.label); });
  const std::string lines =
      joined(", ", [](const Entry& e) { return e.line ? e.line->text() : std::string(); });
  const std::string from = lines.empty() ? "" : concat(" (recorded at ", lines, ")");
  const auto say = [&](const std::string& reason) {
    for (const Ref<Storage>& storage : failure.never_made) storage->fail(reason);
    return reason;
  };
  try {
    std::rethrow_exception(failure.cause);
  } catch (const OutOfMemory& error) {
    const std::string reason = error.reason() + from;
    say(concat(ops, ": ", reason));
    throw OutOfMemory(ops.empty() ? "compile" : ops, reason);
  } catch (const std::exception& error) {
    const std::string reason = say(error.what() + from);
    if (dynamic_cast<const EnvironmentError*>(&error) != nullptr) throw EnvironmentError(reason);
    throw RuntimeError(reason);
  }
}

void execute(const Recording& recording, ReadyProgram& ready, const Frame& frame, bool fail_outputs,
             size_t done) {
  Execution(recording, ready, frame, fail_outputs, done).run();
}

void execute(Recording& recording, OnFailure on_failure) {
  ReadyProgram ready;
  execute(recording, ready, on_failure);
}

void execute(Recording& recording, ReadyProgram& ready, OnFailure on_failure) try {
  if (recording.empty()) {
    for (const Ref<Storage>& storage : recording.storages) storage->set_pending(nullptr, 0);
    return;
  }
  execute(recording, ready, {.storages = recording.storages, .numbers = recording.numbers},
          on_failure == OnFailure::Drop);
} catch (const RunFailed& failure) {
  if (on_failure == OnFailure::Keep) recording = recording.take(failure.left);
  throw;
}

}  // namespace flambeau::compiler
