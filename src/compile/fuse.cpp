#include "compile/fuse.h"

#include <algorithm>
#include <utility>

#include "compile/block_rows.h"
#include "compile/cost.h"
#include "eager/host_program.h"

namespace flambeau::compiler {
namespace {

constexpr size_t kMaxEntries = 12;    // of a region
constexpr double kWorthwhile = 0.97;  // of the time of two regions, what one must stay below
constexpr double kBlocksBytes = 0.9;  // of the bytes of two regions, the same for rows in blocks

constexpr std::string_view kTooMany = "one kernel would read too many tensors";

/// Walks over the runs in order; each joins the earlier region that makes what it reads where that
/// pays most, or begins one. Regions that make the rest of what it reads, for it alone, join, too.
class Fuser {
 public:
  Fuser(const Recording& recording, const Flow& flow)
      : recording_(recording), flow_(flow), slots_(recording.slots.size()) {
    region_of_value_.resize(flow.values.size(), -1);
    readers_.resize(flow.values.size());
    for (size_t i = 0; i < recording.entries.size(); ++i) {
      if (!flow.needed[i]) continue;
      const Entry& entry = recording.entries[i];
      for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o)
        if (const int32_t value = value_at(o); value >= 0)
          readers_[static_cast<size_t>(value)].push_back(static_cast<int32_t>(i));
    }
    is_stored_.resize(flow.values.size());
  }

  std::vector<Region> run() {
    for (size_t i = 0; i < recording_.entries.size(); ++i)
      if (flow_.needed[i]) place(static_cast<int32_t>(i));
    std::vector<Node*> order;
    for (Node& node : nodes_)
      if (!node.region.entries.empty()) order.push_back(&node);
    std::sort(order.begin(), order.end(),
              [](const Node* a, const Node* b) { return a->order < b->order; });
    std::vector<Region> regions;
    for (Node* node : order) regions.push_back(std::move(node->region));
    return regions;
  }

 private:
  struct Node {
    Region region;
    double time = 0;
    int32_t order = 0;
    SmallVector<int32_t, 4> successors = {};  // nodes that must run after it
    SmallVector<int32_t, 4> written = {};     // slots
    int32_t absorbed_by = -1;
  };
  /// Nodes that touched a storage last. Who wrote it before runs before the last writer.
  struct SlotState {
    int32_t writer = -1;
    SmallVector<int32_t, 4> readers;  // since then
  };

  int32_t value_at(int32_t operand) const { return flow_.value_of[static_cast<size_t>(operand)]; }
  int32_t slot_number(int32_t operand) const {
    const int32_t window = recording_.operands[static_cast<size_t>(operand)];
    return recording_.windows[static_cast<size_t>(window)].slot;
  }
  SlotState& slot_at(int32_t operand) { return slots_[static_cast<size_t>(slot_number(operand))]; }
  Node& node(int32_t number) { return nodes_[static_cast<size_t>(number)]; }
  /// The node that holds the runs of node `number` by now.
  int32_t present(int32_t number) const {
    while (nodes_[static_cast<size_t>(number)].absorbed_by >= 0)
      number = nodes_[static_cast<size_t>(number)].absorbed_by;
    return number;
  }

