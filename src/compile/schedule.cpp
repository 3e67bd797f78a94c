#include "compile/schedule.h"

#include <algorithm>
#include <optional>

#include "compile/arena.h"
#include "runtime/allocator.h"
#include "runtime/thread_pool.h"

namespace flambeau::compiler {
namespace {

/// A region that is one launch runs beside others of its group.
bool is_single(const BoundRun& run) {
  return run.launches.size() == 1 && run.contractions.empty() && run.made.empty();
}

}  // namespace

/// Goes through the regions in order, as an execution would.
class ScheduleBuilder {
 public:
  ScheduleBuilder(const Recording& recording, const Program& program, const BoundProgram& bound,
                  const Schedule::Layout& layout, Schedule& schedule)
      : recording_(recording),
        program_(program),
        bound_(bound),
        layout_(layout),
        schedule_(schedule),
        base_of_(recording.slots.size()),
        room_of_(recording.slots.size()) {}

  bool build() {
    for (const auto& run : bound_.runs)
      if (run == nullptr) return false;
    if (!place_given()) return false;
    size_t begin = 0;
    for (const size_t end : program_.group_ends) {
      std::vector<LaunchMember> together;
      for (size_t i = begin; i < end; ++i) {
        donate(i);
        const BoundRun& run = *bound_.runs[i];
        if (program_.regions[i].facts) ++schedule_.merged_;
        if (end - begin > 1 && is_single(run)) {
          together.push_back(member(run.launches[0], places_of(i), i));
        } else {
          add_run(i);
        }
      }
      if (!together.empty()) add_launches(std::move(together), false);
      for (size_t i = begin; i < end; ++i) {
        for (const int32_t slot : program_.last_uses[i]) let_go(static_cast<size_t>(slot));
        for (const int32_t slot : program_.renewed[i]) let_go(static_cast<size_t>(slot));
      }
      begin = end;
    }
    schedule_.arena_bytes_ = arena_.size();
    return true;
  }

 private:
  using Place = Schedule::Place;
  using Step = Schedule::Step;

  const Window& window(int32_t number) const {
    return recording_.windows[static_cast<size_t>(number)];
  }

  bool place_given() {
    for (size_t slot = 0; slot < recording_.slots.size(); ++slot) {
      if (!layout_.given[slot]) continue;
      const auto& windows = recording_.slots[slot].windows;
      if (windows.empty()) continue;
      const size_t size = size_of(window(windows[0]).info.dtype);
      for (const int32_t number : windows)
        if (size_of(window(number).info.dtype) != size) return false;
      base_of_[slot] = Schedule::kFirstGiven + static_cast<uint32_t>(schedule_.given_.size());
      schedule_.given_.push_back({slot, recording_.slots[slot].written, size});
    }
    return true;
  }

  /// The room of a slot that dies in the region becomes that of one which the region makes.
  void donate(size_t region) {
    for (const Program::Donation& donation : program_.donations) {
      if (static_cast<size_t>(donation.region) != region) continue;
      const Window& from = window(donation.from);
      const Window& to = window(donation.to);
      const auto dying = static_cast<size_t>(from.slot);
      const auto fresh = static_cast<size_t>(to.slot);
      if (layout_.given[dying] || layout_.given[fresh] || !room_of_[dying] || room_of_[fresh] ||
          layout_.bytes[dying] != layout_.bytes[fresh] || from.info.dtype != to.info.dtype ||
          from.info.sizes != to.info.sizes || from.info.strides != to.info.strides ||
          from.offset != to.offset)
        continue;
      room_of_[fresh] = room_of_[dying];
      donated_.push_back(dying);
    }
  }

  void let_go(size_t slot) {
    std::optional<size_t>& room = room_of_[slot];
    if (const auto it = std::find(donated_.begin(), donated_.end(), slot); it != donated_.end())
      donated_.erase(it);
    else if (room)
      arena_.give(*room, layout_.bytes[slot]);
    room.reset();
  }

  Place place_of(int32_t number) {
    if (number < 0) return {Schedule::kAbsolute, 0};
    const Window& w = window(number);
    const auto slot = static_cast<size_t>(w.slot);
    const int64_t offset = w.offset * static_cast<int64_t>(size_of(w.info.dtype));
    if (layout_.given[slot]) return {base_of_[slot], offset};
    std::optional<size_t>& room = room_of_[slot];
    if (!room) room = arena_.take(layout_.bytes[slot]);
    return {Schedule::kArena, static_cast<int64_t>(*room) + offset};
  }

