#include "ir/core_function.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "ir/core_carrier.h"

namespace flambeau::ir {
namespace {

// Integer arithmetic is done on uint64_t, where it wraps, and cut to the width by unpack.
template <class T>
T wrapped(uint64_t v) {
  return static_cast<T>(v);
}
template <class T>
uint64_t wide(T v) {
  return static_cast<uint64_t>(static_cast<int64_t>(v));
}

template <class T>
T divide(T a, T b) {
  if constexpr (kIsFloat<T>)
    return a / b;
  else if (b == 0)
    return T{0};
  else if (std::is_signed_v<T> && b == static_cast<T>(-1))
    return wrapped<T>(0 - wide(a));
  else
    return static_cast<T>(a / b);
}

template <class T>
T remainder(T a, T b) {
  if constexpr (kIsFloat<T>)
    return std::fmod(a, b);
  else if (b == 0 || (std::is_signed_v<T> && b == static_cast<T>(-1)))
    return T{0};
  else
    return static_cast<T>(a % b);
}

template <class T>
T minimum(T a, T b) {
  if constexpr (kIsFloat<T>) {
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<T>::quiet_NaN();
    if (a == b) return std::signbit(a) ? a : b;
  }
  return a < b ? a : b;
}

template <class T>
T maximum(T a, T b) {
  if constexpr (kIsFloat<T>) {
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<T>::quiet_NaN();
    if (a == b) return std::signbit(a) ? b : a;
  }
  return a > b ? a : b;
}

template <class T>
Container multiply_high(T a, T b) {
  using U = std::make_unsigned_t<T>;
  constexpr int kWidth = std::numeric_limits<U>::digits;
  const auto product = static_cast<unsigned __int128>(static_cast<U>(a)) * static_cast<U>(b);
  return pack<T>(static_cast<T>(static_cast<U>(product >> kWidth)));
}

/// floor, ceil, trunc and round-to-even, which are the identity on integers.
template <CoreOp op, class T>
T round_to_integer(T a) {
  if constexpr (op == CoreOp::Floor)
    return std::floor(a);
  else if constexpr (op == CoreOp::Ceil)
    return std::ceil(a);
  else if constexpr (op == CoreOp::Trunc)
    return std::trunc(a);
  else {
    // Not nearbyint: the result must not depend on the thread's rounding mode.
    const T low = std::floor(a);
    const T above = a - low;
    T rounded = above > T{0.5} ? low + 1 : low;
    if (above == T{0.5} && std::fmod(low, T{2}) != 0) rounded = low + 1;
    return std::copysign(rounded, a);
  }
}

template <CoreOp op, class T>
Container compare(T a, T b) {
  if constexpr (op == CoreOp::Eq)
    return a == b;
  else if constexpr (op == CoreOp::Ne)
    return a != b;
  else if constexpr (op == CoreOp::Lt)
    return a < b;
  else if constexpr (op == CoreOp::Le)
    return a <= b;
  else if constexpr (op == CoreOp::Gt)
    return a > b;
  else
    return a >= b;
}

template <CoreOp op, class T>
constexpr bool kIsDefined = [] {
  switch (op) {
    case CoreOp::Add:
    case CoreOp::Sub:
    case CoreOp::Mul:
    case CoreOp::Min:
    case CoreOp::Max:
    case CoreOp::Eq:
    case CoreOp::Ne:
    case CoreOp::Lt:
    case CoreOp::Le:
    case CoreOp::Gt:
    case CoreOp::Ge:
      return !kIsHalf<T>;
    case CoreOp::Div:
    case CoreOp::Rem:
    case CoreOp::Neg:
    case CoreOp::Abs:
    case CoreOp::Floor:
    case CoreOp::Ceil:
    case CoreOp::Trunc:
    case CoreOp::RoundEven:
      return kIsInteger<T> || kIsFloat<T>;
    case CoreOp::Fma:
    case CoreOp::Sqrt:
    case CoreOp::Scale:
      return kIsFloat<T>;
    case CoreOp::And:
    case CoreOp::Or:
    case CoreOp::Xor:
    case CoreOp::Not:
      return kIsInteger<T> || kIsBool<T>;
    case CoreOp::Shl:
    case CoreOp::ShiftRight:
    case CoreOp::ShiftRightLogical:
      return kIsInteger<T>;
    case CoreOp::Select:
      return true;
    case CoreOp::MulHigh:
      return std::is_same_v<T, int32_t> || std::is_same_v<T, int64_t>;
    case CoreOp::Convert:
    case CoreOp::Bitcast:
      return false;
  }
  return false;
}();

template <CoreOp op, class T>
Container run(Container ca, Container cb, Container cc) {
  if constexpr (op == CoreOp::Select) {
    return ca != 0 ? cb : cc;
  } else if constexpr (kIsBool<T>) {
    // Bool: or, xor, and; false < true.
    if constexpr (op == CoreOp::Add || op == CoreOp::Or || op == CoreOp::Max)
      return ca | cb;
    else if constexpr (op == CoreOp::Sub || op == CoreOp::Xor || op == CoreOp::Ne)
      return ca ^ cb;
    else if constexpr (op == CoreOp::Mul || op == CoreOp::And || op == CoreOp::Min)
      return ca & cb;
    else if constexpr (op == CoreOp::Not)
      return ca ^ 1;
    else
      return compare<op>(ca, cb);
  } else {
    const T a = unpack<T>(ca);
    [[maybe_unused]] const T b = unpack<T>(cb);
    if constexpr (op == CoreOp::Add) {
      if constexpr (kIsFloat<T>)
        return pack<T>(a + b);
      else
        return pack<T>(wrapped<T>(wide(a) + wide(b)));
    } else if constexpr (op == CoreOp::Sub) {
      if constexpr (kIsFloat<T>)
        return pack<T>(a - b);
      else
        return pack<T>(wrapped<T>(wide(a) - wide(b)));
    } else if constexpr (op == CoreOp::Mul) {
      if constexpr (kIsFloat<T>)
        return pack<T>(a * b);
      else
        return pack<T>(wrapped<T>(wide(a) * wide(b)));
    } else if constexpr (op == CoreOp::Div) {
      return pack<T>(divide(a, b));
    } else if constexpr (op == CoreOp::Rem) {
      return pack<T>(remainder(a, b));
    } else if constexpr (op == CoreOp::Neg) {
      if constexpr (kIsFloat<T>)
        return pack<T>(std::isnan(a) ? a : -a);
      else
        return pack<T>(wrapped<T>(0 - wide(a)));
    } else if constexpr (op == CoreOp::Abs) {
      if constexpr (kIsFloat<T>)
        return pack<T>(std::fabs(a));
      else
        return static_cast<int64_t>(ca) < 0 ? pack<T>(wrapped<T>(0 - wide(a))) : ca;
    } else if constexpr (op == CoreOp::Fma) {
      return pack<T>(std::fma(a, b, unpack<T>(cc)));
    } else if constexpr (op == CoreOp::Scale) {
      return pack<T>(std::isnan(a) ? a : std::ldexp(a, static_cast<int>(b)));
    } else if constexpr (op == CoreOp::Sqrt) {
      return pack<T>(std::sqrt(a));
    } else if constexpr (op == CoreOp::Floor || op == CoreOp::Ceil || op == CoreOp::Trunc ||
                         op == CoreOp::RoundEven) {
      if constexpr (kIsFloat<T>)
        return pack<T>(round_to_integer<op>(a));
      else
        return ca;
    } else if constexpr (op == CoreOp::Min) {
      return pack<T>(minimum(a, b));
    } else if constexpr (op == CoreOp::Max) {
      return pack<T>(maximum(a, b));
    } else if constexpr (op == CoreOp::And) {
      return ca & cb;
    } else if constexpr (op == CoreOp::Or) {
      return ca | cb;
    } else if constexpr (op == CoreOp::Xor) {
      return ca ^ cb;
    } else if constexpr (op == CoreOp::Not) {
      return pack<T>(wrapped<T>(~ca));
    } else if constexpr (op == CoreOp::Shl || op == CoreOp::ShiftRight ||
                         op == CoreOp::ShiftRightLogical) {
      const auto amount = static_cast<int>(cb % (8 * sizeof(T)));
      if constexpr (op == CoreOp::Shl)
        return pack<T>(wrapped<T>(ca << amount));
      else if constexpr (op == CoreOp::ShiftRight)
        return pack<T>(static_cast<T>(a >> amount));
      else
        return pack<T>(static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) >> amount));
    } else if constexpr (op == CoreOp::MulHigh) {
      return multiply_high(a, b);
    } else {
      return compare<op>(a, b);
    }
  }
}

