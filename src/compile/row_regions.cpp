#include "compile/row_regions.h"

#include <algorithm>

#include "compile/block_rows.h"

namespace flambeau::compiler {
namespace {

constexpr size_t kMaxEntries = 16;   // of a region
constexpr double kWorthwhile = 0.9;  // of the bytes of regions as they are

bool contains(const std::vector<int32_t>& list, int32_t item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

int products_of(const Entry& entry) {
  const ir::Program& program = flambeau::program_of(*entry.program);
  return static_cast<int>(std::count_if(
      program.nodes.begin(), program.nodes.end(),
      [](const ir::Node& node) { return node.primitive->cls == ir::PrimitiveClass::Contract; }));
}

double bytes_of(const Region& region) { return typical_bytes(*region.program); }

class Gatherer {
 public:
  Gatherer(const Recording& recording, const Flow& flow, std::vector<Region>& regions)
      : recording_(recording), flow_(flow), regions_(regions) {
    index();
  }

  void run() {
    for (size_t r = 1; r < regions_.size(); ++r)
      while (join_producer(r)) {
      }
    repeats_.resize(regions_.size(), false);
    for (size_t r = 0; r < regions_.size(); ++r)
      if (!repeats_[r] && regions_[r].facts && in_row_blocks(*regions_[r].program) != nullptr)
        compute_again(r);
  }

 private:
  /// Slots that a region reads and writes, each ascending.
  struct Slots {
    std::vector<size_t> read, written;
  };

  void index() {
    makers_.assign(flow_.values.size(), -1);
    readers_.assign(flow_.values.size(), {});
    region_of_.assign(recording_.entries.size(), -1);
    writers_.assign(recording_.slots.size(), {});
    slots_.assign(regions_.size(), {});
    for (size_t r = 0; r < regions_.size(); ++r) {
      Slots& slots = slots_[r];
      for (const int32_t number : regions_[r].entries) {
        const Entry& entry = entry_at(number);
        region_of_[static_cast<size_t>(number)] = static_cast<int32_t>(r);
        for (int32_t o = entry.results.begin; o < entry.results.end; ++o)
          if (const int32_t v = value_at(o); v >= 0) makers_[static_cast<size_t>(v)] = number;
        for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o)
          if (const int32_t v = value_at(o); v >= 0)
            readers_[static_cast<size_t>(v)].push_back(number);
        for (const int32_t window : recording_.operands_of(entry.parameters))
          slots.read.push_back(recording_.slot_of(window));
        recording_.for_written(entry, [&](size_t slot) {
          writers_[slot].push_back(number);
          slots.written.push_back(slot);
        });
      }
      std::sort(slots.read.begin(), slots.read.end());
      std::sort(slots.written.begin(), slots.written.end());
    }
  }

  static bool meet(const std::vector<size_t>& a, const std::vector<size_t>& b) {
    for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
      if (*x == *y) return true;
      ++(*x < *y ? x : y);
    }
    return false;
  }
  /// True if region `later` has to stay behind region `earlier`.
  bool depends(size_t later, size_t earlier) const {
    const Slots& a = slots_[earlier];
    const Slots& b = slots_[later];
    return meet(a.written, b.read) || meet(a.written, b.written) || meet(a.read, b.written);
  }

  // ---- joining ----

  /// Joins region `r`, which becomes the number of both, with one that makes what only it reads.
  bool join_producer(size_t& r) {
    std::vector<size_t> tried;
    for (const int32_t number : regions_[r].entries) {
      const Entry& entry = entry_at(number);
      for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) {
        const int32_t v = value_at(o);
        if (v < 0 || flow_.values[static_cast<size_t>(v)].stored) continue;
        const size_t producer = region_of(makers_[static_cast<size_t>(v)]);
        if (producer == r || std::find(tried.begin(), tried.end(), producer) != tried.end())
          continue;
        const std::vector<int32_t>& readers = readers_[static_cast<size_t>(v)];
        if (!std::all_of(readers.begin(), readers.end(),
                         [&](int32_t n) { return region_of(n) == r || region_of(n) == producer; }))
          continue;
        tried.push_back(producer);
        if (join(producer, r)) return true;
      }
    }
    return false;
  }

