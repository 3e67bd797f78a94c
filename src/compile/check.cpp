#include "compile/check.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/settings.h"
#include "compile/block_rows.h"
#include "compile/interpret.h"
#include "runtime/allocator.h"

namespace flambeau::compiler {
namespace {

struct Differences {
  ForkSafe<std::mutex> mutex;
  std::atomic<bool> collecting = false;
  std::vector<Difference> list;
  static Differences& global() {
    static auto* const differences = new Differences;
    return *differences;
  }
};

/// Complex numbers as pairs.
ir::ArrayValue as_reals(ir::ArrayValue array) {
  if (!is_complex(array.dtype)) return array;
  array.dtype = real_dtype(array.dtype);
  array.shape.push_back(2);
  return array;
}

std::string value_text(const ir::ArrayValue& array, int64_t position) {
  const ir::Container bits = ir::element(array, position);
  std::ostringstream out;
  out.precision(17);
  out << ir::to_double(array.dtype, bits) << " (0x" << std::hex << bits << ")";
  return out.str();
}

/// How two tensors of one geometry differ: "" if they do not. NaN equals NaN.
std::string compare(const Tensor& program, const Tensor& one_by_one) {
  const ir::ArrayValue a = as_reals(array_of(program));
  const ir::ArrayValue b = as_reals(array_of(one_by_one));
  if (a.data == b.data) return {};
  int64_t count = 0;
  int64_t first = -1;
  for (int64_t i = 0; i < a.size(); ++i) {
    const ir::Container x = ir::element(a, i);
    const ir::Container y = ir::element(b, i);
    const bool same = x == y || (is_float(a.dtype) && std::isnan(ir::to_double(a.dtype, x)) &&
                                 std::isnan(ir::to_double(a.dtype, y)));
    if (same) continue;
    ++count;
    if (first < 0) first = i;
  }
  if (count == 0) return {};
  return concat(info(a.dtype).ir_name, list_text(a.shape), ": ", count, " of ", a.size(),
                " elements differ; number ", first, " is ", value_text(a, first),
                ", and one by one ", value_text(b, first));
}

Ref<Storage> copy_of(const Storage& storage) {
  const MemoryDeferral later(true);
  auto copy = make_ref<Storage>(storage.bytes());
  if (!storage.is_deferred() && storage.bytes() > 0)
    std::memcpy(copy->data(), storage.readable_data(), storage.bytes());
  return copy;
}

Tensor copy_of(const Tensor& tensor) {
  return Tensor(make_ref<TensorImpl>(copy_of(*tensor->storage), tensor.info(), tensor->offset));
}

bool is_whole(const Window& window, const Storage& storage) {
  return window.offset == 0 && window.info.is_contiguous() &&
         static_cast<size_t>(window.info.numel()) * size_of(window.info.dtype) == storage.bytes();
}

}  // namespace

RunName name_of(const Entry& entry) { return {entry.label, entry.line}; }

std::string text_of(const std::vector<RunName>& runs, const char* indent) {
  std::string text;
  for (const RunName& run : runs) {
    text += concat("\n", indent, run.label.empty() ? "run" : run.label);
    if (run.line) text += concat(" at ", run.line->text());
  }
  return text;
}

std::string text_of(const Difference& difference) {
  return concat("a program gives other bits than its operations one by one: ", difference.what,
                "\nThey ran as one program:", text_of(difference.region, "  "),
                "\nThe fewest that differ:", text_of(difference.smallest, "  "));
}

bool collecting_differences() { return Differences::global().collecting; }
bool checking() {
  static const bool always = bool_setting("FLAMBEAU_CHECK");
  return always || collecting_differences();
}

void begin_differences() {
  const std::lock_guard lock(Differences::global().mutex);
  Differences::global().list.clear();
  Differences::global().collecting = true;
}

std::vector<Difference> take_differences() {
  const std::lock_guard lock(Differences::global().mutex);
  return std::exchange(Differences::global().list, {});
}

std::vector<Difference> end_differences() {
  Differences::global().collecting = false;
  return take_differences();
}

void add_difference(Difference difference) {
  const std::lock_guard lock(Differences::global().mutex);
  Differences::global().list.push_back(std::move(difference));
}

Check::Check(const Recording& recording, const Program& program, const Frame& frame)
    : recording_(recording),
      program_(program),
      numbers_(frame.numbers),
      shifts_(frame.shifts),
      storages_(frame.storages),
      memory_(frame.storages.begin(), frame.storages.end()) {
  for (size_t slot = 0; slot < memory_.size(); ++slot) {
    if (memory_[slot]) continue;
    const MemoryDeferral at_first_use(true);
    memory_[slot] = make_ref<Storage>(frame.bytes[slot]);
  }
  initial_ = copy_of_memory();
  for (const Ref<Storage>& storage : initial_)
    ours_.push_back(storage ? copy_of(*storage) : nullptr);
  find_outputs();
  for (size_t i = 0; i < recording_.entries.size(); ++i) {
    try {
      run_one(static_cast<int32_t>(i), ours_);
    } catch (const OutOfMemory&) {
      // What nobody needs may be larger than memory.
      if (program_.flow.needed[i]) throw;
    }
    for (const Output& output : outputs_[i])
      for (size_t o = 0; o < program_.regions[output.region].outputs.size(); ++o)
        if (program_.regions[output.region].outputs[o] == output.window)
          expected_[output.region][o] = copy_of(tensor(output.window, ours_));
  }
}

/// Copies of what is written. Memory that nobody has written yet is given to both where it is read
/// or written in parts.
Memory Check::copy_of_memory() const {
  enum class First : uint8_t { None, Whole, Part };
  std::vector<First> first(memory_.size(), First::None);
  std::vector<bool> written(memory_.size(), false);
  for (const Entry& entry : recording_.entries) {
    for (const int32_t window : recording_.operands_of(entry.parameters))
      if (First& f = first[recording_.slot_of(window)]; f == First::None) f = First::Part;
    for (const Range range : {entry.blocks, entry.results})
      for (const int32_t window : recording_.operands_of(range)) {
        if (window < 0) continue;
        const size_t slot = recording_.slot_of(window);
        written[slot] = true;
        if (first[slot] == First::None)
          first[slot] = is_whole(recording_.windows[static_cast<size_t>(window)], *memory_[slot])
                            ? First::Whole
                            : First::Part;
      }
  }
  Memory copies(memory_.size());
  for (size_t slot = 0; slot < memory_.size(); ++slot) {
    if (!written[slot]) continue;
    if (first[slot] == First::Part) static_cast<void>(memory_[slot]->data());
    copies[slot] = copy_of(*memory_[slot]);
  }
  return copies;
}

/// For each value that a region gives, the entry that makes it.
void Check::find_outputs() {
  outputs_.resize(recording_.entries.size());
  for (size_t number = 0; number < program_.regions.size(); ++number) {
    const Region& region = program_.regions[number];
    expected_.emplace_back(region.outputs.size());
    for (const int32_t window : region.outputs) {
      if (window < 0) continue;
      for (size_t i = region.entries.size(); i-- > 0;) {
        const Entry& entry = recording_.entries[static_cast<size_t>(region.entries[i])];
        const auto results = recording_.operands_of(entry.results);
        if (std::find(results.begin(), results.end(), window) == results.end()) continue;
        outputs_[static_cast<size_t>(region.entries[i])].push_back({number, window});
        break;
      }
    }
  }
}

Tensor Check::tensor(int32_t window, const Memory& memory) const {
  const Window& w = recording_.windows[static_cast<size_t>(window)];
  const auto slot = static_cast<size_t>(w.slot);
  const int64_t offset = w.offset + (shifts_.empty() ? 0 : shifts_[slot]);
  return Tensor(make_ref<TensorImpl>(memory[slot] ? memory[slot] : memory_[slot], w.info, offset));
}

void Check::run_one(int32_t number, const Memory& memory) const {
  const Entry& entry = recording_.entries[static_cast<size_t>(number)];
  const auto tensors = [&](Range range) {
    std::vector<Tensor> list;
    for (const int32_t window : recording_.operands_of(range))
      list.push_back(window < 0 ? Tensor() : tensor(window, memory));
    return list;
  };
  run_in_blocks(*entry.program, *entry.shape, tensors(entry.blocks), tensors(entry.parameters),
                numbers_.subspan(static_cast<size_t>(entry.numbers.begin),
                                 static_cast<size_t>(entry.numbers.size())),
                std::span(recording_.integers)
                    .subspan(static_cast<size_t>(entry.integers.begin),
                             static_cast<size_t>(entry.integers.size())),
                tensors(entry.outputs));
}

void Check::run_merged(const Region& region, const Memory& memory) const {
  std::vector<Tensor> parameters;
  for (const int32_t window : region.parameters) parameters.push_back(tensor(window, memory));
  std::vector<Tensor> outputs;
  for (const int32_t window : region.outputs)
    outputs.push_back(window < 0 ? Tensor() : tensor(window, memory));
  std::vector<Scalar> numbers;
  for (const int32_t number : region.numbers)
    numbers.push_back(numbers_[static_cast<size_t>(number)]);
  const Ints integers = values_of(recording_, region.integers);
  std::shared_ptr<const BoundRun> bound;
  run_into(bound, *form_of(region), parameters, numbers, {integers.data(), integers.size()},
           outputs);
}

void Check::region_has_run(size_t number) {
  const Region& region = program_.regions[number];
  for (size_t o = 0; o < region.outputs.size(); ++o) {
    if (region.outputs[o] < 0) continue;
    const size_t slot = recording_.slot_of(region.outputs[o]);
    if (storages_[slot]) memory_[slot] = storages_[slot];
    const Tensor& wanted = expected_[number][o];
    if (difference_ || !wanted.defined()) continue;
    std::string what = compare(tensor(region.outputs[o], memory_), wanted);
    if (what.empty()) continue;
    difference_.emplace();
    difference_->what = std::move(what);
    for (const int32_t entry : region.entries)
      difference_->region.push_back(name_of(recording_.entries[static_cast<size_t>(entry)]));
    narrow(number);
  }
  expected_[number].clear();
}

void Check::end() {
  if (difference_) return;
  // What is seen has to be right in the end, whichever region wrote it.
  for (const Entry& entry : recording_.entries)
    for (const int32_t window : recording_.operands_of(entry.results)) {
      if (window < 0) continue;
      if (!program_.flow.seen[recording_.slot_of(window)]) continue;
      std::string what = compare(tensor(window, memory_), tensor(window, ours_));
      if (what.empty()) continue;
      difference_.emplace();
      difference_->what = concat("after all regions, ", what);
      difference_->region = difference_->smallest = {name_of(entry)};
      return;
    }
}

/// How a region of some runs differs from them one by one, after the runs `before`.
std::string Check::difference_of(const Region& region, const std::vector<int32_t>& before) const {
  Memory together;
  Memory one_by_one;
  for (const Ref<Storage>& storage : initial_) {
    together.push_back(storage ? copy_of(*storage) : nullptr);
    one_by_one.push_back(storage ? copy_of(*storage) : nullptr);
  }
  for (const int32_t entry : before) {
    run_one(entry, together);
    run_one(entry, one_by_one);
  }
  run_merged(region, together);
  for (const int32_t entry : region.entries) run_one(entry, one_by_one);
  for (const int32_t window : region.outputs) {
    if (window < 0) continue;
    std::string what = compare(tensor(window, together), tensor(window, one_by_one));
    if (!what.empty()) return what;
  }
  return {};
}

/// The program of some runs.
std::optional<Region> Check::merge_some(const std::vector<int32_t>& entries) const {
  std::vector<bool> is_stored;
  for (const Value& value : program_.flow.values) is_stored.push_back(value.stored);
  for (size_t i = 0; i < recording_.entries.size(); ++i) {
    if (std::find(entries.begin(), entries.end(), static_cast<int32_t>(i)) != entries.end())
      continue;
    const Range read = recording_.entries[i].parameters;
    for (int32_t o = read.begin; o < read.end; ++o)
      if (const int32_t value = program_.flow.value_of[static_cast<size_t>(o)]; value >= 0)
        is_stored[static_cast<size_t>(value)] = true;
  }
  return merge(recording_, program_.flow, entries, is_stored);
}

void Check::narrow(size_t number) {
  const std::vector<int32_t>& all = program_.regions[number].entries;
  difference_->smallest = difference_->region;
  difference_->program = flambeau::program_of(*program_.regions[number].program).text();
  std::vector<int32_t> earlier;
  for (size_t i = 0; i < number; ++i)
    earlier.insert(earlier.end(), program_.regions[i].entries.begin(),
                   program_.regions[i].entries.end());
  std::sort(earlier.begin(), earlier.end());
  for (size_t size = 2; size <= all.size(); ++size)
    for (size_t first = 0; first + size <= all.size(); ++first) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
      const std::vector<int32_t> some(begin, begin + static_cast<std::ptrdiff_t>(size));
      const std::optional<Region> region = merge_some(some);
      if (!region) continue;
      std::vector<int32_t> before = earlier;
      before.insert(before.end(), all.begin(), begin);
      std::string what;
      try {
        what = difference_of(*region, before);
      } catch (const std::exception& error) {
        what = error.what();
      }
      if (what.empty()) continue;
      difference_->what = std::move(what);
      difference_->program = flambeau::program_of(*region->program).text();
      difference_->smallest.clear();
      for (const int32_t entry : some)
        difference_->smallest.push_back(name_of(recording_.entries[static_cast<size_t>(entry)]));
      return;
    }
  // Each is right by itself: it ran on something else.
  difference_->what += "; by itself the region is right, so it ran too early or too late";
}

}  // namespace flambeau::compiler
