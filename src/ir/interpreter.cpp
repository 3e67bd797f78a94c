#include "ir/interpreter.h"

#include "base/error.h"
#include "ir/array.h"
#include "ir/array_emitter.h"
#include "ir/complex.h"

namespace flambeau::ir {
namespace {

ArrayValue interpret_elementwise(const Node& node, std::span<const ArrayValue> arguments,
                                 const Ints& shape) {
  ArrayEmitter emitter(element_count(shape));
  SmallVector<Operand, 4> operands;
  for (const ArrayValue& argument : arguments) {
    check<InternalError>(argument.shape == shape, [&] {
      return concat(node.primitive->name, ": an operand of shape ", list_text(argument.shape),
                    " for a result of ", list_text(shape));
    });
    operands.push_back(emitter.input(argument));
  }
  const Operand out =
      emit_elementwise(*node.primitive, emitter, node.type.dtype, operands, node.attributes);
  return emitter.output(out, shape);
}

void check_parameters(const Program& program, std::span<const ArrayValue> parameters,
                      const DimBindings& bindings) {
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Type& type = program.parameters[i];
    const ArrayValue& given = parameters[i];
    check<InternalError>(given.dtype == type.dtype && given.shape == evaluate(type.shape, bindings),
                         [&] {
                           return concat("interpret: parameter ", i, " is ", info(given.dtype).name,
                                         list_text(given.shape), ", not ", info(type.dtype).name,
                                         list_text(evaluate(type.shape, bindings)));
                         });
  }
}

}  // namespace

namespace {

/// The same bytes as another dtype and shape.
ArrayValue reread(ArrayValue array, DType dtype, Ints shape) {
  array.dtype = dtype;
  array.shape = std::move(shape);
  require(array.data.size() == static_cast<size_t>(array.size()) * size_of(dtype),
          "interpret: a complex array has an odd number of bytes");
  return array;
}

/// A complex program means what its split one does.
std::vector<ArrayValue> interpret_complex(const Program& program,
                                          std::span<const ArrayValue> parameters,
                                          std::span<const Scalar> numbers,
                                          std::span<const int64_t> integers) {
  std::vector<ArrayValue> reals;
  for (const ArrayValue& parameter : parameters) {
    Ints shape = parameter.shape;
    if (is_complex(parameter.dtype)) shape.push_back(2);
    reals.push_back(reread(parameter, real_dtype(parameter.dtype), shape));
  }
  std::vector<ArrayValue> results = interpret(split_complex(program), reals, numbers, integers);
  for (size_t i = 0; i < results.size(); ++i) {
    const DType dtype = program.nodes[static_cast<size_t>(program.results[i])].type.dtype;
    if (!is_complex(dtype)) continue;
    Ints shape = results[i].shape;
    shape.pop_back();
    results[i] = reread(std::move(results[i]), dtype, shape);
  }
  return results;
}

}  // namespace

std::vector<ArrayValue> interpret(const Program& program, std::span<const ArrayValue> parameters,
                                  std::span<const Scalar> numbers,
                                  std::span<const int64_t> integers) {
  check<InternalError>(
      parameters.size() == program.parameters.size() && numbers.size() == program.numbers.size(),
      [&] {
        return concat("interpret: the program takes ", program.parameters.size(), " tensors and ",
                      program.numbers.size(), " numbers, not ", parameters.size(), " and ",
                      numbers.size());
      });
  // Ranks before extents: evaluating an extent reads the sizes of the parameters.
  std::vector<const int64_t*> sizes;
  for (size_t i = 0; i < parameters.size(); ++i) {
    require(parameters[i].shape.size() == program.parameters[i].shape.size(),
            "interpret: a parameter has another rank");
    sizes.push_back(parameters[i].shape.data());
  }
  const DimBindings bindings{sizes.data(), integers.data()};
  check_parameters(program, parameters, bindings);
  if (has_complex(program)) return interpret_complex(program, parameters, numbers, integers);

  std::vector<ArrayValue> values;
  values.reserve(program.nodes.size());
  for (const Node& node : program.nodes) {
    const auto index = static_cast<size_t>(node.attributes.index);
    if (node.primitive == parameter_row()) {
      values.push_back(parameters[index]);
      continue;
    }
    if (node.primitive == number_row()) {
      values.push_back(full(node.type.dtype, {}, container_of(node.type.dtype, numbers[index])));
      continue;
    }
    std::vector<ArrayValue> arguments;
    for (const NodeId id : node.arguments) arguments.push_back(values[static_cast<size_t>(id)]);
    const Ints shape = evaluate(node.type.shape, bindings);
    ArrayValue value = node.primitive->cls == PrimitiveClass::Elementwise
                           ? interpret_elementwise(node, arguments, shape)
                           : node.primitive->interpret(node, arguments, bindings);
    check<InternalError>(value.dtype == node.type.dtype && value.shape == shape, [&] {
      return concat(node.primitive->name, ": gave ", info(value.dtype).name, list_text(value.shape),
                    ", not ", info(node.type.dtype).name, list_text(shape));
    });
    values.push_back(std::move(value));
  }

  std::vector<ArrayValue> results;
  for (const NodeId id : program.results) results.push_back(values[static_cast<size_t>(id)]);
  return results;
}

}  // namespace flambeau::ir