  bool join(size_t producer, size_t& r) {
    std::vector<int32_t> entries = regions_[producer].entries;
    entries.insert(entries.end(), regions_[r].entries.begin(), regions_[r].entries.end());
    int products = 0;
    for (const int32_t number : entries) products += products_of(entry_at(number));
    if (products == 0 || entries.size() > kMaxEntries || reads_memory_of(r, producer)) return false;
    // One of them moves to the other.
    bool down = true;
    bool up = true;
    for (size_t between = producer + 1; between < r; ++between) {
      down = down && !depends(between, producer);
      up = up && !depends(r, between);
    }
    if (!down && !up) return false;
    std::optional<Region> both = merged(std::move(entries), {}, {});
    if (!both || in_row_blocks(*both->program) == nullptr || !writes_apart(recording_, *both) ||
        reads_by_view(*both, regions_[producer], regions_[r]))
      return false;
    if (bytes_of(*both) >= (bytes_of(regions_[producer]) + bytes_of(regions_[r])) * kWorthwhile)
      return false;
    both->apart = regions_[producer].apart;
    regions_[down ? r : producer] = std::move(*both);
    regions_.erase(regions_.begin() + static_cast<ptrdiff_t>(down ? producer : r));
    r = down ? r - 1 : producer;
    index();
    return true;
  }

