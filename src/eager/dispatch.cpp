#include "eager/dispatch.h"

#include <algorithm>

#include "base/bounded_cache.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/per_thread.h"
#include "base/recent_cache.h"
#include "eager/call_key.h"
#include "eager/copy.h"
#include "eager/host_call.h"
#include "eager/prepare.h"
#include "eager/recipe.h"
#include "runtime/allocator.h"
#include "tensor/overlap.h"

namespace flambeau {

using ops::Argument;
using ops::Arguments;
using ops::Call;
using ops::Definition;
using ops::Returns;
using ops::TensorRefs;

namespace {

/// The bytes that calls sharing a recipe have in common.
class KeyWriter {
 public:
  template <class T>
  void add(const T& value) {
    const auto* bytes = reinterpret_cast<const char*>(&value);
    bytes_.append(bytes, bytes + sizeof value);
  }
  void add_text(std::string_view text) {
    add(text.size());
    bytes_.append(text.begin(), text.end());
  }
  void add_tensor(const TensorInfo* info, const Call& call) {
    if (info == nullptr) return add<uint8_t>(0xff);
    const Definition& op = call.definition();
    add(info->dtype);
    add(static_cast<uint8_t>(info->dim()));
    const uint64_t fixed = op.fixed == nullptr ? 0 : op.fixed(call, tensors_++);
    if (op.fixed != nullptr) add(fixed);
    for (size_t i = 0; i < info->sizes.size(); ++i) {
      if (((fixed >> i) & 1) != 0)
        add(info->sizes[i]);
      else
        add(info->sizes[i] == 1);
    }
    if (!op.from_storage.empty())
      for (const int64_t stride : info->strides) add(stride);
  }
  std::string_view text() const { return {bytes_.data(), bytes_.size()}; }

