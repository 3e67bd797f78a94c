#include "compile/program.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <unordered_map>

#include "base/hash.h"
#include "compile/fuse.h"
#include "compile/report.h"

namespace flambeau::compile {
namespace {

constexpr size_t kMaxPrograms = 512;

Hash128 key_of(const Recording& recording) {
  Hasher hasher;
  for (const Entry& entry : recording.entries) {
    hasher.add(reinterpret_cast<uintptr_t>(entry.program));
    for (const Range range : {entry.parameters, entry.blocks, entry.outputs, entry.results,
                              entry.numbers, entry.integers})
      hasher.add(range.size());
  }
  for (const int32_t operand : recording.operands) hasher.add(operand);
  for (const Window& window : recording.windows) hasher.add(window.slot);
  for (const Slot& slot : recording.slots) hasher.add(is_seen(slot));
  return hasher.finish();
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
    const auto note = [&](int32_t window) {
      if (window < 0) return;
      const int32_t slot = recording.windows[static_cast<size_t>(window)].slot;
      if (seen[static_cast<size_t>(slot)]) return;
      seen[static_cast<size_t>(slot)] = true;
      program.last_uses[i].push_back(slot);
    };
    for (const int32_t number : program.regions[i].entries) {
      const Entry& entry = recording.entries[static_cast<size_t>(number)];
      for (const Range range : {entry.parameters, entry.blocks, entry.outputs, entry.results})
        for (const int32_t window : recording.operands_of(range)) note(window);
    }
  }
  for (size_t slot = 0; slot < seen.size(); ++slot)
    if (!seen[slot]) program.unused.push_back(static_cast<int32_t>(slot));
}

std::shared_ptr<const Program> make_program(const Recording& recording) {
  auto program = std::make_shared<Program>();
  program->regions = fuse(recording, flow_of(recording));
  find_last_uses(*program, recording);
  if (getenv("DBG")) fprintf(stderr, "== %zu entries %zu regions\n%s", recording.entries.size(), program->regions.size(), text_of(*program, recording).c_str());
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
  struct Entry {
    Hash128 key;
    std::shared_ptr<const Program> program;
  };
  std::mutex mutex_;
  std::list<Entry> recent_;
  std::unordered_multimap<Hash128, std::list<Entry>::iterator> by_key_;
};

}  // namespace

std::shared_ptr<const Program> program_of(const Recording& recording) {
  static auto* const cache = new ProgramCache;
  const Hash128 key = key_of(recording);
  if (auto known = cache->find(key, recording)) return known;
  auto program = make_program(recording);
  cache->add(key, program);
  return program;
}

}  // namespace flambeau::compile
