#include "compile/interpret.h"

#include <algorithm>
#include <cstring>

#include "eager/host_program.h"
#include "eager/run_at_once.h"

namespace flambeau::compiler {
namespace {

/// Calls visit(address) for each element in row-major order.
template <class Visit>
void for_elements(const Tensor& tensor, void* first, const Visit& visit) {
  const auto size = static_cast<int64_t>(size_of(tensor.dtype()));
  ir::for_each_index(tensor.sizes(), [&](const Ints& index) {
    visit(static_cast<std::byte*>(first) + ir::offset_of(index, tensor.strides()) * size);
  });
}

void store(const ir::ArrayValue& array, const Tensor& tensor) {
  const size_t size = size_of(tensor.dtype());
  const std::byte* from = array.data.data();
  for_elements(tensor, tensor.data_ptr(), [&](std::byte* to) {
    std::memcpy(to, from, size);
    from += size;
  });
}

/// Runs as ever, which places the results, and then writes what the interpreter gives.
class Interpreter final : public RunSink {
 public:
  bool take(const PlanRun& run) override {
    const auto& [executable, parameters, numbers, integers, results] = run;
    // A host kernel is its own definition.
    if (host_program_of(executable) != nullptr) return false;
    std::vector<ir::ArrayValue> arrays;
    for (const Tensor& parameter : parameters) arrays.push_back(array_of(parameter));
    const std::vector<ir::ArrayValue> values =
        ir::interpret(program_of(executable), arrays, numbers, integers);
    const Results outputs(results.begin(), results.end());
    {
      const RunAtOnce now;
      std::shared_ptr<const BoundRun> none;
      run_into(none, executable, parameters, numbers, integers, results);
    }
    for (size_t i = 0; i < results.size(); ++i) {
      // A window of a parameter holds what it has to.
      const bool given = outputs[i].defined();
      const bool is_window =
          std::any_of(parameters.begin(), parameters.end(),
                      [&](const Tensor& p) { return p->storage == results[i]->storage; });
      if (given || !is_window) store(values[i], results[i]);
    }
    return true;
  }
};

}  // namespace

ir::ArrayValue array_of(const Tensor& tensor) {
  ir::ArrayValue array(tensor.dtype(), tensor.sizes());
  void* const first = const_cast<void*>(tensor.readable_data_ptr());
  if (tensor.is_contiguous()) {
    if (!array.data.empty()) std::memcpy(array.data.data(), first, array.data.size());
    return array;
  }
  const size_t size = size_of(tensor.dtype());
  std::byte* to = array.data.data();
  for_elements(tensor, first, [&](const std::byte* from) {
    std::memcpy(to, from, size);
    to += size;
  });
  return array;
}

Interpreted::Interpreted() : before_(run_sink()) {
  static Interpreter interpreter;
  set_run_sink(&interpreter);
}
Interpreted::~Interpreted() { set_run_sink(before_); }

}  // namespace flambeau::compiler
