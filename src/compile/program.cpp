#include "compile/program.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <list>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "base/error.h"
#include "base/hash.h"
#include "base/settings.h"
#include "compile/block_rows.h"
#include "compile/fuse.h"
#include "compile/recompute.h"
#include "compile/row_regions.h"
#include "compile/view_form.h"
#include "eager/executable_hash.h"
#include "lower/overwrite.h"
#include "lower/plan.h"

namespace flambeau::compiler {
namespace {

constexpr size_t kMaxPrograms = 512;
constexpr size_t kMaxGeometries = 64;  // of a program
constexpr size_t kMinDonation = size_t{1} << 20;

Hash128 key_of(const Recording& recording, const std::vector<bool>& seen) {
  SmallVector<int64_t, 1024> words;
  for (const Entry& entry : recording.entries) {
    // Not its address: keys are saved for other processes.
    words.push_back(static_cast<int64_t>(hash_of(*entry.program).low));
    words.push_back(static_cast<int64_t>(hash_of(*entry.program).high));
    words.push_back(static_cast<int64_t>(entry.options.numerics));
    words.push_back(std::bit_cast<int32_t>(entry.options.memory_budget));
    words.push_back(entry.options.one_by_one ? 1 : 0);
    for (const Range range : {entry.parameters, entry.blocks, entry.outputs, entry.results,
                              entry.numbers, entry.integers})
      words.push_back(range.end);
  }
  for (const int32_t operand : recording.operands) words.push_back(operand);
  for (const Window& window : recording.windows) {
    words.push_back(window.slot);
    words.push_back(overlaps_itself(window.info) ? 1 : 0);
  }
  for (const bool is_seen : seen) words.push_back(is_seen ? 1 : 0);
  return hash_bytes(words.data(), words.size() * sizeof(int64_t));
}

bool fits(const Program& program, const Recording& recording) {
  return std::all_of(program.regions.begin(), program.regions.end(), [&](const Region& region) {
    return !region.facts || region.facts->hold(recording);
  });
}

void find_last_uses(Program& program, const Recording& recording) {
  // How the regions behind the one at hand touch a slot: not at all; all of them inside, where its
  // contents are theirs; or one of them in memory.
  enum class Next : uint8_t { Never, Inside, Memory };
  std::vector<Next> next(recording.slots.size(), Next::Never);
  program.last_uses.resize(program.regions.size());
  program.renewed.resize(program.regions.size());
  for (size_t i = program.regions.size(); i-- > 0;) {
    const Region& region = program.regions[i];
    std::vector<size_t> touched;
    const auto touch = [&](size_t slot) {
      if (std::find(touched.begin(), touched.end(), slot) != touched.end()) return;
      touched.push_back(slot);
      if (next[slot] == Next::Never) program.last_uses[i].push_back(static_cast<int32_t>(slot));
      if (next[slot] == Next::Inside && !program.flow.seen[slot])
        program.renewed[i].push_back(static_cast<int32_t>(slot));
      // Who reads its memory later needs what is there, whatever happens inside in between.
      if (next[slot] != Next::Memory) next[slot] = region.facts ? Next::Inside : Next::Memory;
    };
    for (const int32_t number : region.entries) {
      const Entry& entry = recording.entries[static_cast<size_t>(number)];
      recording.for_touched(entry, touch);
    }
    for (const auto* windows : {&region.parameters, &region.outputs})
      for (const int32_t window : *windows)
        if (window >= 0) next[recording.slot_of(window)] = Next::Memory;
  }
  for (size_t slot = 0; slot < next.size(); ++slot)
    if (next[slot] == Next::Never) program.unused.push_back(static_cast<int32_t>(slot));
}

void find_donations_of(Program& program, const Recording& recording, size_t number,
                       const std::vector<bool>& touched, size_t smallest) {
  const Region& region = program.regions[number];
  const lower::Plan& plan = plan_of(*region.program);
  if (!region.facts && !fills_blocks(recording.entries[static_cast<size_t>(region.entries[0])]))
    return;
  if (region.facts && in_row_blocks(*region.program) != nullptr) return;  // that runs
  // Of the program alone, and of nobody else then or later.
  const auto is_own = [&](size_t slot) {
    return !program.flow.seen[slot] && recording.storages[slot]->is_deferred();
  };
  const auto window = [&](int32_t w) -> const Window& {
    return recording.windows[static_cast<size_t>(w)];
  };
  const auto& ending = program.last_uses[number];
  SmallVector<int32_t, 4> given;
  for (size_t result = 0; result < region.outputs.size(); ++result) {
    if (region.outputs[result] < 0) continue;
    const Window& to = window(region.outputs[result]);
    const auto slot = static_cast<size_t>(to.slot);
    if (touched[slot] || !is_own(slot) || recording.storages[slot]->bytes() < smallest) continue;
    for (size_t p = 0; p < region.parameters.size(); ++p) {
      const Window& from = window(region.parameters[p]);
      const auto dying = static_cast<size_t>(from.slot);
      const auto is_other_window = [&](int32_t w) {
        return w >= 0 && w != region.parameters[p] && recording.slot_of(w) == dying;
      };
      if (std::find(ending.begin(), ending.end(), from.slot) == ending.end() || !is_own(dying) ||
          !touched[dying] || !lower::may_take_place(plan, p, result) ||
          std::find(given.begin(), given.end(), from.slot) != given.end() ||
          std::any_of(region.parameters.begin(), region.parameters.end(), is_other_window) ||
          std::any_of(region.outputs.begin(), region.outputs.end(), is_other_window))
        continue;
      given.push_back(from.slot);
      program.donations.push_back(
          {static_cast<int32_t>(number), region.parameters[p], region.outputs[result]});
      break;
    }
  }
}

/// What a region reads last and may be written over by what it makes.
void find_donations(Program& program, const Recording& recording) {
  const size_t smallest = recording.memory_budget() < 1 ? 1 : kMinDonation;
  std::vector<bool> touched(recording.slots.size(), false);
  for (size_t i = 0; i < program.regions.size(); ++i) {
    find_donations_of(program, recording, i, touched, smallest);
    for (const int32_t number : program.regions[i].entries) {
      const Entry& entry = recording.entries[static_cast<size_t>(number)];
      recording.for_touched(entry, [&](size_t slot) { touched[slot] = true; });
    }
  }
}

/// Cuts the regions into groups of neighbours that are apart.
void find_groups(Program& program, const Recording& recording) {
  enum : uint8_t { kUntouched, kRead, kWritten };
  std::vector<uint8_t> state(recording.slots.size(), kUntouched);
  std::vector<size_t> touched;
  size_t donation = 0;
  for (size_t i = 0; i < program.regions.size(); ++i) {
    const Region& region = program.regions[i];
    SmallVector<size_t, 4> given;  // written, too
    for (; donation < program.donations.size(); ++donation) {
      const Program::Donation& d = program.donations[donation];
      if (static_cast<size_t>(d.region) != i) break;
      given.push_back(recording.slot_of(d.from));
    }
    // In a group that begins anew, a region meets nothing.
    const auto meets = [&] {
      bool any = false;
      for (const int32_t number : region.entries) {
        const Entry& entry = recording.entries[static_cast<size_t>(number)];
        for (const int32_t window : recording.operands_of(entry.parameters))
          any |= state[recording.slot_of(window)] == kWritten;
        recording.for_written(entry, [&](size_t slot) { any |= state[slot] != kUntouched; });
      }
      for (const size_t slot : given) any |= state[slot] != kUntouched;
      return any;
    };
    if (i > 0 && meets()) {
      program.group_ends.push_back(i);
      for (const size_t slot : touched) state[slot] = kUntouched;
      touched.clear();
    }
    const auto touch = [&](size_t slot, uint8_t how) {
      state[slot] = std::max(state[slot], how);
      touched.push_back(slot);
    };
    for (const int32_t number : region.entries) {
      const Entry& entry = recording.entries[static_cast<size_t>(number)];
      for (const int32_t window : recording.operands_of(entry.parameters))
        touch(recording.slot_of(window), kRead);
      recording.for_written(entry, [&](size_t slot) { touch(slot, kWritten); });
    }
    for (const size_t slot : given) touch(slot, kWritten);
  }
  program.group_ends.push_back(program.regions.size());
}

/// Programs for one shape that were in a recording.
class ShapesMet {
 public:
  static ShapesMet& global() {
    static auto* const met = new ShapesMet;
    return *met;
  }
  /// False the first time.
  bool add(const Hash128& program) {
    const std::lock_guard lock(mutex_);
    if (met_.size() >= kMost) met_.clear();
    return !met_.insert(program).second;
  }

