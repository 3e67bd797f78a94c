// Tests that follow from the definitions: nothing here names an operation.

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "ir/program.h"
#include "tests/ops/sample_call.h"

namespace flambeau::testing {
namespace {

using ir::Expr;
using ops::Call;

constexpr uint64_t kRandomKey = 1234567;

/// The numbers of a call's program, the key of a random op included.
std::vector<Scalar> numbers_of(const Call& call) {
  const ops::DynamicValues values = ops::dynamic_values(call);
  std::vector<Scalar> numbers(values.numbers.begin(), values.numbers.end());
  if (call.definition().random) numbers.emplace_back(static_cast<int64_t>(kRandomKey));
  return numbers;
}

/// Runs the call on the sample's inputs by its kernel or by the interpreter.
std::vector<ArrayValue> evaluate(SampleCall& sample) {
  const Call call = sample.call();
  if (sample.definition.kernel != nullptr) {
    SampleHost host(sample);
    sample.definition.kernel(host);
    if (sample.definition.returns == ops::Returns::Self)
      for (size_t i = 0; i < host.outputs.size(); ++i) host.outputs[i] = sample.inputs[i];
    return host.outputs;
  }
  const ops::LoweredCall lowered = ops::lower(call);
  const ir::Program program = lowered.builder->finish(lowered.results);
  ir::verify(program);
  const ops::DynamicValues values = ops::dynamic_values(call);
  return ir::interpret(program, sample.inputs, numbers_of(call), values.integers);
}

bool has_specials(const SampleCall& sample) {
  for (const SampleTensor* t : sample.samples)
    if (t->specials) return true;
  return false;
}

/// A complex array with its parts along a further axis.
ArrayValue as_reals(ArrayValue array) {
  if (!is_complex(array.dtype)) return array;
  array.dtype = real_dtype(array.dtype);
  array.shape.push_back(2);
  return array;
}

double sum_with_weights(const std::vector<ArrayValue>& results) {
  double total = 0;
  for (const ArrayValue& result : results)
    if (const ArrayValue r = as_reals(result); is_float(r.dtype))
      for (int64_t i = 0; i < r.size(); ++i)
        total += std::cos(0.7 * static_cast<double>(i) + 0.3) *
                 ir::to_double(r.dtype, ir::element(r, i));
  return total;
}

class Operations : public ::testing::TestWithParam<const Definition*> {};

TEST_P(Operations, AreDocumentedAndSampled) {
  const Definition& d = *GetParam();
  EXPECT_FALSE(d.doc.empty());
  ASSERT_TRUE(d.samples != nullptr) << "no samples";
  EXPECT_FALSE(d.samples().empty());
}

TEST_P(Operations, SchemaReadsBack) {
  const ops::Schema& schema = GetParam()->parsed;
  EXPECT_EQ(ops::parse_schema(schema.text()).text(), schema.text());
}

/// The sample with `change` applied to each of its tensors' shapes.
template <class Change>
Sample reshaped(Sample sample, const Change& change) {
  int64_t number = 0;
  const auto visit = [&](SampleValue& value) {
    if (auto* one = std::get_if<SampleTensor>(&value)) change(number++, one->shape);
    if (auto* list = std::get_if<std::vector<SampleTensor>>(&value))
      for (SampleTensor& item : *list) change(number++, item.shape);
  };
  for (SampleValue& value : sample.positional) visit(value);
  for (auto& [name, value] : sample.keyword) visit(value);
  return sample;
}

/// The extents that are constants of the call's program, by tensor and axis.
std::map<std::pair<size_t, size_t>, int64_t> fixed_extents(const ops::Call& call) {
  std::map<std::pair<size_t, size_t>, int64_t> extents;
  size_t number = 0;
  const auto add = [&](const TensorInfo* t) {
    if (t == nullptr) return;
    const auto fixed = call.definition().fixed;
    for (size_t i = 0; fixed != nullptr && i < t->sizes.size(); ++i)
      if (((fixed(call, number) >> i) & 1) != 0) extents[{number, i}] = t->sizes[i];
    ++number;
  };
  for (const Argument& argument : call.arguments()) {
    if (const auto* one = std::get_if<const TensorInfo*>(&argument)) add(*one);
    if (const auto* list = std::get_if<ops::TensorRefs>(&argument))
      for (const TensorInfo* t : *list) add(t);
  }
  return extents;
}

// Calls that differ in extents alone share one program.
TEST_P(Operations, LowerWithoutALookAtExtents) {
  const Definition& d = *GetParam();
  if (d.lower == nullptr) return;
  struct Lowered {
    std::vector<Argument> static_arguments;
    std::map<std::pair<size_t, size_t>, int64_t> fixed;
    std::string program;
  };
  const auto lowered = [&](const Sample& sample) {
    SampleCall call(d, sample, DType::Float32);
    ops::canonicalize(d, call.arguments);
    ops::infer(call.call());
    const ops::LoweredCall made = ops::lower(call.call());
    Lowered result{{}, fixed_extents(call.call()), made.builder->finish(made.results).text()};
    for (size_t i = 0; i < call.arguments.size(); ++i)
      if (d.role(i, call.arguments[i]) == Definition::Role::Static)
        result.static_arguments.push_back(call.arguments[i]);
    return result;
  };
  for (const Sample& sample : d.samples()) {
    Lowered wanted;
    try {
      wanted = lowered(sample);
    } catch (const Error&) {
      continue;
    }
    std::set<int64_t> extents;
    reshaped(sample, [&](int64_t, const Ints& shape) {
      for (const int64_t extent : shape)
        if (extent != 1) extents.insert(extent);
    });
    for (const int64_t from : extents)
      for (const int64_t to : {int64_t{0}, from + 3, 3 * from})
        for (int64_t only = -1; only < 4; ++only) {  // a tensor; -1: all
          const Sample other = reshaped(sample, [&](int64_t number, Ints& shape) {
            for (int64_t& extent : shape)
              if (extent == from && (only < 0 || only == number)) extent = to;
          });
          Lowered got;
          try {
            got = lowered(other);
          } catch (const Error&) {
            continue;  // shapes that the operation refuses
          }
          // Arguments in their canonical form may follow from extents.
          if (got.static_arguments != wanted.static_arguments || got.fixed != wanted.fixed)
            continue;
          EXPECT_EQ(got.program, wanted.program) << "extents of " << from << " became " << to;
        }
  }
}

TEST_P(Operations, GiveWhatTheyInfer) {
  const Definition& d = *GetParam();
  if (d.samples == nullptr) return;
  int position = 0;
  for (const Sample& given : d.samples()) {
    const Sample sample = first_item(d, given);
    SCOPED_TRACE(concat("sample ", position++));
    int accepted = 0;
    for (const DType dtype :
         {DType::Float32, DType::Float64, DType::BFloat16, DType::Float16, DType::Int64,
          DType::Int32, DType::UInt8, DType::Bool, DType::Complex64, DType::Complex128}) {
      SCOPED_TRACE(info(dtype).name);
      SampleCall call(d, sample, dtype);
      ops::ResultInfos infos;
      try {
        ops::canonicalize(d, call.arguments);
        infos = ops::infer(call.call());
        if (d.checks != nullptr) {
          SampleHost host(call);
          d.checks(host);
        }
      } catch (const InternalError&) {
        throw;
      } catch (const Error&) {
        continue;  // this dtype is refused
      }
      std::vector<ArrayValue> results;
      try {
        results = evaluate(call);
      } catch (const InternalError&) {
        throw;
      } catch (const Error&) {
        // What lowering finds out: a function that complex numbers do not have.
        EXPECT_TRUE(is_complex(dtype));
        continue;
      }
      ++accepted;
      ASSERT_EQ(results.size(), infos.size());
      for (size_t i = 0; i < results.size(); ++i) {
        EXPECT_EQ(results[i].dtype, infos[i].dtype) << "result " << i;
        bool same = results[i].shape.size() == infos[i].sizes.size();
        for (size_t k = 0; same && k < infos[i].sizes.size(); ++k)
          same = infos[i].sizes[k] == -1 || infos[i].sizes[k] == results[i].shape[k];
        EXPECT_TRUE(same) << "result " << i << " has shape " << list_text(results[i].shape)
                          << ", inferred " << list_text(infos[i].sizes);
        EXPECT_EQ(infos[i].strides.size(), infos[i].sizes.size());
        if (has_specials(call) || (dtype != DType::Float32 && dtype != DType::Float64)) continue;
        if (is_float(results[i].dtype))
          for (int64_t k = 0; k < results[i].size(); ++k)
            EXPECT_TRUE(std::isfinite(ir::to_double(results[i].dtype, ir::element(results[i], k))))
                << "element " << k << " of result " << i;
      }
    }
    EXPECT_GT(accepted, 0) << "the sample is refused for every dtype";
  }
}

/// Gradients of the sample's inputs, for the weights of sum_with_weights.
std::vector<std::optional<ArrayValue>> derive(SampleCall& sample) {
  const Call call = sample.call();
  ops::LoweredCall lowered = ops::lower(call);
  std::vector<ArrayValue> values = sample.inputs;
  const std::vector<ArrayValue> results = evaluate(sample);
  if (sample.definition.lower == nullptr)
    values.insert(values.end(), results.begin(), results.end());
  std::vector<Expr> cotangents;
  for (size_t i = 0; i < lowered.results.size(); ++i) {
    if (!is_inexact(lowered.results[i].dtype())) {
      cotangents.emplace_back();
      continue;
    }
    cotangents.push_back(
        lowered.builder->parameter(lowered.results[i].dtype(), lowered.results[i].shape()));
    ArrayValue weights = as_reals(results[i]);
    for (int64_t k = 0; k < weights.size(); ++k)
      ir::set_element(
          weights, k,
          ir::container_of(weights.dtype, std::cos(0.7 * static_cast<double>(k) + 0.3)));
    weights.dtype = results[i].dtype;
    weights.shape = results[i].shape;
    values.push_back(std::move(weights));
  }
  const size_t count = lowered.parameters.size();
  const auto wanted = std::make_unique<bool[]>(count);
  for (size_t i = 0; i < count; ++i)
    wanted[i] = is_inexact(sample.inputs[i].dtype) && sample.samples[i]->grad;
  const std::vector<Expr> gradients =
      ops::gradients(call, lowered, cotangents, {wanted.get(), count});
  std::vector<Expr> outputs;
  for (const Expr& g : gradients)
    if (g.valid()) outputs.push_back(g);
  const ir::Program program = lowered.builder->finish(outputs);
  ir::verify(program);
  const ops::DynamicValues dynamic = ops::dynamic_values(call);
  std::vector<ArrayValue> found =
      ir::interpret(program, values, numbers_of(call), dynamic.integers);
  std::vector<std::optional<ArrayValue>> result(count);
  size_t next = 0;
  for (size_t i = 0; i < count; ++i)
    if (gradients[i].valid()) result[i] = std::move(found[next++]);
  return result;
}

/// Compares the gradients of all samples, their tensors of `dtype`, with finite differences.
void check_gradients(const Definition& d, DType dtype) {
  if (!d.differentiable || d.samples == nullptr || d.returns == ops::Returns::Self) return;
  int position = 0;
  for (const Sample& given : d.samples()) {
    const Sample sample = first_item(d, given);
    SCOPED_TRACE(concat("sample ", position++));
    SampleCall call(d, sample, dtype);
    if (has_specials(call)) continue;
    try {
      ops::canonicalize(d, call.arguments);
      ops::infer(call.call());
    } catch (const InternalError&) {
      throw;
    } catch (const Error&) {
      continue;
    }
    std::vector<std::optional<ArrayValue>> gradients;
    try {
      gradients = derive(call);
    } catch (const InternalError&) {
      throw;
    } catch (const Error&) {
      EXPECT_TRUE(is_complex(dtype));
      continue;
    }
    for (size_t i = 0; i < call.inputs.size(); ++i) {
      ArrayValue& input = call.inputs[i];
      const bool is_double = real_dtype(input.dtype) == DType::Float64;
      if (!is_double || !call.samples[i]->grad) continue;
      if (gradients[i]) {
        ASSERT_EQ(gradients[i]->shape, input.shape) << "gradient of input " << i;
        ASSERT_EQ(gradients[i]->dtype, input.dtype) << "gradient of input " << i;
      }
      constexpr double kStep = 1e-5;
      // A complex gradient is that of the real part and i times that of the imaginary one.
      for (int64_t k = 0; k < as_reals(input).size(); ++k) {
        const double x = input.as<double>()[k];
        input.as<double>()[k] = x + kStep;
        const double above = sum_with_weights(evaluate(call));
        input.as<double>()[k] = x - kStep;
        const double below = sum_with_weights(evaluate(call));
        input.as<double>()[k] = x;
        const double expected = (above - below) / (2 * kStep);
        const double derived = gradients[i] ? gradients[i]->as<double>()[k] : 0.0;
        EXPECT_NEAR(derived, expected, 2e-5 * std::max(1.0, std::abs(expected)))
            << "input " << i << ", element " << k << " of value " << x;
      }
    }
  }
}

TEST_P(Operations, HaveTheGradientOfTheirValues) { check_gradients(*GetParam(), DType::Float64); }

TEST_P(Operations, HaveTheGradientOfTheirComplexValues) {
  check_gradients(*GetParam(), DType::Complex128);
}

std::string exception_name(const Error& error) {
  if (dynamic_cast<const IndexError*>(&error) != nullptr) return "IndexError";
  if (dynamic_cast<const ValueError*>(&error) != nullptr) return "ValueError";
  if (dynamic_cast<const TypeError*>(&error) != nullptr) return "TypeError";
  if (dynamic_cast<const NotImplementedError*>(&error) != nullptr) return "NotImplementedError";
  if (dynamic_cast<const RuntimeError*>(&error) != nullptr) return "RuntimeError";
  return "another error";
}

TEST_P(Operations, RefuseBadCalls) {
  const Definition& d = *GetParam();
  if (d.errors == nullptr) return;
  for (const ops::ErrorSample& bad : d.errors()) {
    SCOPED_TRACE(bad.text);
    SampleCall call(d, bad.sample, DType::Float32);
    std::string name = "nothing";
    std::string text;
    try {
      ops::canonicalize(d, call.arguments);
      ops::infer(call.call());
      if (d.checks != nullptr) {
        SampleHost host(call);
        d.checks(host);
      }
      if (d.kernel != nullptr) evaluate(call);
    } catch (const Error& error) {
      name = exception_name(error);
      text = error.what();
    }
    EXPECT_EQ(name, bad.exception) << text;
    EXPECT_NE(text.find(bad.text), std::string::npos) << text;
    // An operation of the package's own may say the name that users call: ctc_loss for
    // _ctc_loss_and_gradient.
    const std::string_view name_of_users =
        std::string_view(text).substr(0, text.find_first_of(":("));
    EXPECT_TRUE(text.starts_with(d.parsed.name) || text.starts_with('"' + d.parsed.name) ||
                d.parsed.name.starts_with(concat("_", name_of_users)))
        << text;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Operations,
                         ::testing::ValuesIn(ops::all_definitions().begin(),
                                             ops::all_definitions().end()),
                         [](const ::testing::TestParamInfo<const Definition*>& p) {
                           return name_in_tests(*p.param);
                         });

}  // namespace
}  // namespace flambeau::testing