 private:
  SmallVector<char, 192> bytes_;
  size_t tensors_ = 0;
};

int8_t sign_of(int64_t value) { return static_cast<int8_t>((value > 0) - (value < 0)); }

void add_argument(KeyWriter& key, const Call& call, size_t i) {
  const Definition& op = call.definition();
  const Argument& argument = call.arguments()[i];
  key.add(static_cast<uint8_t>(argument.index()));
  const Definition::Role role = ops::role_in(call, i);
  key.add(role);
  if (const auto* one = std::get_if<const TensorInfo*>(&argument)) {
    key.add_tensor(*one, call);
  } else if (const auto* list = std::get_if<TensorRefs>(&argument)) {
    key.add(list->size());
    for (const TensorInfo* info : *list) key.add_tensor(info, call);
  } else if (const auto* number = std::get_if<Scalar>(&argument)) {
    key.add(number->category());
    if (role == Definition::Role::Integer && op.traits[i].has_sign)
      key.add(sign_of(number->to_int()));
    if (role == Definition::Role::Static) {
      key.add(number->bits());
      if (number->is_complex()) key.add(number->imag());
    }
  } else if (const auto* ints = std::get_if<Ints>(&argument)) {
    key.add(ints->size());
    if (role == Definition::Role::Static)
      for (const int64_t value : *ints) key.add(value);
    if (role == Definition::Role::Integer && op.traits[i].has_sign)
      for (const int64_t value : *ints) key.add(sign_of(value));
  } else if (const auto* dtype = std::get_if<DType>(&argument)) {
    key.add(*dtype);
  } else if (const auto* text = std::get_if<std::string>(&argument)) {
    key.add_text(*text);
  } else if (const auto* reals = std::get_if<std::vector<double>>(&argument)) {
    key.add(reals->size());
    for (const double value : *reals) key.add(value);
  }
}

std::shared_ptr<const CallRecipe> find_recipe(const Call& call,
                                              const SmallVector<DType, 2>& output_dtypes) {
  constexpr size_t kMaxRecipes = 4096;
  static auto* const recipes =
      new BoundedCache<std::string, std::shared_ptr<const CallRecipe>>(kMaxRecipes);
  const Definition& op = call.definition();
  KeyWriter key;
  key.add(op.id);
  key.add(ops::default_dtype());
  key.add(output_dtypes.size());
  for (const DType dtype : output_dtypes) key.add(dtype);
  for (size_t i = 0; i < call.arguments().size(); ++i) add_argument(key, call, i);
  const std::string text(key.text());
  if (auto known = recipes->find(text)) return *std::move(known);
  return recipes->add(text, std::make_shared<const CallRecipe>(call, output_dtypes, text));
}

/// Equal but for the strides of axes of extent 1.
bool same_strides(const Ints& sizes, const Ints& a, const Ints& b) {
  for (size_t i = 0; i < sizes.size(); ++i)
    if (sizes[i] > 1 && a[i] != b[i]) return false;
  return true;
}

/// The tensors that an InPlace or Self call writes.
void find_written(PreparedCall& prepared, std::span<const Argument> arguments) {
  const Definition& op = *prepared.op;
  if (prepared.form == CallForm::InPlace) {
    for (const Argument& argument : arguments) {
      const auto* one = std::get_if<const TensorInfo*>(&argument);
      if (one != nullptr && *one != nullptr) {
        prepared.outputs.push_back(tensor_of(*one));
        return;
      }
    }
    throw TypeError(concat(op.parsed.name, "_: the first argument must be a tensor"));
  }
  for (size_t i = 0; i < arguments.size(); ++i)
    if (op.parsed.parameters[i].written)
      if (const auto* one = std::get_if<const TensorInfo*>(&arguments[i]))
        prepared.outputs.push_back(tensor_of(*one));
}

void check_writable(const PreparedCall& prepared) {
  for (const Tensor& output : prepared.outputs) check_writable(*prepared.op, *output.impl());
}

void check_outputs(const PreparedCall& prepared, const ops::ResultInfos& results) {
  const Definition& op = *prepared.op;
  const std::string_view name = op.parsed.name;
  check(prepared.outputs.size() == results.size(), [&] {
    return concat(name, ": expected ", results.size(), " output tensors, got ",
                  prepared.outputs.size());
  });
  check_writable(prepared);
  for (size_t i = 0; i < prepared.outputs.size(); ++i) {
    const Tensor& output = prepared.outputs[i];
    const TensorInfo& result = results[i];
    check(can_cast(result.dtype, output.dtype()), [&] {
      return concat(name, ": result type ", info(result.dtype).name,
                    " can't be cast to the desired output type ", info(output.dtype()).name);
    });
    // A kernel writes what it makes.
    check(op.kernel == nullptr || result.dtype == output.dtype(), [&] {
      return concat(name, ": Expected out tensor to have dtype ", info(result.dtype).name,
                    ", but got ", info(output.dtype()).name, " instead");
    });
    check(prepared.form != CallForm::InPlace || !op.real_result || !is_complex(output.dtype()),
          [&] { return concat("In-place ", name, " is not supported for complex tensors."); });
    if (output.sizes() == result.sizes) continue;
    check(prepared.form == CallForm::Out, [&] {
      return concat(name, "_: output with shape ", list_text(output.sizes()),
                    " doesn't match the broadcast shape ", list_text(result.sizes));
    });
  }
}

/// Refuses outputs of which several elements are at one place, unless they are all given the same.
void check_places(const PreparedCall& prepared, const Recipe& recipe) {
  for (size_t i = 0; i < prepared.outputs.size(); ++i) {
    if (!has_equal_places(prepared.outputs[i].info()) ||
        static_cast<const CallRecipe&>(recipe).gives_one_number(i))
      continue;
    throw RuntimeError(concat(
        prepared.op->parsed.name,
        ": unsupported operation: more than one element of the written-to tensor refers to a "
        "single memory location. Please clone() the tensor before performing the operation."));
  }
}

/// Refuses to write memory of which the call reads another element at the same time.
void check_apart(const PreparedCall& prepared) {
  for (const Tensor& output : prepared.outputs)
    for (const Tensor& input : prepared.inputs) {
      if (output->storage != input->storage || output.is_same(input)) continue;
      check(overlap_of(*output.impl(), *input.impl()) != Overlap::Partial, [&] {
        return concat(prepared.op->parsed.name,
                      ": unsupported operation: some elements of the input tensor and the "
                      "written-to tensor refer to a single memory location. Please clone() the "
                      "tensor before performing the operation.");
      });
    }
}

/// Refuses a view that reaches beyond the memory of its input.
void check_window(const PreparedCall& prepared, const CallPlan::Window& window) {
  const TensorInfo& info = window.info;
  int64_t last = window.offset;
  for (size_t i = 0; i < info.sizes.size(); ++i) {
    if (info.sizes[i] == 0) return;
    last += (info.sizes[i] - 1) * info.strides[i];
  }
  const auto bytes = static_cast<int64_t>(prepared.inputs[0]->storage->bytes());
  check(window.offset >= 0 && (last + 1) * static_cast<int64_t>(size_of(info.dtype)) <= bytes, [&] {
    return concat(prepared.op->parsed.name, ": sizes ", list_text(info.sizes), ", strides ",
                  list_text(info.strides), " and storage offset ", window.offset,
                  " are out of bounds for storage of size ", bytes);
  });
}

constexpr size_t kUnknown = SIZE_MAX;

/// Gives an out= tensor the shape of its result, in its own memory where there is room.
void resize_output(const Tensor& output, const TensorInfo& result) {
  if (output.sizes() == result.sizes) return;
  int64_t end = output->offset + 1;
  for (size_t i = 0; i < result.sizes.size(); ++i) end += (result.sizes[i] - 1) * result.strides[i];
  if (static_cast<size_t>(end) * size_of(output.dtype()) <= output->storage->bytes()) {
    output->sizes = result.sizes;
    output->strides = result.strides;
    return;
  }
  const Tensor fresh = Tensor::empty_strided(result.sizes, result.strides, output.dtype());
  output->storage = fresh->storage;
  output->offset = 0;
  output->sizes = fresh.sizes();
  output->strides = fresh.strides();
}

/// Memory for result number `i`.
Tensor fresh_result(const CallPlan& plan, size_t i) {
  const TensorInfo& info = plan.results[i];
  if (i < plan.bytes.size() && plan.bytes[i] != kUnknown)
    return Tensor::empty_again(info, plan.bytes[i]);
  Tensor result = Tensor::empty_strided(info.sizes, info.strides, info.dtype);
  plan.bytes.resize(std::max(plan.bytes.size(), i + 1), kUnknown);
  plan.bytes[i] = result->storage->bytes();
  return result;
}

Results finish_written(const PreparedCall& prepared) {
  Results results;
  for (const Tensor& output : prepared.outputs) {
    output.bump_version(prepared.op->parsed.name.c_str());
    results.push_back(output);
  }
  return results;
}

/// What a host kernel would make, from the types alone.
Results host_results(const PreparedCall& prepared) {
  if (!prepared.outputs.empty()) return finish_written(prepared);
  Results results;
  for (size_t i = 0; i < prepared.plan->results.size(); ++i) {
    const Ints& sizes = prepared.plan->results[i].sizes;
    check<NotImplementedError>(
        std::all_of(sizes.begin(), sizes.end(), [](int64_t size) { return size >= 0; }), [&] {
          return concat(prepared.op->parsed.name,
                        ": the shape of its result depends on values, which "
                        "meta tensors do not have");
        });
    results.push_back(fresh_result(*prepared.plan, i));
  }
  return results;
}

Results run_host(const PreparedCall& prepared) {
  if (prepared.without_memory) return host_results(prepared);
  HostCallOnTensors host(prepared);
  prepared.op->kernel(host);
  Results results = host.take_outputs();
  if (prepared.outputs.empty()) return results;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].is_same(prepared.outputs[i])) continue;
    resize_output(prepared.outputs[i], results[i].info());
    copy_elements(results[i], prepared.outputs[i]);
  }
  return finish_written(prepared);
}

