#include "ir/text.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace flambeau::ir {
namespace {

constexpr uint64_t kDefaultNaN = 0x7ff8000000000000U;

std::string double_text(double value) {
  const auto bits = std::bit_cast<uint64_t>(value);
  std::array<char, 40> buffer;
  if (std::isnan(value)) {
    if (bits == kDefaultNaN) return "nan";
    const auto end = std::to_chars(buffer.begin(), buffer.end(), bits, 16).ptr;
    return "nan:0x" + std::string(buffer.begin(), end);
  }
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  const auto end = std::to_chars(buffer.begin(), buffer.end(), value).ptr;
  std::string text(buffer.begin(), end);
  // A number without point or exponent would read back as an integer.
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

/// Nesting of bodies in bodies that the reader follows.
constexpr int kMaxDepth = 8;

}  // namespace

std::string scalar_text(const Scalar& value) {
  if (value.is_float()) return double_text(value.to_double());
  if (value.category() == DTypeCategory::Bool) return value.to_bool() ? "true" : "false";
  return std::to_string(value.to_int());
}

std::string type_text(const Type& type) {
  std::string out(info(type.dtype).ir_name);
  out += '[';
  for (size_t i = 0; i < type.shape.size(); ++i) {
    if (i > 0) out += ", ";
    out += type.shape[i].text();
  }
  return out + ']';
}

std::string attributes_text(const Attributes& attributes, const std::string& indent) {
  std::string out;
  const auto field = [&](const char* name) { out += concat(out.empty() ? " {" : ", ", name, '='); };
  if (!attributes.axes.empty()) {
    field("axes");
    out += list_text(attributes.axes);
  }
  if (!attributes.dims.empty()) {
    field("dims");
    out += '[';
    for (size_t i = 0; i < attributes.dims.size(); ++i) {
      if (i > 0) out += ", ";
      out += attributes.dims[i].text();
    }
    out += ']';
  }
  if (attributes.value != Scalar()) {
    field("value");
    out += scalar_text(attributes.value);
  }
  if (attributes.index != 0) {
    field("index");
    out += std::to_string(attributes.index);
  }
  if (attributes.body != nullptr) {
    field("body");
    out += program_text(*attributes.body, indent);
  }
  if (!out.empty()) out += '}';
  return out;
}

std::string node_text(const Node& node, NodeId id, const std::string& indent) {
  std::string out = concat('%', id, " = ", node.primitive->name);
  for (size_t i = 0; i < node.arguments.size(); ++i)
    out += concat(i == 0 ? " %" : ", %", node.arguments[i]);
  return out + attributes_text(node.attributes, indent) + " : " + type_text(node.type);
}

std::string program_text(const Program& program, const std::string& indent) {
  const std::string inner = indent + "  ";
  std::string out = "program(";
  for (size_t i = 0; i < program.parameters.size(); ++i)
    out += concat(i == 0 ? "" : ", ", 'p', i, ": ", type_text(program.parameters[i]));
  for (size_t i = 0; i < program.numbers.size(); ++i)
    out += concat(i == 0 && program.parameters.empty() ? "" : ", ", 'x', i, ": ",
                  info(program.numbers[i]).ir_name);
  out += ") {\n";
  for (size_t i = 0; i < program.nodes.size(); ++i)
    out += inner + node_text(program.nodes[i], static_cast<NodeId>(i), inner) + "\n";
  out += inner + "return";
  for (size_t i = 0; i < program.results.size(); ++i)
    out += concat(i == 0 ? " %" : ", %", program.results[i]);
  return out + "\n" + indent + "}";
}

std::string Program::text() const { return program_text(*this, "") + "\n"; }

void TextReader::skip_blanks() {
  for (;;) {
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_.front())) != 0)
      rest_.remove_prefix(1);
    if (rest_.substr(0, 2) != "//") return;
    rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
  }
}

bool TextReader::take(std::string_view token) {
  skip_blanks();
  if (rest_.substr(0, token.size()) != token) return false;
  if (is_word(token.back()) && rest_.size() > token.size() && is_word(rest_[token.size()]))
    return false;
  last_ = rest_;
  rest_.remove_prefix(token.size());
  return true;
}

void TextReader::expect(std::string_view token) {
  if (!take(token)) fail(concat("'", token, "'"));
}

void TextReader::expect_end() {
  skip_blanks();
  if (!rest_.empty()) fail("the end");
}

std::string_view TextReader::word(const char* wanted) {
  skip_blanks();
  const auto end = std::find_if_not(rest_.begin(), rest_.end(), is_word);
  const auto length = static_cast<size_t>(end - rest_.begin());
  if (length == 0) fail(wanted);
  last_ = rest_;
  rest_.remove_prefix(length);
  return last_.substr(0, length);
}

int64_t TextReader::integer() {
  skip_blanks();
  int64_t value = 0;
  const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
  if (error != std::errc{}) fail("an integer");
  last_ = rest_;
  rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
  return value;
}

bool TextReader::comes_numbered(char letter) {
  skip_blanks();
  return rest_.size() > 1 && rest_[0] == letter &&
         std::isdigit(static_cast<unsigned char>(rest_[1])) != 0;
}

int TextReader::numbered(char letter, const char* wanted) {
  if (!comes_numbered(letter)) fail(wanted);
  int value = 0;
  const auto [end, error] = std::from_chars(rest_.data() + 1, rest_.data() + rest_.size(), value);
  const auto length = static_cast<size_t>(end - rest_.data());
  if (error != std::errc{} || (length < rest_.size() && is_word(rest_[length]))) fail(wanted);
  last_ = rest_;
  rest_.remove_prefix(length);
  return value;
}