 private:
  static constexpr size_t kMost = 65'536;
  ForkSafe<std::mutex> mutex_;
  std::unordered_set<Hash128> met_;
};

/// FLAMBEAU_PLAN.
bool plans_at_once() {
  static const bool at_once = [] {
    const std::string when = setting("FLAMBEAU_PLAN");
    check<ValueError>(when == "again" || when == "once", [&] {
      return concat("settings: FLAMBEAU_PLAN is '", when, "', expected again or once");
    });
    return when == "once";
  }();
  return at_once;
}

/// True if passes take longer than what they could save in one run of the recording.
bool is_small(const Recording& recording) {
  constexpr double kBytesPerPass = 100'000;  // of a run: what is moved while passes look at one
  double bytes = 0;
  for (const Entry& entry : recording.entries)
    for (const Range range : {entry.parameters, entry.results})
      for (const int32_t window : recording.operands_of(range))
        if (window >= 0) {
          const TensorInfo& info = recording.windows[static_cast<size_t>(window)].info;
          bytes += static_cast<double>(info.numel()) * static_cast<double>(size_of(info.dtype));
        }
  return bytes < kBytesPerPass * static_cast<double>(recording.entries.size());
}

/// All needed runs, each alone.
std::vector<Region> apart(const Recording& recording, const Flow& flow) {
  std::vector<Region> regions;
  for (size_t i = 0; i < recording.entries.size(); ++i)
    if (flow.needed[i]) regions.push_back(region_of(recording, static_cast<int32_t>(i)));
  return regions;
}

/// Per run: its operation is for sizes that no recording had before. Empty: there is none.
std::vector<bool> new_shapes(const Recording& recording) {
  std::vector<bool> is_new;
  for (size_t i = 0; i < recording.entries.size(); ++i) {
    const Executable& program = *recording.entries[i].program;
    if (!is_for_one_shape(program) || ShapesMet::global().add(hash_of(program))) continue;
    is_new.resize(recording.entries.size(), false);
    is_new[i] = true;
  }
  return is_new;
}

std::shared_ptr<const Program> make_program(const Recording& recording, std::vector<bool> seen,
                                            bool will_repeat) {
  auto program = std::make_shared<Program>();
  for (const size_t extent :
       {recording.entries.size(), recording.windows.size(), recording.slots.size(),
        recording.numbers.size(), recording.integers.size()})
    program->extents.push_back(static_cast<int32_t>(extent));
  program->flow = flow_of(recording, std::move(seen));
  program->flow.alone = new_shapes(recording);
  if (will_repeat) program->flow.alone.clear();
  const bool is_apart = !will_repeat && is_small(recording);
  program->provisional = is_apart || !program->flow.alone.empty();
  if (is_apart) {
    program->regions = apart(recording, program->flow);
  } else {
    program->regions = fuse(recording, program->flow);
    gather_rows(recording, program->flow, program->regions);
    recompute(recording, program->flow, program->regions);
  }
  find_last_uses(*program, recording);
  find_donations(*program, recording);
  find_groups(*program, recording);
  return program;
}

/// Programs by key, the least recently used out.
class ProgramCache {
 public:
  std::shared_ptr<const Program> find(const Hash128& key, const Recording& recording) {
    const std::lock_guard lock(mutex_);
    const auto [first, last] = by_key_.equal_range(key);
    for (auto it = first; it != last; ++it) {
      if (!fits(*it->second->program, recording)) continue;
      recent_.splice(recent_.begin(), recent_, it->second);
      return it->second->program;
    }
    return nullptr;
  }