/// The same by the kernel's executable, which the sink of this thread may take over.
Results run_host_later(const PreparedCall& prepared, const Executable& executable) {
  Ints integers = prepared.plan->integers;
  for (const TensorInfo& result : prepared.plan->results)
    integers.append(result.sizes.begin(), result.sizes.end());
  Results results(prepared.plan->results.size());
  std::shared_ptr<const BoundRun> none;
  run_into(none, executable, {prepared.inputs.data(), prepared.inputs.size()},
           {prepared.numbers.data(), prepared.numbers.size()}, {integers.data(), integers.size()},
           {results.data(), results.size()});
  if (prepared.outputs.empty()) return results;
  for (size_t i = 0; i < results.size(); ++i) {
    resize_output(prepared.outputs[i], results[i].info());
    copy_elements(results[i], prepared.outputs[i]);
  }
  return finish_written(prepared);
}

/// Counts Definition::from_storage from the first tensor's place.
void count_from_input(PreparedCall& prepared) {
  const int parameter = prepared.op->parsed.index_of(prepared.op->from_storage);
  Argument& argument = prepared.arguments[static_cast<size_t>(parameter)];
  const auto* const place = std::get_if<Scalar>(&argument);
  argument = Scalar(place == nullptr ? int64_t{0} : place->to_int() - prepared.inputs[0]->offset);
}

