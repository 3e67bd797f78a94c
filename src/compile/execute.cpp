#include "compile/execute.h"

#include "compile/program.h"
#include "runtime/compiler.h"

namespace flambeau::compile {
namespace {

class Execution {
 public:
  explicit Execution(Recording& recording)
      : recording_(recording), program_(program_of(recording)) {}

  void run() {
    size_t next = 0;
    try {
      for (const int32_t slot : program_->unused) let_go(slot);
      for (; next < program_->regions.size(); ++next) {
        run(program_->regions[next]);
        for (const int32_t slot : program_->last_uses[next]) let_go(slot);
      }
    } catch (...) {
      for (; next < program_->regions.size(); ++next) fail_outputs(program_->regions[next]);
      for (size_t slot = 0; slot < recording_.slots.size(); ++slot)
        if (recording_.slots[slot].storage) let_go(static_cast<int32_t>(slot));
      throw;
    }
  }

 private:
  template <class Windows>
  SmallVector<Tensor, 8> tensors(const Windows& windows) const {
    SmallVector<Tensor, 8> list;
    for (const int32_t window : windows)
      list.push_back(window >= 0 ? recording_.tensor(window) : Tensor());
    return list;
  }

  void run(const Region& region) {
    if (region.facts && run_merged(region)) return;
    for (const int32_t entry : region.entries)
      run(recording_.entries[static_cast<size_t>(entry)]);
  }

  /// False if a kernel is not compiled yet. Nothing that the single runs read is lost: kernels
  /// write in place only where one kernel is all there is.
  bool run_merged(const Region& region) try {
    const CompileLater never_wait;
    const auto parameters = tensors(region.parameters);
    const auto outputs = tensors(region.outputs);
    SmallVector<Scalar, 8> numbers;
    for (const int32_t number : region.numbers)
      numbers.push_back(recording_.numbers[static_cast<size_t>(number)]);
    Ints integers;
    for (const IntegerSource& source : region.integers)
      integers.push_back(value_of(recording_, source));
    flambeau::run(*region.program, {parameters.data(), parameters.size()},
                  {numbers.data(), numbers.size()}, {integers.data(), integers.size()},
                  {outputs.data(), outputs.size()});
    return true;
  } catch (const KernelMissing&) {
    return false;
  }

  void run(const Entry& entry) {
    const auto parameters = tensors(recording_.operands_of(entry.parameters));
    const auto blocks = tensors(recording_.operands_of(entry.blocks));
    const auto outputs = tensors(recording_.operands_of(entry.outputs));
    run_in_blocks(*entry.program, *entry.shape, {blocks.data(), blocks.size()},
                  {parameters.data(), parameters.size()},
                  {recording_.numbers.data() + entry.numbers.begin,
                   static_cast<size_t>(entry.numbers.size())},
                  {recording_.integers.data() + entry.integers.begin,
                   static_cast<size_t>(entry.integers.size())},
                  {outputs.data(), outputs.size()});
  }

  /// No run touches the slot any more: others may.
  void let_go(int32_t slot) {
    Ref<Storage>& storage = recording_.slots[static_cast<size_t>(slot)].storage;
    storage->set_pending(nullptr, 0);
    storage = nullptr;
  }

  void fail_outputs(const Region& region) {
    for (const int32_t window : region.outputs) {
      if (window < 0) continue;
      const auto slot = static_cast<size_t>(recording_.windows[static_cast<size_t>(window)].slot);
      if (const Ref<Storage>& storage = recording_.slots[slot].storage)
        if (storage->is_deferred()) storage->fail();
    }
  }

  Recording& recording_;
  std::shared_ptr<const Program> program_;
};

}  // namespace

void execute(Recording& recording) { Execution(recording).run(); }

}  // namespace flambeau::compile
