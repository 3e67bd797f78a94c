#include "compile/recompute.h"

#include <algorithm>

#include "compile/block_rows.h"
#include "compile/cost.h"
#include "eager/host_program.h"

namespace flambeau::compiler {
namespace {

constexpr double kMinBytes = 1 << 18;  // of a value that is worth it
constexpr double kMoreTime = 0.005;    // of the program's, for all that is computed again
constexpr size_t kMaxEntries = 24;     // of a region

template <class List, class Item>
bool contains(const List& list, const Item& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

/// Calls visit(slot) for what a region reads and writes in memory when it runs as one program.
template <class Visit>
void for_touched(const Recording& recording, const Region& region, const Visit& visit) {
  for (const auto* windows : {&region.parameters, &region.outputs})
    for (const int32_t window : *windows)
      if (window >= 0) visit(recording.slot_of(window));
  if (!region.facts)  // its blocks, too
    recording.for_written(recording.entries[static_cast<size_t>(region.entries[0])], visit);
}

size_t place_of_peak(const std::vector<double>& memory) {
  return static_cast<size_t>(std::max_element(memory.begin(), memory.end()) - memory.begin());
}

bool has_products(const Entry& entry) {
  const ir::Program& program = flambeau::program_of(*entry.program);
  return std::any_of(program.nodes.begin(), program.nodes.end(), [](const ir::Node& node) {
    return node.primitive->cls == ir::PrimitiveClass::Contract;
  });
}

class Recomputer {
 public:
  Recomputer(const Recording& recording, const Flow& flow, std::vector<Region>& regions)
      : recording_(recording), flow_(flow), regions_(regions) {}

  void run() {
    std::vector<double> memory = memory_over_time(recording_, regions_);
    if (memory.empty()) return;
    const double most = memory[place_of_peak(memory)];
    const double smallest = budget_ < 1 ? 1 : kMinBytes;
    if (most < smallest) return;
    index();
    if (budget_ < 1) enough_ = most * budget_;
    while (lower_peak(memory, smallest)) {
    }
    std::erase_if(regions_, [](const Region& region) { return region.entries.empty(); });
  }

 private:
  const Entry& entry_at(int32_t number) const {
    return recording_.entries[static_cast<size_t>(number)];
  }
  int32_t value_at(int32_t operand) const { return flow_.value_of[static_cast<size_t>(operand)]; }
  size_t slot_of(int32_t value) const {
    return recording_.slot_of(flow_.values[static_cast<size_t>(value)].window);
  }
  int32_t maker_of(int32_t value) const { return makers_[static_cast<size_t>(value)]; }
  /// Where a run happens first.
  size_t home_of(int32_t number) const { return homes_[static_cast<size_t>(number)].front(); }

  void index() {
    makers_.assign(flow_.values.size(), -1);
    readers_.assign(flow_.values.size(), {});
    homes_.assign(recording_.entries.size(), {});
    writers_.assign(recording_.slots.size(), {});
    is_stored_.assign(flow_.values.size(), false);
    tried_.assign(flow_.values.size(), false);
    for (size_t r = 0; r < regions_.size(); ++r) {
      time_ += cost_of(recording_, regions_[r]).time;
      for (const int32_t number : regions_[r].entries) {
        auto& homes = homes_[static_cast<size_t>(number)];
        homes.push_back(r);
        if (homes.size() > 1) continue;
        const Entry& entry = entry_at(number);
        for (int32_t o = entry.results.begin; o < entry.results.end; ++o)
          if (const int32_t v = value_at(o); v >= 0) makers_[static_cast<size_t>(v)] = number;
        for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o)
          if (const int32_t v = value_at(o); v >= 0)
            readers_[static_cast<size_t>(v)].push_back(number);
        recording_.for_written(entry, [&](size_t slot) {
          if (!contains(writers_[slot], number)) writers_[slot].push_back(number);
        });
      }
    }
  }

  /// Regions but the one that makes it first that read `value` from memory, ascending.
  std::vector<size_t> reading_regions(int32_t value) const {
    std::vector<size_t> found;
    for (const int32_t reader : readers_[static_cast<size_t>(value)])
      for (const size_t r : homes_[static_cast<size_t>(reader)])
        if (contains(regions_[r].entries, reader) &&
            !contains(regions_[r].entries, maker_of(value)) && !contains(found, r))
          found.push_back(r);
    std::sort(found.begin(), found.end());
    return found;
  }

  /// Values that are kept over the peak become ones that are computed again; false if the peak
  /// stays where it is.
  bool lower_peak(std::vector<double>& memory, double smallest) {
    const size_t peak = place_of_peak(memory);
    bool any = false;
    for (size_t v = 0; v < flow_.values.size() && memory[peak] > enough_; ++v) {
      const auto value = static_cast<int32_t>(v);
      const int32_t maker = makers_[v];
      if (flow_.values[v].stored || maker < 0 || tried_[v] || home_of(maker) >= peak) continue;
      const size_t slot = slot_of(value);
      if (!recording_.storages[slot]->is_deferred() ||
          static_cast<double>(recording_.storages[slot]->bytes()) < smallest)
        continue;
      const std::vector<size_t> reading = reading_regions(value);
      const auto later = std::upper_bound(reading.begin(), reading.end(), peak);
      if (later == reading.end() || contains(reading, peak)) continue;
      tried_[v] = true;
      any |= drop(value, {later, reading.end()}, peak, memory);
    }
    return any && place_of_peak(memory) != peak;
  }

  /// The runs of its region that `value` is made of, ascending.
  std::vector<int32_t> origin_of(int32_t value) const {
    std::vector<int32_t> found{maker_of(value)};
    const size_t home = home_of(found[0]);
    for (size_t next = 0; next < found.size(); ++next) {
      const Entry& entry = entry_at(found[next]);
      for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) {
        const int32_t v = value_at(o);
        if (v < 0 || is_kept(v)) continue;
        const int32_t maker = maker_of(v);
        if (contains(regions_[home].entries, maker) && !contains(found, maker))
          found.push_back(maker);
      }
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  /// True if `value` is in memory behind the region that makes it.
  bool is_kept(int32_t value) const {
    return flow_.values[static_cast<size_t>(value)].stored || !reading_regions(value).empty();
  }

  /// True if the runs `again`, which happen in region `first`, give the same when they happen once
  /// more in region `last`, and that disturbs nobody. Also one by one, while kernels are missing:
  /// then what they write is in memory, and a run that changes in place what it reads finds it
  /// changed.
  bool may_repeat(const std::vector<int32_t>& again, size_t first, size_t last) const {
    return std::all_of(again.begin(), again.end(), [&](int32_t number) {
      const Entry& entry = entry_at(number);
      bool fine = host_program_of(*entry.program) == nullptr && !has_products(entry);
      recording_.for_written(entry, [&](size_t slot) {
        fine = fine && writers_[slot].size() == 1 && !flow_.seen[slot];
      });
      for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) {
        const bool is_value = value_at(o) >= 0;
        const int32_t window = recording_.operands[static_cast<size_t>(o)];
        for (const int32_t writer : writers_[recording_.slot_of(window)]) {
          const bool is_made_again = is_value && contains(again, writer);
          for (const size_t r : homes_[static_cast<size_t>(writer)])
            fine =
                fine && (is_made_again || r < first || r > last || (r == first && writer < number));
        }
      }
      return fine;
    });
  }

  /// Region `r` with the runs `more`, as it has to be while homes_ say what is read where.
  std::optional<Region> with(size_t r, const std::vector<int32_t>& more) {
    std::vector<int32_t> entries = regions_[r].entries;
    for (const int32_t number : more)
      if (!contains(entries, number)) entries.push_back(number);
    if (entries.size() > kMaxEntries) return std::nullopt;
    std::sort(entries.begin(), entries.end());
    bool any = false;
    for (const int32_t number : entries) {
      const Entry& entry = entry_at(number);
      for (int32_t o = entry.results.begin; o < entry.results.end; ++o) {
        const int32_t v = value_at(o);
        if (v < 0) continue;
        const bool stored = home_of(number) == r && is_kept(v);
        is_stored_[static_cast<size_t>(v)] = stored;
        any |= stored;
      }
    }
    if (!any) return Region{};
    std::optional<Region> region = merge(recording_, flow_, std::move(entries), is_stored_);
    if (!region || region->parameters.size() > kMaxParameters || !writes_apart(recording_, *region))
      return std::nullopt;
    region->apart = regions_[r].apart;
    return region;
  }

  /// True unless rows that ran in blocks would not any more.
  static bool keeps_blocks(const Region& before, const Region& after) {
    const auto has_blocks = [](const Region& region) {
      return region.facts && in_row_blocks(*region.program) != nullptr;
    };
    return !has_blocks(before) || (!after.entries.empty() && has_blocks(after));
  }
  /// The time of a region; none without entries.
  double time_of(const Region& region) const {
    return region.entries.empty() ? 0 : cost_of(recording_, region).time;
  }

  /// Lets the regions `later` compute `value` again if that pays.
  bool drop(int32_t value, const std::vector<size_t>& later, size_t peak,
            std::vector<double>& memory) {
    const size_t home = home_of(maker_of(value));
    const std::vector<int32_t> again = origin_of(value);
    if (!may_repeat(again, home, later.back())) return false;
    for (const size_t r : later)
      if (host_program_of(*regions_[r].program) != nullptr) return false;
    // As if they did.
    std::vector<Region> before;
    std::vector<size_t> changed = later;
    double more_time = 0;
    bool fine = true;
    for (const size_t r : later) before.push_back(regions_[r]);
    for (const size_t r : later) {
      std::optional<Region> after = with(r, again);
      fine = after.has_value() && !after->entries.empty() && keeps_blocks(regions_[r], *after);
      if (!fine) break;
      more_time += time_of(*after) - time_of(regions_[r]);
      regions_[r] = std::move(*after);
      for (const int32_t number : again)
        if (auto& homes = homes_[static_cast<size_t>(number)]; !contains(homes, r))
          homes.push_back(r);
    }
    if (fine && !is_kept(value)) {
      std::optional<Region> after = with(home, {});
      fine = after.has_value() && keeps_blocks(regions_[home], *after);
      if (fine) {
        more_time += time_of(*after) - time_of(regions_[home]);
        changed.push_back(home);
        before.push_back(std::move(regions_[home]));
        regions_[home] = std::move(*after);
      }
    }
    if (fine && (more_time <= 0 || budget_ < 1 || spent_ + more_time <= time_ * kMoreTime)) {
      std::vector<double> now = memory_over_time(recording_, regions_);
      if (now[peak] < memory[peak] && *std::max_element(now.begin(), now.end()) <=
                                          *std::max_element(memory.begin(), memory.end())) {
        memory = std::move(now);
        spent_ += std::max(more_time, 0.0);
        return true;
      }
    }
    for (size_t i = 0; i < before.size(); ++i) regions_[changed[i]] = std::move(before[i]);
    for (const int32_t number : again) {
      auto& homes = homes_[static_cast<size_t>(number)];
      std::erase_if(homes, [&](size_t r) { return !contains(regions_[r].entries, number); });
    }
    return false;
  }

  const Recording& recording_;
  const Flow& flow_;
  std::vector<Region>& regions_;
  std::vector<int32_t> makers_;                // per value: the run
  std::vector<std::vector<int32_t>> readers_;  // per value: runs
  std::vector<std::vector<size_t>> homes_;  // per run: regions, that where it happens first first
  std::vector<std::vector<int32_t>> writers_;  // per slot: runs
  std::vector<bool> is_stored_;                // per value, for the merge at hand
  std::vector<bool> tried_;                    // per value: it is computed again or cannot be
  double time_ = 0;                            // of the program
  double spent_ = 0;
  double budget_ = recording_.memory_budget();
  double enough_ = 0;  // bytes that nobody asked to be fewer
};

}  // namespace

std::vector<double> memory_over_time(const Recording& recording,
                                     const std::vector<Region>& regions) {
  struct Life {
    int32_t first = -1;
    int32_t last = -1;
  };
  std::vector<Life> lives(recording.slots.size());
  for (size_t r = 0; r < regions.size(); ++r) {
    if (regions[r].entries.empty()) continue;
    for_touched(recording, regions[r], [&](size_t slot) {
      Life& life = lives[slot];
      if (life.first < 0) life.first = static_cast<int32_t>(r);
      life.last = static_cast<int32_t>(r);
    });
  }
  std::vector<double> change(regions.size() + 1, 0);
  for (size_t slot = 0; slot < lives.size(); ++slot) {
    const Storage& storage = *recording.storages[slot];
    if (lives[slot].first < 0 || !storage.is_deferred()) continue;
    const auto bytes = static_cast<double>(storage.bytes());
    change[static_cast<size_t>(lives[slot].first)] += bytes;
    if (!is_seen(storage)) change[static_cast<size_t>(lives[slot].last) + 1] -= bytes;
  }
  std::vector<double> memory;
  double held = 0;
  for (size_t r = 0; r < regions.size(); ++r) memory.push_back(held += change[r]);
  return memory;
}

void recompute(const Recording& recording, const Flow& flow, std::vector<Region>& regions) {
  Recomputer(recording, flow, regions).run();
}

}  // namespace flambeau::compiler