/// Everything that is the same in all calls of one key. Sets the arguments of `prepared`, too.
std::shared_ptr<const CallPlan> make_plan(PreparedCall& prepared,
                                          std::span<const Argument> arguments) {
  const Definition& op = *prepared.op;
  auto plan = std::make_shared<CallPlan>();
  prepared.arguments = Arguments(arguments.begin(), arguments.end());
  if (ops::has_canonical_form(op)) ops::canonicalize(op, prepared.arguments);
  if (!op.from_storage.empty()) count_from_input(prepared);
  const Call call(op, {prepared.arguments.data(), prepared.arguments.size()});
  plan->results = ops::infer(call);
  ops::DynamicValues values = ops::dynamic_values(call);
  plan->numbers = std::move(values.numbers);
  plan->integers = std::move(values.integers);
  SmallVector<DType, 2> output_dtypes;
  if (!prepared.outputs.empty()) {
    check_outputs(prepared, plan->results);
    for (const Tensor& output : prepared.outputs) output_dtypes.push_back(output.dtype());
  }
  if (op.alias != nullptr && prepared.outputs.empty()) {
    ops::AliasInfo alias{.offset = prepared.inputs[0]->offset};
    op.alias(call, alias);
    plan->window = {{plan->results[0].dtype, alias.sizes, alias.strides}, alias.offset, false};
    check_window(prepared, *plan->window);
  }
  prepared.plan = plan;
  if (op.checks != nullptr && !prepared.without_memory) {
    const auto check_arguments = [&] {
      HostCallOnTensors host(prepared);
      op.checks(host);
    };
    if (RunSink* const sink = run_sink())
      sink->check_values(prepared, check_arguments);
    else
      check_arguments();
  }
  plan->recipe = find_recipe(call, output_dtypes);
  check_places(prepared, *plan->recipe);
  return plan;
}

}  // namespace

bool may_repeat(const Definition& op, CallForm form) {
  return form != CallForm::Out && op.kernel == nullptr && op.checks == nullptr &&
         op.random == nullptr;
}

SmallVector<Scalar, 2> numbers_of(const Definition& op, const CallPlan& plan,
                                  std::span<const Argument> arguments) {
  if (!numbers_are_free(op)) return plan.numbers;
  SmallVector<Scalar, 2> numbers;
  for (size_t i = 0; i < arguments.size(); ++i)
    if (op.role(i, arguments[i]) == Definition::Role::Number)
      ops::append_number(numbers, std::get<Scalar>(arguments[i]));
  return numbers;
}

void check_writable(const Definition& op, const TensorImpl& output) {
  check(!output.storage->read_only(), [&] {
    return concat(op.parsed.name,
                  ": the output's memory is read-only (it belongs to a read-only array or ",
                  "mapped file); clone() it first");
  });
}

