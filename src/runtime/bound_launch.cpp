#include "runtime/bound_launch.h"

#include <algorithm>

#include "runtime/thread_pool.h"

namespace flambeau {
namespace {

/// Launches that cost less than this together are one task.
constexpr int64_t kTaskCost = 8'000;
/// Several launches share threads from this cost on. Their data is in the caller's caches as a
/// rule, and what another core has to fetch costs more than it saves: measured with AdamW over
/// 12,000 to 50,000 parameters.
constexpr int64_t kGroupCost = 80'000;

}  // namespace

void BoundLaunch::fill_slots(std::span<const Scalar> call_numbers, void* const* places,
                             int64_t* call_slots) const {
  for (const Number& number : numbers)
    call_slots[number.slot] =
        static_cast<int64_t>(call_numbers[static_cast<size_t>(number.number)].bits());
  fill_past_caches(places, call_slots);
}

void BoundLaunch::fill_past_caches(void* const* places, int64_t* call_slots) const {
  if (past_caches < 0) return;
  // What is written over what was read is in the caches.
  bool are_apart = true;
  for (size_t i = 1; i < pointers.size(); ++i)
    are_apart &= std::find(places, places + i, places[i]) == places + i;
  call_slots[past_caches] = are_apart ? 1 : 0;
}

void BoundLaunch::run_piece(int64_t piece, void* const* places, const int64_t* call_slots) const {
  const int64_t across = column_chunks();
  const int64_t first_row = piece / across * row_step;
  const int64_t first = piece % across * column_step;
  const int64_t rows_end = std::min(first_row + row_step, rows);
  const int64_t end = std::min(first + column_step, columns);
  if (!tiled) return function(places, call_slots, first_row, rows_end, first, end);
  for (int64_t o = first_row; o < rows_end; o += kTile)
    for (int64_t i = first; i < end; i += kTile)
      function(places, call_slots, o, std::min(o + kTile, rows_end), i, std::min(i + kTile, end));
}

void BoundLaunch::run_chunk(int64_t chunk, void* const* places, const int64_t* call_slots) const {
  if (walks.empty()) return run_piece(chunk, places, call_slots);
  const int64_t per_walk = pieces();
  const int64_t begin = chunk / per_walk * walks_together;
  const int64_t end = std::min(begin + walks_together, walk_count);
  SmallVector<void*, 8> moved_places(pointers.size());
  SmallVector<int64_t, 16> moved_slots;
  for (int64_t walk = begin; walk < end; ++walk) {
    for (size_t p = 0; p < pointers.size(); ++p) moved_places[p] = places[p];
    if (!offset_slots.empty()) {
      moved_slots.clear();
      moved_slots.append(call_slots, call_slots + slots.size());
    }
    int64_t rest = walk;
    for (size_t l = walks.size(); l-- > 0;) {
      const int64_t position = rest % walks[l].extent;
      rest /= walks[l].extent;
      for (size_t p = 0; p < pointers.size(); ++p)
        if (moved_places[p] != nullptr)
          moved_places[p] = static_cast<char*>(moved_places[p]) + position * walks[l].bytes[p];
      for (size_t i = 0; i < offset_slots.size(); ++i)
        moved_slots[static_cast<size_t>(offset_slots[i])] += position * walks[l].shifts[i];
    }
    run_piece(chunk % per_walk, moved_places.data(),
              offset_slots.empty() ? call_slots : moved_slots.data());
  }
}

void BoundLaunch::run(void* const* buffers, std::span<const Scalar> call_numbers) const {
  SmallVector<void*, 8> places(pointers.size());
  place(buffers, places.data());
  if (is_copy && places[0] == places[1]) return;
  const int64_t* call_slots = slots.data();
  SmallVector<int64_t, 16> copy;
  if (!numbers.empty() || past_caches >= 0) {
    copy.append(slots.begin(), slots.end());
    fill_slots(call_numbers, places.data(), copy.data());
    call_slots = copy.data();
  }
  const int64_t count = chunks();
  if (count == 1) return run_chunk(0, places.data(), call_slots);
  parallel_for(
      count, [&](int64_t chunk, int) { run_chunk(chunk, places.data(), call_slots); }, cost);
}

void LaunchGroup::add(const BoundLaunch& launch, void* const* buffers,
                      std::span<const Scalar> call_numbers) {
  const LaunchMember member{&launch, places_.size(), slots_.size()};
  places_.resize(member.places + launch.pointers.size());
  launch.place(buffers, places_.data() + member.places);
  slots_.append(launch.slots.begin(), launch.slots.end());
  launch.fill_slots(call_numbers, places_.data() + member.places, slots_.data() + member.slots);
  members_.push_back(member);
}

void LaunchGroup::run() const {
  const std::span<const LaunchMember> members(members_.data(), members_.size());
  LaunchTasks(members).run(members, places_.data(), slots_.data());
}

LaunchTasks::LaunchTasks(std::span<const LaunchMember> members) {
  int64_t open = kTaskCost;  // cost of the last task, if further launches may join it
  for (size_t i = 0; i < members.size(); ++i) {
    const BoundLaunch& launch = *members[i].launch;
    const int64_t chunks = launch.chunks();
    cost_ += launch.cost;
    if (open + launch.cost < kTaskCost) {
      ++tasks_.back().count;
      open += launch.cost;
    } else if (chunks == 1) {
      tasks_.push_back({i, 1, -1});
      open = launch.cost;
    } else {
      for (int64_t chunk = 0; chunk < chunks; ++chunk) tasks_.push_back({i, 1, chunk});
      open = kTaskCost;
    }
  }
  if (members.size() > 1 && cost_ < kGroupCost) cost_ = 0;
}

void LaunchTasks::run(std::span<const LaunchMember> members, void* const* places,
                      const int64_t* slots) const {
  const auto run = [&](int64_t number, int) {
    const Task& task = tasks_[static_cast<size_t>(number)];
    for (size_t i = task.first; i < task.first + task.count; ++i) {
      const LaunchMember& member = members[i];
      const int64_t begin = task.chunk < 0 ? 0 : task.chunk;
      const int64_t end = task.chunk < 0 ? member.launch->chunks() : task.chunk + 1;
      for (int64_t chunk = begin; chunk < end; ++chunk)
        member.launch->run_chunk(chunk, places + member.places, slots + member.slots);
    }
  };
  parallel_for(static_cast<int64_t>(tasks_.size()), run, cost_);
}

}  // namespace flambeau
