#pragma once
// What the text forms of tensor programs and loop programs share: values that read back to the
// bit, attributes, types, and a reader whose errors say line and column.

#include <string>
#include <string_view>

#include "ir/program.h"

namespace flambeau::ir {

/// "true", "-3", "0.1", "1.0", "-inf", "nan", "nan:0x7ff0000000000001" (NaN other than the
/// default).
std::string scalar_text(const Scalar& value);
/// "f32[s0.0, 4]".
std::string type_text(const Type& type);
/// " {axes=[1], value=2}" with the fields that are not the default, or "". `indent` is that of the
/// line, for a body.
std::string attributes_text(const Attributes& attributes, const std::string& indent);
/// "%3 = sub %0, %2 : f32[s0.0]".
std::string node_text(const Node& node, NodeId id, const std::string& indent = "");
/// Program::text with every line but the first indented.
std::string program_text(const Program& program, const std::string& indent);

/// Reads tokens from left to right; blanks and // comments between them are skipped. Whatever does
/// not fit throws ValueError: "program text: line 2, column 7: expected ..., not ...".
class TextReader {
 public:
  explicit TextReader(std::string_view text) : text_(text), rest_(text) {}

  /// Advances past `token` if it comes next. A token that ends in a letter or digit must end there.
  bool take(std::string_view token);
  void expect(std::string_view token);
  /// Fails unless nothing but blanks is left.
  void expect_end();

  /// A name of letters, digits and underscores.
  std::string_view word(const char* wanted);
  int64_t integer();
  /// The number of "%3", "v3", "b3": `letter` and digits.
  int numbered(char letter, const char* wanted);
  /// True if `letter` and a digit come next.
  bool comes_numbered(char letter);
  Scalar scalar();
  DType dtype();
  Type type();
  Dim dim();
  const Primitive* primitive();
  /// The attributes in braces if a brace comes next and `comes_attributes`.
  Attributes attributes(int depth);
  Program program(int depth);

  [[noreturn]] void fail(const std::string& wanted);
  /// Fails at the beginning of the token read last.
  [[noreturn]] void fail_there(const std::string& wanted);

 private:
  void skip_blanks();
  Node node(const Program& program, int depth);
  [[noreturn]] void fail_at(std::string_view place, const std::string& wanted) const;

  std::string_view text_;
  std::string_view rest_;
  std::string_view last_;  ///< the text from the last token on
};

}  // namespace flambeau::ir