/// Refuses meta tensors beside others; but numbers and indices may be anywhere.
static void check_devices(const PreparedCall& prepared) {
  const auto name_of = [](const Tensor& tensor) { return tensor.is_meta() ? "meta" : "cpu"; };
  const Tensor* first = nullptr;
  for (const Tensor& input : prepared.inputs) {
    if (input.dim() == 0 || !(input.is_meta() || is_inexact(input.dtype()))) continue;
    if (first == nullptr) first = &input;
    check(!prepared.outputs.empty() || input.is_meta() == first->is_meta(), [&] {
      return concat(prepared.op->parsed.name, ": Tensor on device ", name_of(input),
                    " is not on the expected device ", name_of(*first), "!");
    });
  }
}

static void note_place(const PreparedCall& prepared, std::span<const Argument> arguments) {
  const int parameter = prepared.op->parsed.index_of(prepared.op->from_storage);
  RunSink* const sink = run_sink();
  if (sink != nullptr && std::holds_alternative<Scalar>(arguments[static_cast<size_t>(parameter)]))
    sink->note_offset(prepared.inputs[0]);
}

PreparedCall prepare(const Definition& op, std::span<const Argument> arguments, CallForm form,
                     std::span<const Tensor> out) {
  PreparedCall prepared;
  prepared.op = &op;
  prepared.form = form;
  for (const Argument& argument : arguments) {
    if (const auto* one = std::get_if<const TensorInfo*>(&argument)) {
      if (*one != nullptr) prepared.inputs.push_back(tensor_of(*one));
    } else if (const auto* list = std::get_if<TensorRefs>(&argument)) {
      for (const TensorInfo* info : *list)
        if (info != nullptr) prepared.inputs.push_back(tensor_of(info));
    }
  }
  if (form == CallForm::Out) {
    for (const Tensor& output : out) prepared.outputs.push_back(output);
  } else if (form == CallForm::InPlace || op.returns == Returns::Self) {
    find_written(prepared, arguments);
  }
  const auto span_of = [](const auto& list) {
    return std::span<const Tensor>(list.data(), list.size());
  };
  if (runs_without_memory(span_of(prepared.inputs), span_of(prepared.outputs))) [[unlikely]] {
    prepared.without_memory = true;
    if (!WithoutMemory::current()) check_devices(prepared);
  }
  if (!prepared.without_memory) check_apart(prepared);
  if (!op.from_storage.empty()) [[unlikely]]
    note_place(prepared, arguments);
  if (!may_repeat(op, form)) {
    prepared.plan = make_plan(prepared, arguments);
    prepared.numbers = prepared.plan->numbers;
    if (op.random != nullptr && op.kernel == nullptr) {
      const Call call(op, {prepared.arguments.data(), prepared.arguments.size()});
      prepared.numbers.push_back(
          Scalar(!prepared.without_memory && op.random(call) ? random_key(call) : int64_t{0}));
    }
    return prepared;
  }
  constexpr size_t kRecentCalls = 1024;
  static constinit thread_local PerThread<RecentCache<CallPlan, kRecentCalls>> recent;
  const CallKey key = call_key(op, arguments, form);
  prepared.plan = recent->find({key.data(), key.size()}).value;
  if (prepared.plan == nullptr) {
    // Found anew: the rules of the op may have used the table.
    prepared.plan = make_plan(prepared, arguments);
    recent->find({key.data(), key.size()}).value = prepared.plan;
  } else {
    check_writable(prepared);
    // The key says where the input lies in its storage, and not how large that is.
    const auto& window = prepared.plan->window;
    if (window && !window->from_input) check_window(prepared, *window);
  }
  prepared.numbers = numbers_of(op, *prepared.plan, arguments);
  return prepared;
}

std::span<const int64_t> backward_integers(const PreparedCall& prepared,
                                           std::span<const Tensor> results) {
  Ints& integers = prepared.plan->backward_integers;
  if (integers.empty()) {
    integers = prepared.plan->integers;
    for (const Tensor& input : prepared.inputs)
      integers.append(input.sizes().begin(), input.sizes().end());
    for (const Tensor& result : results)
      integers.append(result.sizes().begin(), result.sizes().end());
  }
  return {integers.data(), integers.size()};
}

