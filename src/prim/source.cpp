// Rows without operands. (The program's own sources, parameter and number, are the IR's.)

#include "ir/array.h"
#include "prim/row.h"

namespace flambeau::prim {
namespace {

const RegisterPrimitive kConstant{{
    .name = "constant",
    .cls = PrimitiveClass::Source,
    .arity = 0,
    .doc = "The number `value` in the dtype numbered `index`, of shape [].",
    .infer =
        [](std::span<const Type>, const Attributes& attributes) {
          check<InternalError>(attributes.index >= 0 && attributes.index < kDTypeCount, [&] {
            return concat("constant: index ", attributes.index, " is no dtype");
          });
          return Type{static_cast<DType>(attributes.index), {}};
        },
    .interpret =
        [](const ir::Node& node, std::span<const ir::ArrayValue>, const ir::DimBindings&) {
          return ir::full(node.type.dtype, {},
                          ir::container_of(node.type.dtype, node.attributes.value));
        },
}};

const RegisterPrimitive kExtent{{
    .name = "extent",
    .cls = PrimitiveClass::Source,
    .arity = 0,
    .doc = "The integer expression dims[0] as an Int64 of shape [].",
    .infer =
        [](std::span<const Type>, const Attributes& attributes) {
          check<InternalError>(attributes.dims.size() == 1, [&] {
            return concat("extent: ", attributes.dims.size(), " dims; wanted 1");
          });
          return Type{DType::Int64, {}};
        },
    .interpret =
        [](const ir::Node& node, std::span<const ir::ArrayValue>, const ir::DimBindings& bindings) {
          const int64_t value = node.attributes.dims[0].evaluate(bindings);
          return ir::full(DType::Int64, {}, static_cast<ir::Container>(value));
        },
}};

const RegisterPrimitive kIota{{
    .name = "iota",
    .cls = PrimitiveClass::Source,
    .arity = 0,
    .doc = "Int64 of shape `dims`, each element its index along axes[0].",
    .infer =
        [](std::span<const Type>, const Attributes& attributes) {
          check<InternalError>(attributes.axes.size() == 1 && attributes.axes[0] >= 0 &&
                                   static_cast<size_t>(attributes.axes[0]) < attributes.dims.size(),
                               [&] {
                                 return concat("iota: axes ", list_text(attributes.axes),
                                               " of a shape of rank ", attributes.dims.size());
                               });
          return Type{DType::Int64, Shape(attributes.dims.begin(), attributes.dims.end())};
        },
    .interpret =
        [](const ir::Node& node, std::span<const ir::ArrayValue>, const ir::DimBindings& bindings) {
          ir::ArrayValue out(DType::Int64, ir::evaluate(node.type.shape, bindings));
          int64_t* element = out.as<int64_t>();
          ir::for_each_index(out.shape, [&](const Ints& index) {
            *element++ = index[static_cast<size_t>(node.attributes.axes[0])];
          });
          return out;
        },
}};

}  // namespace
}  // namespace flambeau::prim
