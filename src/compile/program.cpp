#include "compile/program.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>

#include "base/hash.h"
#include "compile/fuse.h"
#include "compile/row_regions.h"
#include "eager/executable_hash.h"

namespace flambeau::compiler {
namespace {

constexpr size_t kMaxPrograms = 512;
constexpr size_t kMaxGeometries = 64;  // of a program

Hash128 key_of(const Recording& recording) {
  SmallVector<int64_t, 1024> words;
  for (const Entry& entry : recording.entries) {
    // Not its address: keys are saved for other processes.
    words.push_back(static_cast<int64_t>(hash_of(*entry.program).low));
    words.push_back(static_cast<int64_t>(hash_of(*entry.program).high));
    words.push_back(static_cast<int64_t>(entry.numerics));
    for (const Range range : {entry.parameters, entry.blocks, entry.outputs, entry.results,
                              entry.numbers, entry.integers})
      words.push_back(range.end);
  }
  for (const int32_t operand : recording.operands) words.push_back(operand);
  for (const Window& window : recording.windows) words.push_back(window.slot);
  for (size_t slot = 0; slot < recording.slots.size(); ++slot)
    words.push_back(recording.is_seen(slot) ? 1 : 0);
  return hash_bytes(words.data(), words.size() * sizeof(int64_t));
}

bool fits(const Program& program, const Recording& recording) {
  return std::all_of(program.regions.begin(), program.regions.end(), [&](const Region& region) {
    return !region.facts || region.facts->hold(recording);
  });
}

void find_last_uses(Program& program, const Recording& recording) {
  std::vector<bool> seen(recording.slots.size(), false);
  program.last_uses.resize(program.regions.size());
  for (size_t i = program.regions.size(); i-- > 0;) {
    const auto note = [&](size_t slot) {
      if (seen[slot]) return;
      seen[slot] = true;
      program.last_uses[i].push_back(static_cast<int32_t>(slot));
    };
    for (const int32_t number : program.regions[i].entries) {
      const Entry& entry = recording.entries[static_cast<size_t>(number)];
      for (const int32_t window : recording.operands_of(entry.parameters))
        note(recording.slot_of(window));
      recording.for_written(entry, note);
    }
  }
  for (size_t slot = 0; slot < seen.size(); ++slot)
    if (!seen[slot]) program.unused.push_back(static_cast<int32_t>(slot));
}

/// Cuts the regions into groups of neighbours that are apart.
void find_groups(Program& program, const Recording& recording) {
  enum : uint8_t { kUntouched, kRead, kWritten };
  std::vector<uint8_t> state(recording.slots.size(), kUntouched);
  std::vector<size_t> touched;
  for (size_t i = 0; i < program.regions.size(); ++i) {
    const Region& region = program.regions[i];
    // In a group that begins anew, a region meets nothing.
    const auto meets = [&] {
      bool any = false;
      for (const int32_t number : region.entries) {
        const Entry& entry = recording.entries[static_cast<size_t>(number)];
        for (const int32_t window : recording.operands_of(entry.parameters))
          any |= state[recording.slot_of(window)] == kWritten;
        recording.for_written(entry, [&](size_t slot) { any |= state[slot] != kUntouched; });
      }
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
  }
  program.group_ends.push_back(program.regions.size());
}

std::shared_ptr<const Program> make_program(const Recording& recording) {
  auto program = std::make_shared<Program>();
  for (const size_t extent :
       {recording.entries.size(), recording.windows.size(), recording.slots.size(),
        recording.numbers.size(), recording.integers.size()})
    program->extents.push_back(static_cast<int32_t>(extent));
  program->flow = flow_of(recording);
  for (size_t slot = 0; slot < recording.slots.size(); ++slot)
    program->seen.push_back(recording.is_seen(slot));
  program->regions = fuse(recording, program->flow);
  gather_rows(recording, program->flow, program->regions);
  find_last_uses(*program, recording);
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
    return {recent_.rbegin(), recent_.rend()};
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
    if (recent_.size() <= kMaxPrograms) return;
    const auto [first, last] = by_key_.equal_range(recent_.back().key);
    for (auto it = first; it != last; ++it) {
      if (it->second != std::prev(recent_.end())) continue;
      by_key_.erase(it);
      break;
    }
    recent_.pop_back();
  }

 private:
  ForkSafe<std::mutex> mutex_;
  std::list<CachedProgram> recent_;
  std::unordered_multimap<Hash128, std::list<CachedProgram>::iterator> by_key_;
};

ProgramCache& cache() {
  static auto* const cache = new ProgramCache;
  return *cache;
}

std::atomic<int64_t> runs = 0;
std::atomic<int64_t> made = 0;
std::atomic<int64_t> bound = 0;
std::atomic<int64_t> merged_regions = 0;
std::atomic<int64_t> divided_regions = 0;

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

std::shared_ptr<const Program> program_of(const Recording& recording) {
  ++runs;
  const Hash128 key = key_of(recording);
  if (auto known = cache().find(key, recording)) return known;
  ++made;
  auto program = make_program(recording);
  cache().add(key, program);
  return program;
}

ProgramStats program_stats() { return {runs, made, bound, merged_regions, divided_regions}; }

void count_region(bool merged) { ++(merged ? merged_regions : divided_regions); }

std::vector<CachedProgram> cached_programs() { return cache().all(); }
void add_program(const Hash128& key, std::shared_ptr<const Program> program) {
  cache().add(key, std::move(program));
}
void forget_programs() { cache().clear(); }

}  // namespace flambeau::compiler