  /// The regions that must run before the entry.
  std::vector<int32_t> dependencies(const Entry& entry) {
    std::vector<int32_t> found;
    const auto add_writer = [&](const SlotState& slot) {
      if (slot.writer >= 0) found.push_back(present(slot.writer));
    };
    for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) add_writer(slot_at(o));
    for (int32_t o = entry.results.begin; o < entry.results.end; ++o) {
      if (recording_.operands[static_cast<size_t>(o)] < 0) continue;
      add_writer(slot_at(o));
      for (const int32_t reader : slot_at(o).readers) found.push_back(present(reader));
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

  void place(int32_t number) {
    const Entry& entry = recording_.entries[static_cast<size_t>(number)];
    const std::vector<int32_t> before = dependencies(entry);
    Region alone = region_of(recording_, number);
    const double time = cost_of(recording_, alone).time;
    int32_t home = -1;
    apart_ = "it reads no value of an earlier region";
    std::optional<Joined> best;
    for (const int32_t candidate : candidates(entry)) {
      if (!may_join(entry, candidate, before)) continue;
      std::vector<int32_t> entries = node(candidate).region.entries;
      entries.push_back(number);
      std::optional<Joined> joined = join(std::move(entries), node(candidate), alone, time);
      if (!joined || (best && best->gain >= joined->gain)) continue;
      best = std::move(joined);
      home = candidate;
    }
    if (best) {
      settle(home, std::move(*best), before);
    } else {
      alone.apart = apart_;
      home = static_cast<int32_t>(nodes_.size());
      nodes_.push_back({std::move(alone), time, next_order_++});
    }
    note(entry, home, before);
    if (host_program_of(*entry.program) != nullptr) return;
    for (const int32_t candidate : candidates(entry))
      if (candidate != home) absorb(home, candidate);
  }

  /// Joins a region of which `home` alone reads what it makes, if that pays.
  void absorb(int32_t home, int32_t producer) {
    Node& into = node(home);
    Node& from = node(producer);
    const auto is_home = [&](int32_t other) { return present(other) == home; };
    if (!std::all_of(from.successors.begin(), from.successors.end(), is_home) ||
        host_program_of(*into.region.program) != nullptr ||
        host_program_of(*from.region.program) != nullptr ||
        into.region.entries.size() + from.region.entries.size() > kMaxEntries ||
        into.region.parameters.size() > kMaxParameters + from.region.outputs.size() ||
        std::any_of(into.region.entries.begin(), into.region.entries.end(), [&](int32_t number) {
          return reads_memory_of(recording_.entries[static_cast<size_t>(number)], producer);
        }))
      return;
    std::vector<int32_t> entries = from.region.entries;
    entries.insert(entries.end(), into.region.entries.begin(), into.region.entries.end());
    std::sort(entries.begin(), entries.end());
    std::optional<Joined> joined = join(std::move(entries), into, from.region, from.time);
    if (!joined) return;
    joined->region.apart = into.region.apart;
    into.region = std::move(joined->region);
    into.time = joined->time;
    for (const int32_t slot : from.written) add_once(into.written, slot);
    from.region = {};
    from.absorbed_by = home;
  }

  /// True if the entry reads from memory what node `writer` writes.
  bool reads_memory_of(const Entry& entry, int32_t writer) {
    const auto& written = node(writer).written;
    for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o)
      if (value_at(o) < 0 &&
          std::find(written.begin(), written.end(), slot_number(o)) != written.end())
        return true;
    return false;
  }

  /// Regions that make values which the entry reads, the last first.
  std::vector<int32_t> candidates(const Entry& entry) const {
    std::vector<int32_t> found;
    for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) {
      const int32_t value = value_at(o);
      if (value < 0) continue;
      const int32_t producer = present(region_of_value_[static_cast<size_t>(value)]);
      if (std::find(found.begin(), found.end(), producer) == found.end()) found.push_back(producer);
    }
    std::sort(found.rbegin(), found.rend());
    return found;
  }

