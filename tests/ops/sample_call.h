#pragma once
// Sample arguments as calls that the interpreter can run.

#include <cmath>
#include <memory>
#include <random>

#include "ir/array.h"
#include "ir/core_function.h"
#include "ops/registry.h"

namespace flambeau::testing {

using ir::ArrayValue;
using ops::Argument;
using ops::Arguments;
using ops::Definition;
using ops::Sample;
using ops::SampleTensor;
using ops::SampleValue;

/// Deterministic values of a sample tensor.
inline ArrayValue sample_array(const SampleTensor& sample, DType dtype, uint32_t seed) {
  ArrayValue array(dtype, sample.shape);
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(0, 1);
  constexpr double kSpecials[] = {0.0,      -0.0,      1.0,   1.0, -1.0, 0.5, 2.0,  100.0, -100,
                                  INFINITY, -INFINITY, 1e-30, 3.0, -0.5, 1.5, 0.25, -3.0};
  // A complex array's parts are drawn as further elements.
  if (is_complex(dtype)) {
    SampleTensor parts = sample;
    parts.shape.push_back(2);
    ArrayValue reals = sample_array(parts, real_dtype(dtype), seed);
    array.data = std::move(reals.data);
    return array;
  }
  for (int64_t i = 0; i < array.size(); ++i) {
    double value = sample.low + (sample.high - sample.low) * uniform(random);
    if (sample.specials) value = kSpecials[static_cast<size_t>(i) % std::size(kSpecials)];
    if (!is_float(dtype)) value = std::floor(std::clamp(value, -1e6, 1e6));
    if (is_bool(dtype)) value = value > 0 ? 1 : 0;
    ir::set_element(array, i, ir::container_of(dtype, value));
  }
  return array;
}

/// The sample with its first item alone, for ops over lists of tensors treated alike.
inline Sample first_item(const Definition& d, Sample sample) {
  if (!d.per_item) return sample;
  const auto reduce = [](SampleValue& value) {
    if (const auto* list = std::get_if<std::vector<SampleTensor>>(&value)) {
      if (list->empty()) {
        value = std::monostate();
      } else {
        const SampleTensor item = list->front();
        value = item;
      }
    }
  };
  for (SampleValue& value : sample.positional) reduce(value);
  for (auto& [name, value] : sample.keyword) reduce(value);
  return sample;
}

/// "softmax_of_int"
inline std::string name_in_tests(const Definition& d) {
  const ops::Schema& schema = d.parsed;
  return schema.name + "_of_" + (schema.overload.empty() ? "default" : schema.overload);
}

/// One call of one definition: owns what its arguments point to.
struct SampleCall {
  const Definition& definition;
  Arguments arguments;
  std::vector<ArrayValue> inputs;  // lists flattened, None skipped
  std::vector<const SampleTensor*> samples;
  std::vector<std::unique_ptr<TensorInfo>> infos;
  uint32_t seed = 1;

  SampleCall(const Definition& d, const Sample& sample, DType dtype) : definition(d) {
    const auto& parameters = d.parsed.parameters;
    check<InternalError>(sample.positional.size() <= parameters.size(), [&] {
      return concat(d.parsed.name, ": a sample has more arguments than the schema");
    });
    for (size_t i = 0; i < parameters.size(); ++i) {
      const SampleValue* value = i < sample.positional.size() ? &sample.positional[i] : nullptr;
      for (const auto& [name, keyword] : sample.keyword)
        if (name == parameters[i].name) value = &keyword;
      check<InternalError>(
          value != nullptr || parameters[i].has_default || parameters[i].optional ||
              parameters[i].type == ops::ArgumentType::Generator,
          [&] { return concat(d.parsed.name, ": a sample lacks '", parameters[i].name, "'"); });
      arguments.push_back(value != nullptr ? bind(parameters[i], *value, dtype)
                                           : parameters[i].default_value);
    }
  }
  ops::Call call() const { return {definition, arguments}; }

