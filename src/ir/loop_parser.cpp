#include <algorithm>

#include "base/error.h"
#include "ir/loop_text.h"
#include "ir/text.h"

namespace flambeau::ir {
namespace {

/// Numbers of values, variables and slots in a text: enough for any kernel, and small enough that
/// tables by number stay small whatever the input.
constexpr int kMaxNumber = 1 << 20;
constexpr int kMaxDepth = 64;

class LoopParser {
 public:
  explicit LoopParser(std::string_view text) : reader_(text) {}

  LoopProgram run() {
    reader_.expect("kernel");
    reader_.expect("(");
    while (!reader_.take(")")) {
      if (!program_.buffers.empty()) reader_.expect(",");
      read_buffer();
    }
    int slots = -1;
    int values = -1;
    int variables = -1;
    if (reader_.take("slots")) slots = read_count();
    if (reader_.take("values")) values = read_count();
    if (reader_.take("variables")) variables = read_count();
    reader_.expect("{");
    while (!reader_.take("}")) program_.body.push_back(read_statement(0));
    reader_.expect_end();

    const LoopCounts least = least_counts(program_);
    program_.slot_count = slots < 0 ? least.slots : slots;
    program_.value_count = values < 0 ? least.values : values;
    program_.variable_count = variables < 0 ? least.variables : variables;
    return std::move(program_);
  }

 private:
  void read_buffer() {
    if (read_number('b', "a buffer") != static_cast<int>(program_.buffers.size()))
      reader_.fail_there(concat('b', program_.buffers.size()));
    reader_.expect(":");
    BufferInfo& buffer = program_.buffers.emplace_back();
    buffer.dtype = reader_.dtype();
    buffer.is_output = reader_.take("out");
    if (!buffer.is_output) reader_.expect("in");
  }

  int read_count() {
    reader_.expect("=");
    const int64_t count = reader_.integer();
    if (count < 0 || count > kMaxNumber) reader_.fail_there("a count");
    return static_cast<int>(count);
  }

  int read_number(char letter, const char* wanted) {
    const int number = reader_.numbered(letter, wanted);
    if (number >= kMaxNumber) reader_.fail_there(wanted);
    return number;
  }

  ValueId read_value() { return read_number('%', "a value"); }

  IntOperand read_operand() {
    if (reader_.comes_numbered('i')) return IntOperand::slot(read_number('i', "a slot"));
    return IntOperand::constant(reader_.integer());
  }

  IntOperand read_coefficient() {
    return reader_.take("*") ? read_operand() : IntOperand::constant(1);
  }

  /// "[v0 * i1 + %3 * 4 + i2]": variables, then values, then the offset.
  LoopIndex read_index() {
    LoopIndex out;
    reader_.expect("[");
    do {
      if (out.dynamic.empty() && reader_.comes_numbered('v')) {
        const LoopVar variable = read_number('v', "a variable");
        out.terms.push_back({variable, read_coefficient()});
      } else if (reader_.comes_numbered('%')) {
        const ValueId value = read_value();
        out.dynamic.push_back({value, read_coefficient()});
      } else {
        out.offset = read_operand();
        break;
      }
    } while (reader_.take("+"));
    reader_.expect("]");
    return out;
  }

  void read_address(Statement& s) {
    s.buffer = read_number('b', "a buffer");
    if (static_cast<size_t>(s.buffer) >= program_.buffers.size())
      reader_.fail_there("a buffer of the kernel");
    s.index = read_index();
  }

  void read_mask(Statement& s) {
    if (reader_.take("if")) s.mask = read_value();
  }

  void read_dtype(Statement& s) {
    reader_.expect(":");
    s.dtype = reader_.dtype();
  }

  void read_range(Statement& s) {
    s.variable = read_number('v', "a variable");
    reader_.expect("in");
    if (reader_.comes_numbered('%'))
      s.extent_value = read_value();
    else
      s.extent = read_operand();
    if (reader_.take("as")) read_digits(s);
  }

  /// "(v2, v3 in i4) from %5", after "as".
  void read_digits(Statement& s) {
    reader_.expect("(");
    do {
      Statement::Digit digit{read_number('v', "a variable"), {}};
      if (!s.digits.empty()) {
        reader_.expect("in");
        digit.extent = read_operand();
      }
      s.digits.push_back(digit);
    } while (reader_.take(","));
    reader_.expect(")");
    if (reader_.take("from")) s.digits_from = read_value();
  }