  bool may_join(const Entry& entry, int32_t candidate, const std::vector<int32_t>& before) {
    Node& home = node(candidate);
    apart_ = "code of the host is a launch of its own";
    if (host_program_of(*entry.program) != nullptr ||
        host_program_of(*home.region.program) != nullptr)
      return false;
    apart_ = "the region before holds as many runs as one may";
    if (home.region.entries.size() >= kMaxEntries) return false;
    apart_ = kTooMany;
    size_t read = 0;  // that the region does not make
    for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o)
      if (const int32_t v = value_at(o);
          v < 0 || present(region_of_value_[static_cast<size_t>(v)]) != candidate)
        ++read;
    if (read > kMaxParameters) return false;  // most of them are not one tensor twice
    apart_ = "it reads through another view what the region before writes";
    // What it reads from memory that the region writes has to be there.
    if (reads_memory_of(entry, candidate)) return false;
    // Either the entry moves to the region or the region to the entry.
    apart_ = "other regions run in between";
    if (home.successors.empty()) return true;
    return std::all_of(before.begin(), before.end(), [&](int32_t other) {
      return other == candidate || node(other).order < home.order;
    });
  }

  /// A region with one more run, and how much time that saves.
  struct Joined {
    Region region;
    double time, gain;
  };

  /// `home` and another region, which takes `time`, as one of `entries`.
  std::optional<Joined> join(std::vector<int32_t> entries, const Node& home, const Region& alone,
                             double time) {
    for (const int32_t e : entries) mark_stored(e, entries);
    std::optional<Region> merged = merge(recording_, flow_, std::move(entries), is_stored_);
    apart_ = "its program and that of the region before do not fit together";
    if (!merged) return std::nullopt;
    apart_ = kTooMany;
    if (merged->parameters.size() > kMaxParameters) return std::nullopt;
    apart_ = "both write one storage, through different views";
    if (!writes_apart(recording_, *merged)) return std::nullopt;
    apart_ = "one program would take as long as two";
    const Cost whole = cost_of(recording_, *merged);
    const double apart = home.time + time;
    if (whole.time > apart * kWorthwhile && !saves_memory(*merged, home.region, alone))
      return std::nullopt;
    return Joined{std::move(*merged), whole.time, apart - whole.time};
  }

  void settle(int32_t number, Joined joined, const std::vector<int32_t>& before) {
    Node& home = node(number);
    joined.region.apart = home.region.apart;
    home.region = std::move(joined.region);
    home.time = joined.time;
    const bool in_place = std::all_of(before.begin(), before.end(), [&](int32_t other) {
      return other == number || node(other).order < home.order;
    });
    if (!in_place) home.order = next_order_++;
  }

  /// True if the runs of both, as one program, may take their rows in blocks (block_rows.h), and
  /// that saves memory. It does not look at the sizes at hand: which form runs is decided for each.
  static bool saves_memory(const Region& both, const Region& home, const Region& alone) {
    return !reads_by_view(both, home, alone) && in_row_blocks(*both.program) != nullptr &&
           typical_bytes(*both.program) <
               (typical_bytes(*home.program) + typical_bytes(*alone.program)) * kBlocksBytes;
  }

  /// Which results of `number` a region of `entries` has to give.
  void mark_stored(int32_t number, const std::vector<int32_t>& entries) {
    const Entry& entry = recording_.entries[static_cast<size_t>(number)];
    for (int32_t o = entry.results.begin; o < entry.results.end; ++o) {
      const int32_t value = value_at(o);
      if (value < 0) continue;
      const auto& readers = readers_[static_cast<size_t>(value)];
      const auto is_outside = [&](int32_t reader) {
        return std::find(entries.begin(), entries.end(), reader) == entries.end();
      };
      is_stored_[static_cast<size_t>(value)] =
          flow_.values[static_cast<size_t>(value)].stored ||
          std::any_of(readers.begin(), readers.end(), is_outside);
    }
  }

  template <class List>
  static void add_once(List& list, int32_t number) {
    if (std::find(list.begin(), list.end(), number) == list.end()) list.push_back(number);
  }

  void note(const Entry& entry, int32_t home, const std::vector<int32_t>& before) {
    const auto add = [&](auto& list) {  // twice does not matter, and lists may be long
      if (list.empty() || list.back() != home) list.push_back(home);
    };
    for (const int32_t other : before)
      if (other != home) add(node(other).successors);
    for (int32_t o = entry.parameters.begin; o < entry.parameters.end; ++o) add(slot_at(o).readers);
    for (int32_t o = entry.results.begin; o < entry.results.end; ++o) {
      const int32_t value = value_at(o);
      if (value < 0) continue;
      region_of_value_[static_cast<size_t>(value)] = home;
      SlotState& slot = slot_at(o);
      slot.readers.clear();
      slot.writer = home;
      add_once(node(home).written, slot_number(o));
    }
  }

  const Recording& recording_;
  const Flow& flow_;
  std::vector<Node> nodes_;
  std::vector<SlotState> slots_;
  std::vector<int32_t> region_of_value_;
  std::vector<SmallVector<int32_t, 2>> readers_;  // per value: entries
  std::vector<bool> is_stored_;                   // per value, for the merge at hand
  int32_t next_order_ = 0;
  std::string_view apart_;  // why the last candidate was refused
};

}  // namespace

std::vector<Region> fuse(const Recording& recording, const Flow& flow) {
  return Fuser(recording, flow).run();
}

}  // namespace flambeau::compiler
