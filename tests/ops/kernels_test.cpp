// Every definition's samples through eager dispatch and compiled kernels, in every dtype and
// layout, against the interpreter to the bit. Nothing here names an operation.

#include <gtest/gtest.h>

#include "eager/recipe.h"
#include "tensor/generator.h"
#include "tests/eager/array_of.h"
#include "tests/ops/sample_call.h"

namespace flambeau::testing {
namespace {

using ops::Call;

enum class Layout : uint8_t { Contiguous, Strided, Permuted, Broadcast };
constexpr Layout kLayouts[] = {Layout::Contiguous, Layout::Strided, Layout::Permuted,
                               Layout::Broadcast};
constexpr const char* kLayoutNames[] = {"contiguous", "strided", "permuted", "broadcast"};
constexpr DType kDTypes[] = {DType::Float32, DType::Float64, DType::BFloat16,
                             DType::Float16, DType::Int64,   DType::Int32,
                             DType::Int16,   DType::UInt8,   DType::Bool};

/// A tensor of the array's elements. Broadcast: `array` becomes equal along the first axis that
/// has several elements.
Tensor tensor_in(ArrayValue& array, Layout layout) {
  const Ints& sizes = array.shape;
  Ints strides = contiguous_strides(sizes);
  int64_t offset = 0;
  switch (layout) {
    case Layout::Contiguous:
      break;
    case Layout::Strided:
      for (int64_t& stride : strides) stride *= 2;
      offset = 1;
      break;
    case Layout::Permuted: {
      int64_t next = 1;
      for (size_t axis = 0; axis < sizes.size(); ++axis) {
        strides[axis] = next;
        next *= std::max<int64_t>(sizes[axis], 1);
      }
      break;
    }
    case Layout::Broadcast: {
      size_t axis = 0;
      while (axis < sizes.size() && sizes[axis] < 2) ++axis;
      if (axis == sizes.size()) break;
      const ArrayValue given = real_parts(array);
      Ints first = contiguous_strides(given.shape);
      first[axis] = 0;
      array.data = ir::strided_copy(given, given.shape, 0, first).data;
      strides[axis] = 0;
      break;
    }
  }
  int64_t span = offset + 1;
  for (size_t axis = 0; axis < sizes.size(); ++axis)
    span += std::max<int64_t>(sizes[axis] - 1, 0) * strides[axis];
  const Tensor storage = Tensor::empty({span}, array.dtype);
  Tensor tensor = storage.alias(sizes, strides, offset);
  const auto size = static_cast<int64_t>(size_of(array.dtype));
  const std::byte* from = array.data.data();
  for_each_offset(sizes, strides, [&](int64_t place) {
    std::memcpy(static_cast<char*>(tensor.data_ptr()) + place * size, from,
                static_cast<size_t>(size));
    from += size;
  });
  return tensor;
}

/// A sample's call on tensors.
class TensorCall {
 public:
  TensorCall(const Definition& d, const Sample& sample, DType dtype, Layout layout)
      : given_(sample), sample_(d, sample, dtype) {
    for (ArrayValue& input : sample_.inputs) tensors_.push_back(tensor_in(input, layout));
    arguments_ = sample_.arguments;
    const auto replace = [&](const TensorInfo*& given) {
      for (size_t i = 0; i < tensors_.size(); ++i)
        if (sample_.infos[i].get() == given) {
          given = tensors_[i].impl();
          return;
        }
    };
    for (Argument& argument : arguments_) {
      if (auto* one = std::get_if<const TensorInfo*>(&argument)) replace(*one);
      if (auto* list = std::get_if<ops::TensorRefs>(&argument))
        for (const TensorInfo*& item : *list) replace(item);
    }
  }
  PreparedCall prepare() const {
    return flambeau::prepare(sample_.definition, {arguments_.data(), arguments_.size()});
  }
  const SampleCall& sample() const { return sample_; }
  const Sample& given() const { return given_; }