  /// Where parameters and results of the region are.
  std::vector<Place> places_of(size_t number) {
    const Region& region = program_.regions[number];
    std::vector<Place> places;
    for (const int32_t w : region.parameters) places.push_back(place_of(w));
    for (const int32_t w : region.outputs) places.push_back(place_of(w));
    return places;
  }

  static Place moved(const Place& place, int64_t bytes) {
    return {place.base, place.offset + bytes};
  }

  void add_numbers(const SmallVector<BoundLaunch::Number, 2>& numbers, size_t slots,
                   size_t region) {
    for (const BoundLaunch::Number& number : numbers) {
      const auto all =
          static_cast<size_t>(program_.regions[region].numbers[static_cast<size_t>(number.number)]);
      auto& list = layout_.changing[all] ? schedule_.changing_ : schedule_.constant_;
      list.push_back({slots + number.slot, all});
    }
  }

  LaunchMember member(const BoundLaunch& launch, const std::vector<Place>& places, size_t region) {
    const LaunchMember member{&launch, schedule_.places_.size(), schedule_.slots_.size()};
    for (const BoundLaunch::Pointer& pointer : launch.pointers)
      schedule_.places_.push_back(
          moved(places[static_cast<size_t>(pointer.buffer)], pointer.offset));
    schedule_.slots_.insert(schedule_.slots_.end(), launch.slots.begin(), launch.slots.end());
    add_numbers(launch.numbers, member.slots, region);
    return member;
  }

  void add_launches(std::vector<LaunchMember> members, bool is_copy) {
    schedule_.steps_.push_back({Step::Kind::Launches, schedule_.groups_.size()});
    LaunchTasks tasks(members);
    schedule_.groups_.push_back({std::move(members), std::move(tasks), is_copy});
  }

  void add_product(const BoundContraction& contraction, const std::vector<Place>& places,
                   size_t region) {
    schedule_.steps_.push_back({Step::Kind::Product, schedule_.products_.size()});
    const ContractionWorkspace needed = workspace_of(*contraction.geometry);
    schedule_.workspace_.shared = std::max(schedule_.workspace_.shared, needed.shared);
    schedule_.workspace_.local = std::max(schedule_.workspace_.local, needed.local);
    const size_t slots = schedule_.slots_.size();
    schedule_.products_.push_back({&contraction, schedule_.places_.size(), slots});
    const auto add = [&](const BoundContraction::Place& place) {
      schedule_.places_.push_back(moved(places[static_cast<size_t>(place.buffer)], place.offset));
    };
    add(contraction.a);
    add(contraction.b);
    add(contraction.out);
    for (const BoundContraction::Place& operand : contraction.operands) add(operand);
    schedule_.slots_.insert(schedule_.slots_.end(), contraction.slots.begin(),
                            contraction.slots.end());
    add_numbers(contraction.numbers, slots, region);
  }

  /// The steps of a region that runs by itself, as BoundRun::run_on() does them.
  void add_run(size_t region) {
    const BoundRun& run = *bound_.runs[region];
    std::vector<Place> places = places_of(region);
    const size_t first = places.size();
    places.resize(first + run.made.size());
    std::vector<bool> held(run.made.size());
    const auto drop = [&](size_t i) {
      if (held[i]) arena_.give(static_cast<size_t>(places[first + i].offset), run.made[i].bytes());
      held[i] = false;
    };
    for (const BoundRun::Step& step : run.steps) {
      switch (step.kind) {
        case BoundRun::Step::Kind::Launch: {
          const BoundLaunch& launch = run.launches[step.index];
          add_launches({member(launch, places, region)}, launch.is_copy);
          break;
        }
        case BoundRun::Step::Kind::Contract:
          add_product(run.contractions[step.index], places, region);
          break;
        case BoundRun::Step::Kind::Drop:
          drop(step.index);
          break;
        case BoundRun::Step::Kind::Make: {
          const BoundRun::Made& m = run.made[step.index];
          Place& place = places[first + step.index];
          if (m.table.defined()) {
            place = {Schedule::kAbsolute, reinterpret_cast<int64_t>(m.table.readable_data_ptr())};
          } else if (m.window_of < 0) {
            place = {Schedule::kArena, static_cast<int64_t>(arena_.take(m.bytes()))};
            held[step.index] = true;
          } else {
            place = moved(places[static_cast<size_t>(m.window_of)],
                          m.offset * static_cast<int64_t>(size_of(m.info.dtype)));
          }
          break;
        }
      }
    }
    for (size_t i = 0; i < held.size(); ++i) drop(i);
  }

