#include "ir/emitter.h"

namespace flambeau::ir {

const char* name_of(CoreOp op) {
  switch (op) {
    case CoreOp::Add:
      return "add";
    case CoreOp::Sub:
      return "sub";
    case CoreOp::Mul:
      return "mul";
    case CoreOp::Div:
      return "div";
    case CoreOp::Rem:
      return "rem";
    case CoreOp::Neg:
      return "neg";
    case CoreOp::Abs:
      return "abs";
    case CoreOp::Fma:
      return "fma";
    case CoreOp::Sqrt:
      return "sqrt";
    case CoreOp::Floor:
      return "floor";
    case CoreOp::Ceil:
      return "ceil";
    case CoreOp::Trunc:
      return "trunc";
    case CoreOp::RoundEven:
      return "round_even";
    case CoreOp::Min:
      return "min";
    case CoreOp::Max:
      return "max";
    case CoreOp::And:
      return "and";
    case CoreOp::Or:
      return "or";
    case CoreOp::Xor:
      return "xor";
    case CoreOp::Not:
      return "not";
    case CoreOp::Shl:
      return "shl";
    case CoreOp::ShiftRight:
      return "shift_right";
    case CoreOp::ShiftRightLogical:
      return "shift_right_logical";
    case CoreOp::Eq:
      return "eq";
    case CoreOp::Ne:
      return "ne";
    case CoreOp::Lt:
      return "lt";
    case CoreOp::Le:
      return "le";
    case CoreOp::Gt:
      return "gt";
    case CoreOp::Ge:
      return "ge";
    case CoreOp::Select:
      return "select";
    case CoreOp::Convert:
      return "convert";
    case CoreOp::Bitcast:
      return "bitcast";
    case CoreOp::MulHigh:
      return "mul_high";
    case CoreOp::Scale:
      return "scale";
  }
  return "unknown";
}

}  // namespace flambeau::ir