  void read_body(Statement& s, int depth) {
    if (depth >= kMaxDepth) reader_.fail("fewer nested loops");
    reader_.expect("{");
    while (!reader_.take("}")) {
      if (s.kind == StatementKind::Reduce && reader_.take("yield")) {
        s.yield = read_value();
        reader_.expect("}");
        return;
      }
      s.body.push_back(read_statement(depth + 1));
    }
    if (s.kind == StatementKind::Reduce) reader_.fail_there("yield");
  }

  Statement read_statement(int depth) {
    Statement s;
    if (reader_.comes_numbered('%')) {
      s.result = read_value();
      reader_.expect("=");
      read_definition(s, depth);
    } else if (reader_.take("store")) {
      s.kind = StatementKind::Store;
      read_address(s);
      s.dtype = program_.buffers[static_cast<size_t>(s.buffer)].dtype;
      reader_.expect(",");
      s.arguments.push_back(read_value());
      read_mask(s);
      if (reader_.take("nontemporal")) s.slot = read_number('i', "a slot");
    } else {
      s.kind = StatementKind::Loop;
      read_mark(s);
      if (s.mark == LoopMark::Parallel || s.mark == LoopMark::ParallelInner)
        s.variable = read_number('v', "a variable");
      else
        read_range(s);
      read_body(s, depth);
    }
    return s;
  }

  void read_mark(Statement& s) {
    for (const LoopMark mark :
         {LoopMark::Parallel, LoopMark::ParallelInner, LoopMark::Serial, LoopMark::Vector})
      if (reader_.take(name_of(mark))) {
        s.mark = mark;
        return;
      }
    reader_.fail("a statement");
  }

  /// What follows "%n =".
  void read_definition(Statement& s, int depth) {
    if (reader_.take("constant")) {
      s.kind = StatementKind::Constant;
      s.attributes.value = reader_.scalar();
      read_dtype(s);
    } else if (reader_.take("slot")) {
      s.kind = StatementKind::Slot;
      s.slot = read_number('i', "a slot");
      read_dtype(s);
    } else if (reader_.take("index")) {
      s.kind = StatementKind::Index;
      s.index = read_index();
      read_dtype(s);
    } else if (reader_.take("load")) {
      s.kind = StatementKind::Load;
      read_address(s);
      read_mask(s);
      read_dtype(s);
    } else {
      s.primitive = reader_.primitive();
      if (s.primitive->cls == PrimitiveClass::Reduce)
        read_reduce(s, depth);
      else if (s.primitive->cls == PrimitiveClass::Scan)
        read_scan(s);
      else
        read_compute(s);
    }
    dtypes_.resize(std::max(dtypes_.size(), static_cast<size_t>(s.result) + 1), DType::Float32);
    dtypes_[static_cast<size_t>(s.result)] = s.dtype;
  }

  void read_arguments(Statement& s) {
    while (reader_.comes_numbered('%')) {
      s.arguments.push_back(read_value());
      if (!reader_.take(",")) break;
      if (!reader_.comes_numbered('%')) reader_.fail("a value");
    }
  }

  void read_compute(Statement& s) {
    s.kind = StatementKind::Compute;
    read_arguments(s);
    s.attributes = reader_.attributes(0);
    read_dtype(s);
  }

  void read_scan(Statement& s) {
    s.kind = StatementKind::Scan;
    read_arguments(s);
    reader_.expect("over");
    s.variable = read_number('v', "a variable");
    read_dtype(s);
  }

  void read_reduce(Statement& s, int depth) {
    s.kind = StatementKind::Reduce;
    read_range(s);
    read_mark(s);
    if (reader_.take("tree")) s.order = ReduceOrder::Tree;
    // Without a dtype it is that of the value that the body yields.
    const bool typed = reader_.take(":");
    if (typed) s.dtype = reader_.dtype();
    read_body(s, depth);
    if (!typed && static_cast<size_t>(s.yield) < dtypes_.size())
      s.dtype = dtypes_[static_cast<size_t>(s.yield)];
  }

  TextReader reader_;
  LoopProgram program_;
  std::vector<DType> dtypes_;  ///< of the values read so far
};

}  // namespace

LoopProgram parse_loop_program(std::string_view text) { return LoopParser(text).run(); }

}  // namespace flambeau::ir