Scalar TextReader::scalar() {
  if (take("true")) return true;
  if (take("false")) return false;
  if (take("nan:")) {
    uint64_t bits = 0;
    if (rest_.substr(0, 2) != "0x") fail("the bits of a NaN");
    rest_.remove_prefix(2);
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), bits, 16);
    if (error != std::errc{} || !std::isnan(std::bit_cast<double>(bits))) fail("the bits of a NaN");
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return std::bit_cast<double>(bits);
  }
  if (take("nan")) return std::bit_cast<double>(kDefaultNaN);
  if (take("inf")) return HUGE_VAL;
  if (take("-inf")) return -HUGE_VAL;
  skip_blanks();
  const size_t digits = std::min(rest_.find_first_not_of("+-.0123456789e"), rest_.size());
  const std::string_view number = rest_.substr(0, digits);
  if (number.find_first_of(".e") == std::string_view::npos) return integer();
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || end != number.data() + number.size()) fail("a number");
  last_ = rest_;
  rest_.remove_prefix(digits);
  return value;
}

DType TextReader::dtype() {
  const std::string_view name = word("a dtype");
  for (int i = 0; i < kDTypeCount; ++i)
    if (info(static_cast<DType>(i)).ir_name == name) return static_cast<DType>(i);
  fail_there("a dtype");
}

Dim TextReader::dim() {
  skip_blanks();
  last_ = rest_;
  try {
    return Dim::parse(rest_);
  } catch (const ValueError&) {
    fail("an extent");
  }
}

Type TextReader::type() {
  Type out;
  out.dtype = dtype();
  expect("[");
  while (!take("]")) {
    if (!out.shape.empty()) expect(",");
    out.shape.push_back(dim());
  }
  return out;
}

const Primitive* TextReader::primitive() {
  const Primitive* row = find_primitive(word("a primitive"));
  if (row == nullptr) fail_there("a primitive");
  return row;
}

Attributes TextReader::attributes(int depth) {
  Attributes out;
  if (!take("{")) return out;
  do {
    if (take("axes")) {
      expect("=");
      expect("[");
      while (!take("]")) {
        if (!out.axes.empty()) expect(",");
        out.axes.push_back(integer());
      }
    } else if (take("dims")) {
      expect("=");
      expect("[");
      while (!take("]")) {
        if (!out.dims.empty()) expect(",");
        out.dims.push_back(dim());
      }
    } else if (take("value")) {
      expect("=");
      out.value = scalar();
    } else if (take("index")) {
      expect("=");
      const int64_t index = integer();
      if (index != static_cast<int>(index)) fail_there("a small integer");
      out.index = static_cast<int>(index);
    } else if (take("body")) {
      expect("=");
      out.body = std::make_shared<const Program>(program(depth + 1));
    } else {
      fail("axes, dims, value, index or body");
    }
  } while (take(","));
  expect("}");
  return out;
}

Node TextReader::node(const Program& program, int depth) {
  const auto count = static_cast<NodeId>(program.nodes.size());
  const auto wanted = [&] { return concat('%', count, ", the number of this node"); };
  if (!comes_numbered('%')) fail(wanted());
  if (numbered('%', "a node") != count) fail_there(wanted());
  expect("=");
  Node out;
  out.primitive = primitive();
  while (comes_numbered('%')) {
    out.arguments.push_back(numbered('%', "an operand"));
    if (out.arguments.back() >= count) fail_there("a node above this one");
    if (!take(",")) break;
    if (!comes_numbered('%')) fail("an operand");
  }
  out.attributes = attributes(depth);
  expect(":");
  out.type = type();
  return out;
}

Program TextReader::program(int depth) {
  if (depth > kMaxDepth) fail("fewer nested bodies");
  Program out;
  expect("program");
  expect("(");
  bool first = true;
  while (!take(")")) {
    if (!first) expect(",");
    first = false;
    if (out.numbers.empty() && comes_numbered('p')) {
      if (numbered('p', "") != static_cast<int>(out.parameters.size()))
        fail_there(concat('p', out.parameters.size()));
      expect(":");
      out.parameters.push_back(type());
    } else if (comes_numbered('x')) {
      if (numbered('x', "") != static_cast<int>(out.numbers.size()))
        fail_there(concat('x', out.numbers.size()));
      expect(":");
      out.numbers.push_back(dtype());
    } else {
      fail("a parameter p0 or a number x0");
    }
  }
  expect("{");
  while (!take("return")) out.nodes.push_back(node(out, depth));
  while (comes_numbered('%')) {
    out.results.push_back(numbered('%', "a result"));
    if (static_cast<size_t>(out.results.back()) >= out.nodes.size())
      fail_there("a node of the program");
    if (!take(",")) break;
    if (!comes_numbered('%')) fail("a result");
  }
  expect("}");
  return out;
}

void TextReader::fail(const std::string& wanted) {
  skip_blanks();
  fail_at(rest_, wanted);
}

void TextReader::fail_there(const std::string& wanted) { fail_at(last_, wanted); }

void TextReader::fail_at(std::string_view place, const std::string& wanted) const {
  const std::string_view before = text_.substr(0, text_.size() - place.size());
  const auto line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t newline = before.rfind('\n');
  const size_t column =
      newline == std::string_view::npos ? before.size() + 1 : before.size() - newline;
  const std::string_view seen = place.substr(0, std::min<size_t>(place.find('\n'), 16));
  throw ValueError(concat("program text: line ", line, ", column ", column, ": expected ", wanted,
                          ", not ", seen.empty() ? "the end" : concat("'", seen, "'")));
}

Program parse_program(std::string_view text) {
  TextReader reader(text);
  Program out = reader.program(0);
  reader.expect_end();
  return out;
}

}  // namespace flambeau::ir