  std::vector<CachedProgram> all() {
    const std::lock_guard lock(mutex_);
    std::vector<CachedProgram> programs;
    std::copy_if(recent_.rbegin(), recent_.rend(), std::back_inserter(programs),
                 [](const CachedProgram& cached) { return !cached.program->provisional; });
    return programs;
  }

  void clear() {
    const std::lock_guard lock(mutex_);
    by_key_.clear();
    recent_.clear();
  }

  void add(const Hash128& key, std::shared_ptr<const Program> program) {
    const std::lock_guard lock(mutex_);
    recent_.push_front({key, std::move(program)});
    by_key_.emplace(key, recent_.begin());
    if (recent_.size() > kMaxPrograms) remove_locked(recent_.back().key, *recent_.back().program);
  }

  void remove(const Hash128& key, const std::shared_ptr<const Program>& program) {
    const std::lock_guard lock(mutex_);
    remove_locked(key, *program);
  }

 private:
  void remove_locked(const Hash128& key, const Program& program) {
    const auto [first, last] = by_key_.equal_range(key);
    for (auto it = first; it != last; ++it) {
      if (it->second->program.get() != &program) continue;
      recent_.erase(it->second);
      by_key_.erase(it);
      return;
    }
  }

  ForkSafe<std::mutex> mutex_;
  std::list<CachedProgram> recent_;
  std::unordered_multimap<Hash128, std::list<CachedProgram>::iterator> by_key_;
};

ProgramCache& cache() {
  static auto* const cache = new ProgramCache;
  return *cache;
}

std::atomic<uint64_t> epoch = 0;
std::atomic<int64_t> runs = 0;
std::atomic<int64_t> made = 0;
std::atomic<int64_t> bound = 0;
std::atomic<int64_t> merged_regions = 0;
std::atomic<int64_t> divided_regions = 0;
std::atomic<int64_t> repeated_runs = 0;
std::atomic<int64_t> early_regions = 0;
std::atomic<int64_t> tails = 0;
std::atomic<int64_t> schedules = 0;

}  // namespace

std::shared_ptr<const BoundProgram> Program::find_bound(const Hash128& geometry) const {
  const std::lock_guard lock(mutex_);
  const auto found = bound_.find(geometry);
  return found == bound_.end() ? nullptr : found->second;
}

void Program::keep(const Hash128& geometry, std::shared_ptr<const BoundProgram> program) const {
  ++bound;
  const std::lock_guard lock(mutex_);
  if (bound_.size() >= kMaxGeometries) bound_.clear();
  bound_[geometry] = std::move(program);
}

Hash128 geometry_of(const Recording& recording) {
  SmallVector<int64_t, 1024> words;
  for (const Window& window : recording.windows) {
    words.append(window.info.sizes.begin(), window.info.sizes.end());
    words.append(window.info.strides.begin(), window.info.strides.end());
    words.push_back(window.offset);
  }
  words.append(recording.integers.begin(), recording.integers.end());
  return hash_bytes(words.data(), words.size() * sizeof(int64_t));
}

std::shared_ptr<const Program> program_of(const Recording& recording, bool will_repeat) {
  count_run(false);
  std::vector<bool> seen = recording.seen();
  const Hash128 key = key_of(recording, seen);
  std::shared_ptr<const Program> known = cache().find(key, recording);
  if (known != nullptr && !known->provisional) return known;
  if (known != nullptr) cache().remove(key, known);
  ++made;
  auto program =
      make_program(recording, std::move(seen), will_repeat || known != nullptr || plans_at_once());
  cache().add(key, program);
  return program;
}

ProgramStats program_stats() {
  return {runs,          made,          bound, merged_regions, divided_regions,
          repeated_runs, early_regions, tails, schedules};
}

void count_run(bool repeated) {
  ++runs;
  if (repeated) ++repeated_runs;
}

void count_regions(bool merged, int64_t regions) {
  (merged ? merged_regions : divided_regions) += regions;
}

void count_early(size_t regions) { early_regions += static_cast<int64_t>(regions); }
void count_tail() { ++tails; }
void count_schedule() { ++schedules; }

std::vector<CachedProgram> cached_programs() { return cache().all(); }
void add_program(const Hash128& key, std::shared_ptr<const Program> program) {
  cache().add(key, std::move(program));
}
void forget_programs() {
  ++epoch;
  cache().clear();
}
uint64_t program_epoch() { return epoch; }

}  // namespace flambeau::compiler