template <CoreOp op>
CoreFunction find(DType dtype) {
  return with_type(dtype, []<class T>() -> CoreFunction {
    if constexpr (kIsDefined<op, T>)
      return run<op, T>;
    else
      return nullptr;
  });
}

CoreFunction find_function(CoreOp op, DType result, DType operand) {
  switch (op) {
    case CoreOp::Convert:
      return find_conversion(result, operand);
    case CoreOp::Bitcast:
      return find_bitcast(result, operand);
    default:
      break;
  }
  if (result != Emitter::result_dtype(op, operand)) return nullptr;
  switch (op) {
#define FLAMBEAU_CORE(name) \
  case CoreOp::name:        \
    return find<CoreOp::name>(operand);
    FLAMBEAU_CORE(Add)
    FLAMBEAU_CORE(Sub)
    FLAMBEAU_CORE(Mul)
    FLAMBEAU_CORE(Div)
    FLAMBEAU_CORE(Rem)
    FLAMBEAU_CORE(Neg)
    FLAMBEAU_CORE(Abs)
    FLAMBEAU_CORE(Fma)
    FLAMBEAU_CORE(Sqrt)
    FLAMBEAU_CORE(Floor)
    FLAMBEAU_CORE(Ceil)
    FLAMBEAU_CORE(Trunc)
    FLAMBEAU_CORE(RoundEven)
    FLAMBEAU_CORE(Min)
    FLAMBEAU_CORE(Max)
    FLAMBEAU_CORE(And)
    FLAMBEAU_CORE(Or)
    FLAMBEAU_CORE(Xor)
    FLAMBEAU_CORE(Not)
    FLAMBEAU_CORE(Shl)
    FLAMBEAU_CORE(ShiftRight)
    FLAMBEAU_CORE(ShiftRightLogical)
    FLAMBEAU_CORE(Eq)
    FLAMBEAU_CORE(Ne)
    FLAMBEAU_CORE(Lt)
    FLAMBEAU_CORE(Le)
    FLAMBEAU_CORE(Gt)
    FLAMBEAU_CORE(Ge)
    FLAMBEAU_CORE(Select)
    FLAMBEAU_CORE(MulHigh)
    FLAMBEAU_CORE(Scale)
#undef FLAMBEAU_CORE
    default:
      return nullptr;
  }
}

}  // namespace