 private:
  Sample given_;
  SampleCall sample_;
  std::vector<Tensor> tensors_;
  Arguments arguments_;
};

/// True for a view of the storage rather than of the elements (its geometry is the same whatever
/// the strides of the input are), which only a contiguous input makes comparable.
bool sees_storage(const TensorCall& call, const PreparedCall& prepared) {
  const Definition& d = *prepared.op;
  if (d.alias == nullptr || !prepared.plan->window) return false;
  SampleCall plain(call.sample().definition, call.given(), call.sample().inputs[0].dtype);
  ops::canonicalize(d, plain.arguments);
  ops::AliasInfo of_plain;
  d.alias(plain.call(), of_plain);
  return of_plain.strides == prepared.plan->window->info.strides;
}

/// Runs one call and compares it; false if the call is refused.
bool compare_results(const Definition& d, const Sample& sample, DType dtype, Layout layout,
                     bool with_gradient) {
  const TensorCall call(d, sample, dtype, layout);
  default_generator().manual_seed(1);
  std::optional<PreparedCall> made;
  try {
    made = call.prepare();
  } catch (const InternalError&) {
    throw;
  } catch (const Error&) {
    return false;
  }
  const PreparedCall& prepared = *made;
  if (layout != Layout::Contiguous && sees_storage(call, prepared)) return true;
  std::vector<ArrayValue> inputs;
  for (const Tensor& input : prepared.inputs) inputs.push_back(array_of(input));

  uint64_t floats = 0;
  for (size_t i = 0; i < prepared.inputs.size(); ++i)
    if (is_float(prepared.inputs[i].dtype())) floats |= input_bit(i);
  const auto& recipe = static_cast<const CallRecipe&>(*prepared.plan->recipe);
  const bool derives =
      with_gradient && d.differentiable && d.returns != ops::Returns::Self && floats != 0;
  const Derivative* derivative = derives ? &recipe.derivative(floats) : nullptr;
  std::vector<Tensor> saved;
  Results results;
  default_generator().manual_seed(1);
  try {
    results = execute(prepared, derivative, &saved);
  } catch (const InternalError&) {
    throw;
  } catch (const Error&) {
    return false;
  }

  if (d.returns == ops::Returns::View && !prepared.inputs.empty())
    for (const Tensor& result : results)
      EXPECT_TRUE(result->storage == prepared.inputs[0]->storage) << "a view has memory of its own";

  std::vector<ArrayValue> wanted;
  if (d.kernel == nullptr) {
    wanted = ir::interpret(program_of(*recipe.forward()), inputs, prepared.numbers,
                           prepared.plan->integers);
  } else if (layout != Layout::Contiguous) {
    const TensorCall plain(d, sample, dtype, Layout::Contiguous);
    const PreparedCall other = plain.prepare();
    for (size_t i = 0; i < inputs.size(); ++i)
      if (!inputs[i].data.empty())
        std::memcpy(other.inputs[i].data_ptr(), inputs[i].data.data(), inputs[i].data.size());
    default_generator().manual_seed(1);
    for (const Tensor& result : execute(other)) wanted.push_back(array_of(result));
  }
  for (size_t i = 0; i < wanted.size() && i < results.size(); ++i)
    EXPECT_EQ(difference(array_of(results[i]), wanted[i]), "") << "result " << i;
  if (prepared.outputs.empty() && d.kernel == nullptr)
    for (size_t i = 0; i < results.size(); ++i)
      EXPECT_EQ(results[i].sizes(), prepared.plan->results[i].sizes) << "result " << i;
  if (derivative == nullptr || derivative->targets.empty()) return true;

  std::vector<Tensor> parameters;
  std::vector<ArrayValue> arrays;
  const size_t count = program_of(*derivative->backward).parameters.size();
  for (size_t p = 0; p < count; ++p) {
    const Derivative::Source& source = derivative->sources[p];
    const auto index = static_cast<size_t>(source.index);
    switch (source.kind) {
      case Derivative::Source::Kind::Input:
        parameters.push_back(prepared.inputs[index]);
        break;
      case Derivative::Source::Kind::Result:
        parameters.push_back(results[index]);
        break;
      case Derivative::Source::Kind::Saved:
        parameters.push_back(saved[index]);
        break;
      case Derivative::Source::Kind::Cotangent: {
        const DType dtype_here = results[index].dtype();
        ArrayValue weights = real_parts(ArrayValue(dtype_here, results[index].sizes()));
        for (int64_t k = 0; k < weights.size(); ++k)
          ir::set_element(
              weights, k,
              ir::container_of(weights.dtype, std::cos(0.7 * static_cast<double>(k) + 0.3)));
        weights.dtype = dtype_here;
        weights.shape = results[index].sizes();
        parameters.push_back(tensor_in(weights, layout));
        break;
      }
    }
    arrays.push_back(array_of(parameters.back()));
  }
  const std::span<const int64_t> integers =
      backward_integers(prepared, {results.data(), results.size()});
  const std::vector<ArrayValue> gradients =
      ir::interpret(program_of(*derivative->backward), arrays, prepared.numbers, integers);
  const Results found = run(*derivative->backward, parameters, prepared.numbers, integers);
  EXPECT_EQ(found.size(), gradients.size());
  for (size_t i = 0; i < gradients.size(); ++i)
    EXPECT_EQ(difference(array_of(found[i]), gradients[i]), "")
        << "gradient of input " << derivative->targets[i];
  return true;
}

/// The same; an error of ours is a failure here, where the trace says of what.
bool compare(const Definition& d, const Sample& sample, DType dtype, Layout layout,
             bool with_gradient) {
  try {
    return compare_results(d, sample, dtype, layout, with_gradient);
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
    return true;
  }
}

/// The sample with every tensor's shape changed by `change`.
template <class Change>
Sample reshaped(Sample sample, const Change& change) {
  const auto apply = [&](SampleValue& value) {
    if (auto* one = std::get_if<SampleTensor>(&value)) change(*one);
    if (auto* list = std::get_if<std::vector<SampleTensor>>(&value))
      for (SampleTensor& item : *list) change(item);
  };
  for (SampleValue& value : sample.positional) apply(value);
  for (auto& [name, value] : sample.keyword) apply(value);
  return sample;
}

class Kernels : public ::testing::TestWithParam<const Definition*> {};

TEST_P(Kernels, EqualTheInterpreter) {
  const Definition& d = *GetParam();
  if (d.samples == nullptr) return;
  int position = 0;
  for (const Sample& given : d.samples()) {
    SCOPED_TRACE(concat("sample ", position++));
    compare(d, first_item(d, given), DType::Float32, Layout::Contiguous, false);
  }
}

TEST_P(Kernels, SlowEqualTheInterpreterInEveryDTypeAndLayout) {
  const Definition& d = *GetParam();
  if (d.samples == nullptr) return;
  size_t position = 0;
  for (const Sample& given : d.samples()) {
    SCOPED_TRACE(concat("sample ", position));
    const Sample sample = first_item(d, given);
    for (size_t k = 0; k < std::size(kDTypes); ++k) {
      SCOPED_TRACE(info(kDTypes[k]).name);
      for (const Layout layout : kLayouts) {
        // Float32 meets every layout, the other dtypes take turns.
        const auto number = static_cast<size_t>(layout);
        if (k > 0 && number != 0 && number != 1 + (k + position) % 3) continue;
        if (layout == Layout::Broadcast && d.returns == ops::Returns::Self) continue;
        SCOPED_TRACE(kLayoutNames[number]);
        compare(d, sample, kDTypes[k], layout, k < 3);
      }
    }
    // Without elements, and without axes; calls that cannot be so are refused.
    const Sample empty = reshaped(sample, [](SampleTensor& t) {
      if (!t.shape.empty()) t.shape[0] = 0;
    });
    const Sample scalars = reshaped(sample, [](SampleTensor& t) { t.shape = {}; });
    {
      SCOPED_TRACE("empty");
      compare(d, empty, DType::Float32, Layout::Contiguous, true);
    }
    {
      SCOPED_TRACE("0-dim");
      compare(d, scalars, DType::Float32, Layout::Contiguous, true);
    }
    ++position;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, Kernels, ::testing::ValuesIn(ops::all_definitions().begin(), ops::all_definitions().end()),
    [](const ::testing::TestParamInfo<const Definition*>& p) { return name_in_tests(*p.param); });

}  // namespace
}  // namespace flambeau::testing