  const Recording& recording_;
  const Program& program_;
  const BoundProgram& bound_;
  const Schedule::Layout& layout_;
  Schedule& schedule_;
  Arena arena_;
  std::vector<uint32_t> base_of_;               // per slot that is given
  std::vector<std::optional<size_t>> room_of_;  // per other slot: its offset while it has one
  std::vector<size_t> donated_;                 // slots whose room is another's by now
};

std::unique_ptr<const Schedule> Schedule::make(const Recording& recording, const Program& program,
                                               std::shared_ptr<const BoundProgram> bound,
                                               const Layout& layout) {
  std::unique_ptr<Schedule> schedule(new Schedule());
  if (!ScheduleBuilder(recording, program, *bound, layout, *schedule).build()) return nullptr;
  schedule->bound_ = std::move(bound);
  return schedule;
}

Schedule::~Schedule() { delete idle_.load(); }

std::unique_ptr<Schedule::Frame> Schedule::take_frame(std::span<const Scalar> numbers) const {
  std::unique_ptr<Frame> frame(idle_.exchange(nullptr));
  if (frame == nullptr) {
    frame = std::make_unique<Frame>();
    frame->bases.resize(kFirstGiven + given_.size());
    frame->places.resize(places_.size());
    frame->slots = slots_;
    for (const Number& constant : constant_)
      frame->slots[constant.slot] = static_cast<int64_t>(numbers[constant.number].bits());
  }
  for (const Number& number : changing_)
    frame->slots[number.slot] = static_cast<int64_t>(numbers[number.number].bits());
  return frame;
}

bool Schedule::run(std::span<char* const> memory, std::span<const Scalar> numbers) const {
  const int workers = get_num_threads();
  std::optional<Workspace> room;
  try {
    room.emplace(arena_bytes_ + static_cast<size_t>(workspace_.shared) +
                     static_cast<size_t>(workers) * static_cast<size_t>(workspace_.local),
                 "compile");
  } catch (const OutOfMemory&) {
    return false;
  }
  std::unique_ptr<Frame> frame = take_frame(numbers);
  std::vector<char*>& bases = frame->bases;
  if (bases[kArena] != room->data() ||
      !std::equal(memory.begin(), memory.end(), bases.begin() + kFirstGiven)) {
    bases[kArena] = room->data();
    std::copy(memory.begin(), memory.end(), bases.begin() + kFirstGiven);
    for (size_t i = 0; i < places_.size(); ++i)
      frame->places[i] =
          reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(bases[places_[i].base]) +
                                  static_cast<uintptr_t>(places_[i].offset));
    for (const Group& group : groups_)
      for (const LaunchMember& member : group.members)
        member.launch->fill_past_caches(frame->places.data() + member.places,
                                        frame->slots.data() + member.slots);
  }
  const ProductMemory behind{room->data() + arena_bytes_, workers};
  for (const Step& step : steps_) run_step(step, *frame, behind);
  count_regions(true, merged_);
  count_schedule();
  delete idle_.exchange(frame.release());
  return true;
}

void Schedule::run_step(const Step& step, const Frame& frame, const ProductMemory& memory) const {
  if (step.kind == Step::Kind::Product) {
    const Product& product = products_[step.index];
    void* const* const places = frame.places.data() + product.places;
    return run_contraction(*product.contraction->geometry,
                           {places[0],
                            places[1],
                            places[2],
                            {places + 3, product.contraction->operands.size()},
                            frame.slots.data() + product.slots,
                            memory.data,
                            memory.workers});
  }
  const Group& group = groups_[step.index];
  const size_t first = group.members[0].places;
  if (group.is_copy && frame.places[first] == frame.places[first + 1]) return;
  group.tasks.run(group.members, frame.places.data(), frame.slots.data());
}

}  // namespace flambeau::compiler
