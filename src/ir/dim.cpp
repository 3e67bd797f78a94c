#include "ir/dim.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace flambeau::ir {
namespace {

// Evaluation wraps instead of overflowing: an expression of a damaged program must not be undefined
// behaviour.
int64_t wrap_add(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
int64_t wrap_sub(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
int64_t wrap_mul(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
}

int64_t floor_division(int64_t a, int64_t b) {
  if (b == 0) return 0;
  if (b == -1) return wrap_sub(0, a);
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

int64_t floor_modulo(int64_t a, int64_t b) {
  return b == 0 ? 0 : wrap_sub(a, wrap_mul(floor_division(a, b), b));
}

int64_t apply(DimOp op, int64_t a, int64_t b) {
  switch (op) {
    case DimOp::Add:
      return wrap_add(a, b);
    case DimOp::Sub:
      return wrap_sub(a, b);
    case DimOp::Mul:
      return wrap_mul(a, b);
    case DimOp::FloorDiv:
      return floor_division(a, b);
    case DimOp::Mod:
      return floor_modulo(a, b);
    case DimOp::Min:
      return std::min(a, b);
    case DimOp::Max:
      return std::max(a, b);
    default:
      throw InternalError("dim: a leaf has no operands");
  }
}

bool commutes(DimOp op) {
  return op == DimOp::Add || op == DimOp::Mul || op == DimOp::Min || op == DimOp::Max;
}

/// A total order: leaves and operations first, constants last, so that they print at the right.
int compare(const Dim& a, const Dim& b) {
  const auto three_way = [](int64_t x, int64_t y) { return x < y ? -1 : (x > y ? 1 : 0); };
  if (a.is_constant() || b.is_constant()) {
    if (a.is_constant() != b.is_constant()) return a.is_constant() ? 1 : -1;
    return three_way(a.constant(), b.constant());
  }
  if (a.op() != b.op()) return a.op() < b.op() ? -1 : 1;
  if (a.op() == DimOp::Integer) return three_way(a.leaf_slot(), b.leaf_slot());
  if (a.op() == DimOp::Size) {
    const int order = three_way(a.leaf_parameter(), b.leaf_parameter());
    return order != 0 ? order : three_way(a.leaf_axis(), b.leaf_axis());
  }
  if (a == b) return 0;
  const int order = compare(a.left(), b.left());
  return order != 0 ? order : compare(a.right(), b.right());
}

bool is(const Dim& d, DimOp op) { return d.op() == op; }

/// x of "x + c" with constant c (which stands at the right).
bool is_sum_with_constant(const Dim& d) { return is(d, DimOp::Add) && d.right().is_constant(); }
bool is_product_with_constant(const Dim& d) { return is(d, DimOp::Mul) && d.right().is_constant(); }

}  // namespace

Dim Dim::size(int parameter, int axis) {
  Dim d;
  d.expr_ = std::make_shared<const Expr>(Expr{DimOp::Size, parameter, axis, {}, {}});
  return d;
}

Dim Dim::integer(int slot) {
  Dim d;
  d.expr_ = std::make_shared<const Expr>(Expr{DimOp::Integer, slot, 0, {}, {}});
  return d;
}

int64_t Dim::constant() const {
  require(is_constant(), "dim: the expression is not a constant");
  return value_;
}

Dim Dim::make(DimOp op, const Dim& first, const Dim& second) {
  if (first.is_constant() && second.is_constant())
    return Dim(apply(op, first.value_, second.value_));
  const bool swapped = commutes(op) && compare(second, first) < 0;
  const Dim& a = swapped ? second : first;
  const Dim& b = swapped ? first : second;
  switch (op) {
    case DimOp::Add:
      if (b.is_zero()) return a;
      if (b.is_constant() && is_sum_with_constant(a))
        return make(op, a.left(), Dim(apply(op, a.right().value_, b.value_)));
      if (is_sum_with_constant(a)) return make(op, make(op, a.left(), b), a.right());
      if (is_sum_with_constant(b)) return make(op, make(op, a, b.left()), b.right());
      if (is(a, DimOp::Sub) && a.right() == b) return a.left();
      if (is(b, DimOp::Sub) && b.right() == a) return b.left();
      break;
    case DimOp::Sub:
      if (a == b) return Dim(0);
      if (b.is_constant()) return make(DimOp::Add, a, Dim(wrap_sub(0, b.value_)));
      if (is_sum_with_constant(a)) return make(DimOp::Add, make(op, a.left(), b), a.right());
      if (is_sum_with_constant(b))
        return make(DimOp::Add, make(op, a, b.left()), Dim(wrap_sub(0, b.right().value_)));
      if (is(a, DimOp::Add) && a.left() == b) return a.right();
      if (is(a, DimOp::Add) && a.right() == b) return a.left();
      if (is(b, DimOp::Sub) && b.left() == a) return b.right();
      break;
    case DimOp::Mul:
      if (b.is_zero()) return Dim(0);
      if (b.is_one()) return a;
      if (b.is_constant() && is_product_with_constant(a))
        return make(op, a.left(), Dim(apply(op, a.right().value_, b.value_)));
      if (is_product_with_constant(a)) return make(op, make(op, a.left(), b), a.right());
      if (is_product_with_constant(b)) return make(op, make(op, a, b.left()), b.right());
      break;
    case DimOp::FloorDiv:
      if (b.is_one()) return a;
      if (b.is_zero() || a.is_zero()) return Dim(0);
      break;
    case DimOp::Mod:
      if (b.is_one() || b.is_zero() || a.is_zero() || a == b) return Dim(0);
      break;
    case DimOp::Min:
    case DimOp::Max:
      if (a == b) return a;
      if (is(a, op) && (a.left() == b || a.right() == b)) return a;
      if (is(b, op) && (b.left() == a || b.right() == a)) return b;
      break;
    default:
      break;
  }
  Dim d;
  d.expr_ = std::make_shared<const Expr>(Expr{op, 0, 0, a, b});
  return d;
}

int64_t Dim::evaluate(const DimBindings& bindings) const {
  if (is_constant()) return value_;
  switch (expr_->op) {
    case DimOp::Size:
      return bindings.sizes[expr_->parameter][expr_->axis];
    case DimOp::Integer:
      return bindings.integers[expr_->parameter];
    default:
      return apply(expr_->op, expr_->left.evaluate(bindings), expr_->right.evaluate(bindings));
  }
}

Dim Dim::floor_div(const Dim& other) const { return make(DimOp::FloorDiv, *this, other); }
Dim Dim::ceil_div(const Dim& other) const { return (*this + (other - 1)).floor_div(other); }
Dim Dim::mod(const Dim& other) const { return make(DimOp::Mod, *this, other); }

Dim operator+(const Dim& a, const Dim& b) { return Dim::make(DimOp::Add, a, b); }
Dim operator-(const Dim& a, const Dim& b) { return Dim::make(DimOp::Sub, a, b); }
Dim operator*(const Dim& a, const Dim& b) { return Dim::make(DimOp::Mul, a, b); }
Dim min(const Dim& a, const Dim& b) { return Dim::make(DimOp::Min, a, b); }
Dim max(const Dim& a, const Dim& b) { return Dim::make(DimOp::Max, a, b); }

bool operator==(const Dim& a, const Dim& b) {
  if (a.expr_ == b.expr_) return a.expr_ != nullptr || a.value_ == b.value_;
  if (a.expr_ == nullptr || b.expr_ == nullptr) return false;
  const Dim::Expr& x = *a.expr_;
  const Dim::Expr& y = *b.expr_;
  return x.op == y.op && x.parameter == y.parameter && x.axis == y.axis && x.left == y.left &&
         x.right == y.right;
}

std::string Dim::text() const {
  if (is_constant()) return std::to_string(value_);
  const Expr& e = *expr_;
  const auto infix = [&](const char* sign) {
    return "(" + e.left.text() + sign + e.right.text() + ")";
  };
  const auto call = [&](const char* name) {
    return std::string(name) + "(" + e.left.text() + ", " + e.right.text() + ")";
  };
  switch (e.op) {
    case DimOp::Size:
      return concat('s', e.parameter, '.', e.axis);
    case DimOp::Integer:
      return concat('n', e.parameter);
    case DimOp::Add:
      return infix(" + ");
    case DimOp::Sub:
      return infix(" - ");
    case DimOp::Mul:
      return infix(" * ");
    case DimOp::FloorDiv:
      return infix(" // ");
    case DimOp::Mod:
      return infix(" % ");
    case DimOp::Min:
      return call("min");
    case DimOp::Max:
      return call("max");
    case DimOp::Constant:
      break;
  }
  throw InternalError("dim: unknown operation");
}

namespace {

/// Recursive descent over `text`, which is advanced. Nesting is bounded, so that no input can
/// exhaust the stack.
class DimReader {
 public:
  explicit DimReader(std::string_view& text) : text_(text) {}

  Dim read(int depth = 0) {
    if (depth > kMaxDepth) fail("fewer nested parentheses");
    if (take("min(")) return read_call(depth, min);
    if (take("max(")) return read_call(depth, max);
    if (take("(")) {
      const Dim a = read(depth + 1);
      const char* const sign = read_sign();
      const Dim b = read(depth + 1);
      expect(")");
      switch (sign[1]) {
        case '+':
          return a + b;
        case '-':
          return a - b;
        case '*':
          return a * b;
        case '/':
          return a.floor_div(b);
        default:
          return a.mod(b);
      }
    }
    if (take("s")) {
      const int parameter = read_number<int>("a parameter's number");
      expect(".");
      return Dim::size(parameter, read_number<int>("an axis"));
    }
    if (take("n")) return Dim::integer(read_number<int>("a slot"));
    return read_number<int64_t>("a number, s0.0, n0, min, max or a parenthesis");
  }

 private:
  static constexpr int kMaxDepth = 200;

  template <class Fn>
  Dim read_call(int depth, const Fn& fn) {
    const Dim a = read(depth + 1);
    expect(", ");
    const Dim b = read(depth + 1);
    expect(")");
    return fn(a, b);
  }

  const char* read_sign() {
    for (const char* sign : {" + ", " - ", " * ", " // ", " % "})
      if (take(sign)) return sign;
    fail("' + ', ' - ', ' * ', ' // ' or ' % '");
  }

  template <class T>
  T read_number(const char* wanted) {
    T value{};
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), value);
    if (error != std::errc{} || (sizeof(T) == sizeof(int) && value < 0)) fail(wanted);
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    return value;
  }

  bool take(std::string_view word) {
    if (text_.substr(0, word.size()) != word) return false;
    text_.remove_prefix(word.size());
    return true;
  }

  void expect(const char* word) {
    if (!take(word)) fail(concat("'", word, "'"));
  }

  [[noreturn]] void fail(const std::string& wanted) const {
    throw ValueError(concat("dim: expected ", wanted, ", not '",
                            text_.substr(0, std::min<size_t>(text_.size(), 12)), "'"));
  }

  std::string_view& text_;
};

}  // namespace

Dim Dim::parse(std::string_view& text) { return DimReader(text).read(); }

void Dim::hash_into(Hasher& hasher) const {
  hasher.add(op());
  if (is_constant()) {
    hasher.add(value_);
    return;
  }
  hasher.add(expr_->parameter).add(expr_->axis);
  if (expr_->op != DimOp::Size && expr_->op != DimOp::Integer) {
    expr_->left.hash_into(hasher);
    expr_->right.hash_into(hasher);
  }
}

DimOp Dim::op() const { return expr_ == nullptr ? DimOp::Constant : expr_->op; }
Dim Dim::left() const { return expr_->left; }
Dim Dim::right() const { return expr_->right; }
int Dim::leaf_parameter() const { return expr_->parameter; }
int Dim::leaf_axis() const { return expr_->axis; }
int Dim::leaf_slot() const { return expr_->parameter; }

Dim element_count(const Shape& shape) {
  Dim count = 1;
  for (const Dim& d : shape) count = count * d;
  return count;
}

}  // namespace flambeau::ir
