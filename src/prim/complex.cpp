// Rows that make complex values and take them apart, and arithmetic on pairs.

#include "prim/complex.h"

#include <limits>

namespace flambeau::prim {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// The type of `part` for complex operands of row `name`.
Type real_type(std::string_view name, std::span<const Type> arguments) {
  const Type type = common_type(name, arguments, Operands::Floats);
  check<InternalError>(is_complex(type.dtype), [&] {
    return concat(name, ": an operand of dtype ", info(type.dtype).name, "; wanted a complex one");
  });
  return {real_dtype(type.dtype), type.shape};
}

/// The row of a part of a complex value, or of another real function of it.
template <RowName name>
Primitive part_row(std::string_view doc, OnComplex on_complex,
                   Cotangents (*vjp)(const VjpContext&)) {
  return {.name = name.view(),
          .cls = PrimitiveClass::Elementwise,
          .arity = 1,
          .doc = doc,
          .infer = [](std::span<const Type> arguments,
                      const Attributes&) { return real_type(name.view(), arguments); },
          .vjp = vjp,
          .on_complex = on_complex};
}

const RegisterPrimitive kComplex{{
    .name = "complex",
    .cls = PrimitiveClass::Elementwise,
    .arity = 2,
    .doc = "The complex number with these real and imaginary parts.",
    .infer =
        [](std::span<const Type> arguments, const Attributes&) {
          const Type type = common_type("complex", arguments, Operands::Floats);
          check<InternalError>(real_dtype(complex_dtype(type.dtype)) == type.dtype, [&] {
            return concat("complex: no complex dtype has parts of dtype ", info(type.dtype).name);
          });
          return Type{complex_dtype(type.dtype), type.shape};
        },
    .vjp = [](const VjpContext& c) { return Cotangents{real(c.cotangent), imag(c.cotangent)}; },
    .on_complex = [](const ir::Node&,
                     std::span<const ComplexValue> a) { return ComplexValue{a[0].re, a[1].re}; },
}};

const RegisterPrimitive kReal{part_row<"real">(
    "The real part.",
    [](const ir::Node&, std::span<const ComplexValue> a) { return ComplexValue{a[0].re, {}}; },
    [](const VjpContext& c) {
      return Cotangents{complex(c.cotangent, filled_like(c.cotangent, 0))};
    })};

const RegisterPrimitive kImag{part_row<"imag">(
    "The imaginary part.",
    [](const ir::Node&, std::span<const ComplexValue> a) { return ComplexValue{a[0].im, {}}; },
    [](const VjpContext& c) {
      return Cotangents{complex(filled_like(c.cotangent, 0), c.cotangent)};
    })};

const RegisterPrimitive kModulus{part_row<"modulus">(
    "sqrt(re^2 + im^2) without overflow.",
    [](const ir::Node&, std::span<const ComplexValue> a) {
      return ComplexValue{complex_abs(a[0]), {}};
    },
    // PyTorch's: none at 0.
    [](const VjpContext& c) {
      const Expr zero = eq(c.result, 0);
      const Expr scale = select(zero, 0, c.cotangent / select(zero, 1, c.result));
      return Cotangents{complex(real(c.arguments[0]) * scale, imag(c.arguments[0]) * scale)};
    })};

const RegisterPrimitive kConj{{
    .name = "conj",
    .cls = PrimitiveClass::Elementwise,
    .arity = 1,
    .doc = "The complex conjugate.",
    .infer =
        [](std::span<const Type> arguments, const Attributes&) {
          return Type{complex_dtype(real_type("conj", arguments).dtype), arguments[0].shape};
        },
    .vjp = [](const VjpContext& c) { return Cotangents{conj(c.cotangent)}; },
    .on_complex = [](const ir::Node&,
                     std::span<const ComplexValue> a) { return ComplexValue{a[0].re, -a[0].im}; },
}};

}  // namespace

ComplexValue operator+(const ComplexValue& a, const ComplexValue& b) {
  return {a.re + b.re, a.im + b.im};
}
ComplexValue operator-(const ComplexValue& a, const ComplexValue& b) {
  return {a.re - b.re, a.im - b.im};
}
ComplexValue operator-(const ComplexValue& a) { return {-a.re, -a.im}; }
ComplexValue operator*(const ComplexValue& a, double b) { return {a.re * b, a.im * b}; }

ComplexValue operator*(const ComplexValue& a, const ComplexValue& b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

ComplexValue operator/(const ComplexValue& a, const ComplexValue& b) {
  // With |p| >= |q| the parts of b, and u, v those of a in the same order.
  const Expr swapped = lt(abs(b.re), abs(b.im));
  const Expr p = select(swapped, b.im, b.re);
  const Expr q = select(swapped, b.re, b.im);
  const Expr u = select(swapped, a.im, a.re);
  const Expr v = select(swapped, a.re, a.im);
  const Expr zero = eq(p, 0);
  const Expr ratio = select(zero, 0, q / select(zero, 1, p));
  const Expr scale = 1.0 / select(zero, abs(p), p + q * ratio);
  const Expr im = (v - u * ratio) * scale;
  return {(u + v * ratio) * scale, select(swapped, -im, im)};
}

Expr hypot_of(const Expr& a, const Expr& b) {
  const Expr x = abs(a);
  const Expr y = abs(b);
  const Expr infinite = logical_or(eq(x, kInfinity), eq(y, kInfinity));
  if (a.dtype() != DType::Float64) {
    // Squares of float32 neither overflow nor round in Float64.
    const Expr wide_x = convert(x, DType::Float64);
    const Expr wide_y = convert(y, DType::Float64);
    const Expr root = convert(sqrt(wide_x * wide_x + wide_y * wide_y), a.dtype());
    return select(infinite, kInfinity, root);
  }
  const Expr larger = maximum(x, y);
  const Expr smaller = minimum(x, y);
  const Expr zero = eq(larger, 0);
  const Expr ratio = smaller / select(zero, 1, larger);
  return select(infinite, kInfinity, larger * sqrt(1.0 + ratio * ratio));
}

Expr complex_abs(const ComplexValue& z) { return hypot_of(z.re, z.im); }

}  // namespace flambeau::prim
