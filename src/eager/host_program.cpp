#include "eager/host_program.h"

#include <complex>

#include "base/error.h"
#include "eager/copy.h"
#include "eager/host_call.h"

namespace flambeau {
namespace {

using Role = ops::Definition::Role;

}  // namespace

HostProgram::HostProgram(const ops::Call& call, std::string_view key)
    : op_(call.definition()),
      arguments_(call.arguments().begin(), call.arguments().end()),
      results_(ops::infer(call)),
      integer_count_(static_cast<int>(ops::dynamic_values(call).integers.size())),
      hash_(Hasher().add(std::string_view("host kernel")).add(key).finish()) {
  for_each_info(arguments_, [&](const TensorInfo*& info) { inputs_.push_back(*info); });
}

void HostProgram::run(std::span<const Tensor> inputs, std::span<const Scalar> numbers,
                      const int64_t* integers, std::span<const Tensor> outputs) const {
  PreparedCall call;
  call.op = &op_;
  call.arguments = arguments_;
  call.inputs = SmallVector<Tensor, 4>(inputs.begin(), inputs.end());
  call.outputs = SmallVector<Tensor, 2>(outputs.begin(), outputs.end());
  auto plan = std::make_shared<CallPlan>();
  for (const Tensor& output : outputs) plan->results.push_back(output.info());
  call.plan = plan;
  size_t next = 0;
  for_each_info(call.arguments, [&](const TensorInfo*& info) { info = inputs[next++].impl(); });
  for (size_t i = 0; i < call.arguments.size(); ++i) {
    ops::Argument& argument = call.arguments[i];
    const Role role = op_.role(i, arguments_[i]);
    if (role == Role::Number) {
      auto& number = std::get<Scalar>(argument);
      const size_t parts = number.is_complex() ? 2 : 1;
      number = parts == 1
                   ? numbers[0]
                   : Scalar(std::complex<double>(numbers[0].to_double(), numbers[1].to_double()));
      numbers = numbers.subspan(parts);
    } else if (role == Role::Integer) {
      if (auto* one = std::get_if<Scalar>(&argument))
        *one = Scalar(*integers++);
      else if (auto* list = std::get_if<Ints>(&argument))
        for (int64_t& value : *list) value = *integers++;
    }
  }
  HostCallOnTensors host(call);
  op_.kernel(host);
  const Results made = host.take_outputs();
  for (size_t i = 0; i < made.size(); ++i)
    if (!made[i].is_same(outputs[i])) copy_elements(made[i], outputs[i]);
}

bool may_run_later(const ops::Call& call) {
  if (call.definition().random != nullptr) return false;
  for (const TensorInfo& result : ops::infer(call))
    for (const int64_t extent : result.sizes)
      if (extent < 0) return false;
  return true;
}

}  // namespace flambeau