 private:
  const TensorInfo* tensor(const SampleTensor& sample, DType dtype) {
    inputs.push_back(sample_array(sample, sample.dtype.value_or(dtype), seed++));
    samples.push_back(&sample);
    infos.push_back(std::make_unique<TensorInfo>(
        TensorInfo{inputs.back().dtype, sample.shape, contiguous_strides(sample.shape)}));
    return infos.back().get();
  }
  Argument bind(const ops::Parameter& p, const SampleValue& value, DType dtype) {
    if (std::holds_alternative<std::monostate>(value)) return {};
    if (const auto* one = std::get_if<SampleTensor>(&value)) return tensor(*one, dtype);
    if (const auto* list = std::get_if<std::vector<SampleTensor>>(&value)) {
      ops::TensorRefs refs;
      for (const SampleTensor& item : *list) refs.push_back(tensor(item, dtype));
      return refs;
    }
    if (const auto* number = std::get_if<Scalar>(&value)) {
      if (p.type == ops::ArgumentType::IntList) return Ints{number->to_int()};
      return *number;
    }
    if (const auto* ints = std::get_if<Ints>(&value)) return *ints;
    if (const auto* reals = std::get_if<std::vector<double>>(&value)) return *reals;
    if (const auto* d = std::get_if<DType>(&value)) return *d;
    return std::get<std::string>(value);
  }
};

/// A stream of fixed values.
class CountingSource : public RandomSource {
 public:
  uint32_t random() override { return static_cast<uint32_t>(engine_()); }
  uint64_t random64() override {
    const uint64_t high = engine_();
    return high << 32 | engine_();
  }
  std::optional<double>& next_normal() override { return normal_; }
  std::optional<float>& next_normal_float() override { return normal_float_; }

 private:
  std::mt19937 engine_{5};
  std::optional<double> normal_;
  std::optional<float> normal_float_;
};

/// Runs host kernels and checks on a SampleCall.
class SampleHost : public ops::HostCall {
 public:
  explicit SampleHost(SampleCall& sample) : sample_(sample), call_(sample.call()) {}
  const ops::Call& call() const override { return call_; }
  ops::HostTensor input(std::string_view parameter, bool) override {
    return at(first_of(parameter));
  }
  ops::HostTensor input(std::string_view list, size_t i, bool) override {
    return at(first_of(list) + i);
  }
  ops::HostTensor output(size_t i) override { return output(i, ops::infer(call_)[i]); }
  ops::HostTensor output(size_t i, const TensorInfo& info) override {
    if (outputs.size() <= i) outputs.resize(i + 1);
    if (definition_writes()) {
      ArrayValue& self = sample_.inputs[i];
      outputs[i] = self;
      return {{self.dtype, self.shape, contiguous_strides(self.shape)}, self.data.data()};
    }
    outputs[i] = ArrayValue(info.dtype, info.sizes);
    return {{info.dtype, info.sizes, contiguous_strides(info.sizes)}, outputs[i].data.data()};
  }
  RandomSource& random() override { return source_; }
  std::vector<ArrayValue> outputs;

 private:
  bool definition_writes() const { return call_.definition().returns == ops::Returns::Self; }
  size_t first_of(std::string_view parameter) const {
    const auto end = static_cast<size_t>(call_.definition().parsed.index_of(parameter));
    size_t position = 0;
    for (size_t i = 0; i < end; ++i) {
      const Argument& argument = call_.arguments()[i];
      if (std::holds_alternative<const TensorInfo*>(argument)) ++position;
      if (const auto* list = std::get_if<ops::TensorRefs>(&argument))
        for (const TensorInfo* t : *list) position += t != nullptr;
    }
    return position;
  }
  ops::HostTensor at(size_t position) {
    ArrayValue& array = sample_.inputs[position];
    return {{array.dtype, array.shape, contiguous_strides(array.shape)}, array.data.data()};
  }
  SampleCall& sample_;
  ops::Call call_;
  CountingSource source_;
};

}  // namespace flambeau::testing