CoreFunction core_function(CoreOp op, DType result, DType operand) {
  const CoreFunction function = find_function(op, result, operand);
  check<InternalError>(function != nullptr, [&] {
    return concat(name_of(op), ": not defined from ", info(operand).name, " to ",
                  info(result).name);
  });
  return function;
}

CoreFunction checked_core_function(CoreOp op, DType result, std::span<const Operand> arguments) {
  bool fits = static_cast<int>(arguments.size()) == core_arity(op);
  if (fits && op == CoreOp::Select)
    fits = arguments[0].dtype == DType::Bool && arguments[1].dtype == arguments[2].dtype;
  else if (fits)
    for (const Operand& argument : arguments) fits &= argument.dtype == arguments[0].dtype;
  check<InternalError>(fits, [&] {
    std::string seen;
    for (const Operand& argument : arguments) seen += concat(' ', info(argument.dtype).name);
    return concat(name_of(op), ": operands do not fit:", seen);
  });
  return core_function(op, result, arguments.back().dtype);
}

int core_arity(CoreOp op) {
  switch (op) {
    case CoreOp::Neg:
    case CoreOp::Abs:
    case CoreOp::Sqrt:
    case CoreOp::Floor:
    case CoreOp::Ceil:
    case CoreOp::Trunc:
    case CoreOp::RoundEven:
    case CoreOp::Not:
    case CoreOp::Convert:
    case CoreOp::Bitcast:
      return 1;
    case CoreOp::Fma:
    case CoreOp::Select:
      return 3;
    default:
      return 2;
  }
}

}  // namespace flambeau::ir
