#include "eager/bound_run.h"

#include <algorithm>
#include <atomic>

#include "eager/step_times.h"
#include "runtime/allocator.h"

namespace flambeau {
namespace {

/// What tables may take: of one run, and all together. What has no room is computed at each run.
constexpr size_t kMostOfARun = size_t{8} << 20;
constexpr size_t kMostOfAll = size_t{64} << 20;
std::atomic<size_t> kept_bytes = 0;

}  // namespace

KeptBytes::KeptBytes(size_t bytes) {
  if (bytes == 0 || bytes > kMostOfARun) return;
  if (kept_bytes.fetch_add(bytes) + bytes > kMostOfAll)
    kept_bytes -= bytes;
  else
    bytes_ = bytes;
}
KeptBytes::~KeptBytes() { kept_bytes -= bytes_; }

void BoundRun::append(BoundRun inner, std::span<const int> given, size_t first_made) {
  const size_t made_before = made.size();
  const size_t launches_before = launches.size();
  const size_t contractions_before = contractions.size();
  const auto move = [&](int& place) {
    if (place < 0) return;
    const auto inside = static_cast<size_t>(place);
    place = inside < given.size()
                ? given[inside]
                : static_cast<int>(first_made + made_before + inside - given.size());
  };
  for (Made& m : inner.made) {
    move(m.window_of);
    made.push_back(std::move(m));
  }
  for (BoundLaunch& launch : inner.launches) {
    for (BoundLaunch::Pointer& pointer : launch.pointers) move(pointer.buffer);
    launches.push_back(std::move(launch));
  }
  for (BoundContraction& contraction : inner.contractions) {
    for (BoundContraction::Place* p : {&contraction.a, &contraction.b, &contraction.out})
      move(p->buffer);
    for (BoundContraction::Place& operand : contraction.operands) move(operand.buffer);
    contractions.push_back(std::move(contraction));
  }
  for (Step step : inner.steps) {
    step.index += step.kind == Step::Kind::Launch     ? launches_before
                  : step.kind == Step::Kind::Contract ? contractions_before
                                                      : made_before;
    steps.push_back(step);
  }
  of_tables.add(std::move(inner.of_tables));
}

void BoundRun::run(std::span<const Tensor> parameters, std::span<const Scalar> numbers,
                   std::span<Tensor> given) const {
  const size_t given_end = parameters.size() + given.size();
  SmallVector<void*, 12> memory(given_end + made.size());
  for (size_t i = 0; i < parameters.size(); ++i)
    memory[i] = const_cast<void*>(parameters[i].readable_data_ptr());
  for (size_t i = 0; i < given.size(); ++i)
    if (given[i].defined()) memory[parameters.size() + i] = given[i].data_ptr();

  SmallVector<Tensor, 4> fresh;
  const auto tensor = [&](int number) -> const Tensor& {
    const auto place = static_cast<size_t>(number);
    if (place >= given_end) return fresh[place - given_end];
    return place < parameters.size() ? parameters[place] : given[place - parameters.size()];
  };
  StepTimes* const times = StepTimes::take(owner.get());
  for (const Step& step : steps) {
    if (step.kind == Step::Kind::Launch) {
      launches[step.index].run(memory.data(), numbers);
      if (times != nullptr) times->add(step.planned);
    } else if (step.kind == Step::Kind::Contract) {
      contractions[step.index].run(memory.data(), numbers);
      if (times != nullptr) times->add(step.planned);
    } else if (step.kind == Step::Kind::Drop) {
      fresh[step.index] = Tensor();
    } else {
      const Made& m = made[step.index];
      void*& place = memory[given_end + step.index];
      if (m.table.defined()) {
        fresh.push_back(m.table);
        place = const_cast<void*>(m.table.readable_data_ptr());
      } else if (m.window_of < 0) {
        fresh.push_back(Tensor::empty_strided(m.info.sizes, m.info.strides, m.info.dtype));
        place = fresh.back().data_ptr();
      } else {
        const Tensor& source = tensor(m.window_of);
        fresh.push_back(source.window(m.info, source->offset + m.offset));
        place = const_cast<void*>(fresh.back().readable_data_ptr());  // nothing writes windows
      }
    }
  }
  for (size_t i = 0; i < given.size(); ++i)
    if (!given[i].defined()) given[i] = tensor(results[i]);
}

int64_t BoundRun::cost() const {
  int64_t sum = 0;
  for (const BoundLaunch& launch : launches) sum += launch.cost;
  for (const BoundContraction& contraction : contractions) sum += cost_of(*contraction.geometry);
  return sum;
}

bool BoundRun::makes_late() const {
  const auto is_made = [&](const Step& step) {
    return step.kind == Step::Kind::Make && !made[step.index].table.defined() &&
           made[step.index].window_of < 0;
  };
  const auto writes = [](const Step& step) {
    return step.kind == Step::Kind::Launch || step.kind == Step::Kind::Contract;
  };
  return std::any_of(std::find_if(steps.begin(), steps.end(), writes), steps.end(), is_made);
}

void BoundRun::run_on(std::span<void*> memory, std::span<const Scalar> numbers,
                      bool makes_first) const {
  const size_t first = memory.size() - made.size();
  /// Gives back what is still there.
  struct Fresh {
    std::span<void*> memory;
    const std::vector<Made>& made;
    std::vector<bool> held;
    void drop(size_t i) {
      if (held[i]) deallocate(memory[i], made[i].bytes());
      held[i] = false;
    }
    ~Fresh() {
      for (size_t i = 0; i < held.size(); ++i) drop(i);
    }
  } fresh{memory.subspan(first), made, std::vector<bool>(made.size())};
  const auto make = [&](size_t index) {
    const Made& m = made[index];
    void*& place = memory[first + index];
    if (m.table.defined()) {
      place = const_cast<void*>(m.table.readable_data_ptr());
    } else if (m.window_of < 0) {
      place = allocate(m.bytes(), "Tensor");
      fresh.held[index] = true;
    } else {
      void* const source = memory[static_cast<size_t>(m.window_of)];
      place = source == nullptr ? nullptr
                                : static_cast<char*>(source) +
                                      m.offset * static_cast<int64_t>(size_of(m.info.dtype));
    }
  };
  StepTimes* const times = StepTimes::take(owner.get());
  for (const Step& step : steps)
    if (makes_first && step.kind == Step::Kind::Make) make(step.index);
  for (const Step& step : steps) {
    switch (step.kind) {
      case Step::Kind::Launch:
        launches[step.index].run(memory.data(), numbers);
        if (times != nullptr) times->add(step.planned);
        break;
      case Step::Kind::Contract:
        contractions[step.index].run(memory.data(), numbers);
        if (times != nullptr) times->add(step.planned);
        break;
      case Step::Kind::Drop:
        fresh.drop(step.index);
        break;
      case Step::Kind::Make:
        if (!makes_first) make(step.index);
        break;
    }
  }
}

}  // namespace flambeau