  /// True if a run of region `r` reads what is in memory of a storage that `producer` writes.
  bool reads_memory_of(size_t r, size_t producer) const {
    for (const int32_t number : regions_[r].entries) {
      const Entry& entry = entry_at(number);
      for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) {
        const size_t slot = recording_.slot_of(recording_.operands[static_cast<size_t>(o)]);
        const std::vector<size_t>& written = slots_[producer].written;
        if (value_at(o) < 0 && std::binary_search(written.begin(), written.end(), slot))
          return true;
      }
    }
    return false;
  }

  // ---- computing again ----

  const Entry& entry_at(int32_t number) const {
    return recording_.entries[static_cast<size_t>(number)];
  }
  int32_t value_at(int32_t operand) const { return flow_.value_of[static_cast<size_t>(operand)]; }
  size_t region_of(int32_t number) const {
    return static_cast<size_t>(region_of_[static_cast<size_t>(number)]);
  }

  /// The runs of region `r` that `value` is made of, ascending.
  std::vector<int32_t> origin_of(int32_t value, size_t r) const {
    std::vector<int32_t> found{makers_[static_cast<size_t>(value)]};
    for (size_t next = 0; next < found.size(); ++next) {
      const Entry& entry = entry_at(found[next]);
      for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) {
        const int32_t v = value_at(o);
        if (v < 0) continue;
        const int32_t maker = makers_[static_cast<size_t>(v)];
        if (region_of(maker) == r && !contains(found, maker)) found.push_back(maker);
      }
    }
    std::sort(found.begin(), found.end());
    return found;
  }

  /// True if the runs `again` of region `first` give the same when they happen once more in region
  /// `last`, also one by one, and that disturbs nobody.
  bool may_repeat(const std::vector<int32_t>& again, size_t first, size_t last) const {
    for (const int32_t number : again) {
      const Entry& entry = entry_at(number);
      bool fine = true;
      recording_.for_written(entry, [&](size_t slot) {
        for (const int32_t writer : writers_[slot]) fine = fine && contains(again, writer);
      });
      for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) {
        const bool is_value = value_at(o) >= 0;
        const int32_t window = recording_.operands[static_cast<size_t>(o)];
        for (const int32_t writer : writers_[recording_.slot_of(window)])
          fine = fine && ((is_value && contains(again, writer)) || region_of(writer) < first ||
                          region_of(writer) > last);
      }
      if (!fine) return false;
    }
    return true;
  }

  /// `entries` as one program that keeps what others read but for `dropped`.
  std::optional<Region> merged(std::vector<int32_t> entries, const std::vector<int32_t>& again,
                               const std::vector<int32_t>& dropped) {
    is_stored_.assign(flow_.values.size(), false);
    for (const int32_t number : entries) {
      if (contains(again, number)) continue;
      const Entry& entry = entry_at(number);
      for (int32_t o = entry.results.begin; o < entry.results.end; ++o) {
        const int32_t v = value_at(o);
        if (v < 0 || contains(dropped, v)) continue;
        const auto value = static_cast<size_t>(v);
        bool stored = flow_.values[value].stored;
        for (const int32_t reader : readers_[value]) stored = stored || !contains(entries, reader);
        is_stored_[value] = stored;
      }
    }
    std::sort(entries.begin(), entries.end());
    std::optional<Region> region = merge(recording_, flow_, std::move(entries), is_stored_);
    if (region && region->parameters.size() > kMaxParameters) return std::nullopt;
    return region;
  }

  /// Values of region `r` that only later regions read, and that one product is enough for.
  std::vector<int32_t> candidates(size_t r) const {
    std::vector<int32_t> found;
    for (const int32_t number : regions_[r].entries) {
      const Entry& entry = entry_at(number);
      for (int32_t o = entry.results.begin; o < entry.results.end; ++o) {
        const int32_t v = value_at(o);
        if (v < 0 || flow_.values[static_cast<size_t>(v)].stored || contains(found, v)) continue;
        const std::vector<int32_t>& readers = readers_[static_cast<size_t>(v)];
        const bool is_read_later = std::any_of(readers.begin(), readers.end(),
                                               [&](int32_t n) { return region_of(n) != r; });
        int products = 0;
        for (const int32_t n : origin_of(v, r)) products += products_of(entry_at(n));
        if (is_read_later && products == 1) found.push_back(v);
      }
    }
    return found;
  }

  void compute_again(size_t r) {
    const std::vector<int32_t> dropped = candidates(r);
    if (dropped.empty()) return;
    std::vector<std::pair<size_t, Region>> changed;
    std::optional<Region> home = merged(regions_[r].entries, {}, dropped);
    if (!home) return;
    double before = bytes_of(regions_[r]);
    double after = bytes_of(*home);
    changed.emplace_back(r, std::move(*home));
    for (size_t later = 0; later < regions_.size(); ++later) {
      if (later == r) continue;
      std::vector<int32_t> again;
      for (const int32_t v : dropped) {
        const auto reads = [&](int32_t number) { return region_of(number) == later; };
        const std::vector<int32_t>& readers = readers_[static_cast<size_t>(v)];
        if (std::none_of(readers.begin(), readers.end(), reads)) continue;
        for (const int32_t number : origin_of(v, r))
          if (!contains(again, number)) again.push_back(number);
      }
      if (again.empty()) continue;
      if (later < r || repeats_[later] || !may_repeat(again, r, later)) return;
      std::vector<int32_t> entries = regions_[later].entries;
      entries.insert(entries.end(), again.begin(), again.end());
      std::optional<Region> region = merged(std::move(entries), again, {});
      if (!region || in_row_blocks(*region->program) == nullptr) return;
      before += bytes_of(regions_[later]);
      after += bytes_of(*region);
      changed.emplace_back(later, std::move(*region));
    }
    if (after > before * kWorthwhile) return;
    for (auto& [number, region] : changed) {
      region.apart = regions_[number].apart;
      regions_[number] = std::move(region);
      repeats_[number] = repeats_[number] || number != r;
    }
  }

  const Recording& recording_;
  const Flow& flow_;
  std::vector<Region>& regions_;
  std::vector<int32_t> makers_;                // per value: the run
  std::vector<std::vector<int32_t>> readers_;  // per value: runs
  std::vector<int32_t> region_of_;             // per run: its own
  std::vector<std::vector<int32_t>> writers_;  // per slot: runs
  std::vector<Slots> slots_;                   // per region
  std::vector<bool> repeats_;                  // per region: runs of another one happen again
  std::vector<bool> is_stored_;                // per value, for the merge at hand
};

}  // namespace

void gather_rows(const Recording& recording, const Flow& flow, std::vector<Region>& regions) {
  Gatherer(recording, flow, regions).run();
}

}  // namespace flambeau::compiler
