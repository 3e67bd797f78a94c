#pragma once
// Complex values of a tensor program as real ones. A program may hold complex values; what their
// nodes mean is said by the rows on pairs of reals (Primitive::on_complex), and split_complex
// writes that out. Kernels and loop programs are of reals alone.

#include "ir/program.h"

namespace flambeau::ir {

/// A complex value as two real ones of its shape, or a real one with no `im`.
struct ComplexValue {
  Expr re = {};
  Expr im = {};
  bool is_complex() const { return im.valid(); }
};

/// The two parts of a real value whose last axis holds them.
ComplexValue unpack(const Expr& packed);
/// The parts along a new last axis of 2; what was unpacked is given as it was.
Expr pack(const ComplexValue& value);
/// `v` with what `unpack` took it from; invalid if it is not from one value whole.
Expr packed_source(const ComplexValue& value);

/// Row::on_complex of rows that do to each part what they do to a real value: sums, choices, index
/// maps. Real operands go to both parts.
ComplexValue componentwise(const Node& node, std::span<const ComplexValue> arguments);

/// True if a parameter or result of the program is complex.
bool has_complex(const Program& program);

/// The program with all complex values split. A complex parameter or result of shape [s...] becomes
/// a real one of [s..., 2]: the same bytes.
Program split_complex(const Program& program);

}  // namespace flambeau::ir
