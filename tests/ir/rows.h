#pragma once
// Rows for the tests of ir/, which know no row of prim/.

#include "ir/array.h"
#include "ir/order.h"
#include "ir/program.h"

namespace flambeau::ir::rows {

const Primitive* sum();       ///< Elementwise, a + b
const Primitive* product();   ///< Elementwise, a * b
const Primitive* less();      ///< Elementwise, a < b -> Bool
const Primitive* to();        ///< Elementwise, conversion to the dtype number `index`
const Primitive* literal();   ///< Source: `value` as Float64 of shape `dims`
const Primitive* add_up();    ///< Reduce over `axes` by addition
const Primitive* greatest();  ///< Reduce over `axes` by maximum
const Primitive* strayed();   ///< Elementwise whose infer always throws

}  // namespace flambeau::ir::rows