Results execute(const PreparedCall& prepared, const Derivative* derivative,
                std::vector<Tensor>* saved) try {
  if (prepared.without_memory && !WithoutMemory::current()) {
    const WithoutMemory shapes_alone;
    return execute(prepared, derivative, saved);
  }
  const Definition& op = *prepared.op;
  const auto& recipe = static_cast<const CallRecipe&>(*prepared.plan->recipe);
  if (op.kernel != nullptr)
    return run_sink() != nullptr && !prepared.without_memory && recipe.host() != nullptr
               ? run_host_later(prepared, *recipe.host())
               : run_host(prepared);
  const Executable& forward = derivative != nullptr ? *derivative->forward : *recipe.forward();
  const std::span<const Tensor> inputs(prepared.inputs.data(), prepared.inputs.size());
  const std::span<const Scalar> numbers(prepared.numbers.data(), prepared.numbers.size());
  const std::span<const int64_t> integers(prepared.plan->integers.data(),
                                          prepared.plan->integers.size());
  const size_t result_count = prepared.plan->results.size();

  // The sink of a thread would know of views that are made from their input.
  std::optional<CallPlan::Window>& window = prepared.plan->window;
  if (window && (!window->from_input || run_sink() == nullptr))
    return {inputs[0].window(window->info,
                             window->offset + (window->from_input ? inputs[0]->offset : 0))};

  Results results;
  if (!prepared.outputs.empty()) {
    for (size_t i = 0; i < result_count; ++i) {
      resize_output(prepared.outputs[i], prepared.plan->results[i]);
      results.push_back(prepared.outputs[i]);
    }
  } else {
    for (size_t i = 0; i < result_count; ++i) {
      const bool may_alias =
          op.returns == Returns::View || (op.returns == Returns::MaybeView && is_alias(forward, i));
      results.push_back(may_alias ? Tensor() : fresh_result(*prepared.plan, i));
    }
  }
  if (derivative != nullptr)
    results.resize(result_count + static_cast<size_t>(derivative->saved_count));
  std::shared_ptr<const BoundRun> other;
  run_into(&forward == recipe.forward().get() ? prepared.plan->run : other, forward, inputs,
           numbers, integers, {results.data(), results.size()});
  if (results.size() > result_count) {
    if (saved != nullptr) saved->assign(results.begin() + result_count, results.end());
    results.resize(result_count);
  }
  if (!prepared.outputs.empty()) return finish_written(prepared);

  // A view that the caller must be able to tell from its input is a tensor of its own; a call that
  // changes nothing gives the input itself, if its strides are those asked for.
  for (size_t i = 0; i < result_count; ++i) {
    Tensor& result = results[i];
    const bool is_input = std::any_of(inputs.begin(), inputs.end(),
                                      [&](const Tensor& input) { return result.is_same(input); });
    if (!is_input) continue;
    if (op.returns == Returns::View) {
      result = result.alias(result.sizes(), result.strides(), result->offset);
    } else if (!same_strides(result.sizes(), result.strides(), prepared.plan->results[i].strides)) {
      const Tensor copy =
          Tensor::empty_strided(result.sizes(), prepared.plan->results[i].strides, result.dtype());
      copy_elements(result, copy);
      result = copy;
    }
  }
  const bool has_window = op.returns == Returns::View || op.returns == Returns::MaybeView;
  if (has_window && results.size() == 1 && (saved == nullptr || saved->empty()) &&
      !results[0].is_same(inputs[0]) && results[0]->storage == inputs[0]->storage &&
      results[0].dtype() == inputs[0].dtype())
    window = {results[0].info(), results[0]->offset - inputs[0]->offset, true};
  return results;
} catch (const OutOfMemory& error) {
  const Call call(*prepared.op, {prepared.arguments.data(), prepared.arguments.size()});
  throw OutOfMemory(call.name(), error.reason());
}

Results call_without_tape(const Definition& op, std::span<const Argument> arguments, CallForm form,
                          std::span<const Tensor> out) {
  return execute(prepare(op, arguments, form, out));
}

}  // namespace flambeau
