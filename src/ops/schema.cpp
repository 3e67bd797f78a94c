#include "ops/schema.h"

#include <array>
#include <charconv>

#include "base/error.h"

namespace flambeau::ops {
namespace {

struct TypeName {
  std::string_view name;
  ArgumentType type;
  ArgumentType list;  // the type of NAME[]; itself if there is none
};
constexpr std::array kTypes = {
    TypeName{"Tensor", ArgumentType::Tensor, ArgumentType::TensorList},
    TypeName{"Scalar", ArgumentType::Number, ArgumentType::NumberList},
    TypeName{"int", ArgumentType::Int, ArgumentType::IntList},
    TypeName{"SymInt", ArgumentType::Int, ArgumentType::IntList},
    TypeName{"float", ArgumentType::Float, ArgumentType::FloatList},
    TypeName{"bool", ArgumentType::Bool, ArgumentType::BoolList},
    TypeName{"str", ArgumentType::String, ArgumentType::String},
    TypeName{"ScalarType", ArgumentType::DType, ArgumentType::DType},
    TypeName{"Device", ArgumentType::Device, ArgumentType::Device},
    TypeName{"Layout", ArgumentType::Layout, ArgumentType::Layout},
    TypeName{"MemoryFormat", ArgumentType::MemoryFormat, ArgumentType::MemoryFormat},
    TypeName{"Generator", ArgumentType::Generator, ArgumentType::Generator},
};

bool is_word(char c) {
  return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

struct ParsedType {
  ArgumentType type = ArgumentType::Tensor;
  bool optional = false;
  bool optional_items = false;
  int list_length = 0;
  char alias = 0;
  bool written = false;
};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Schema run() {
    Schema schema;
    schema.name = word("a name");
    if (accept(".")) schema.overload = word("an overload name");
    expect("(");
    bool keyword_only = false;
    if (!accept(")")) do {
        if (accept("*")) {
          if (keyword_only) fail("only one '*'");
          keyword_only = true;
          continue;
        }
        schema.parameters.push_back(parameter(keyword_only));
        for (size_t i = 0; i + 1 < schema.parameters.size(); ++i)
          if (schema.parameters[i].name == schema.parameters.back().name)
            fail("names that differ between parameters");
      } while (accept(",") || (expect(")"), false));
    expect("->");
    if (accept("(")) {
      if (!accept(")")) do
          schema.returns.push_back(return_type());
        while (accept(",") || (expect(")"), false));
    } else {
      schema.returns.push_back(return_type());
    }
    skip_spaces();
    if (at_ != text_.size()) fail("the end");
    return schema;
  }

 private:
  [[noreturn]] void fail(std::string_view wanted) const {
    throw InternalError(concat("schema '", text_, "': expected ", wanted, " at position ", at_));
  }
  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool accept(std::string_view token) {
    skip_spaces();
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void expect(std::string_view token) {
    if (!accept(token)) fail(concat("'", token, "'"));
  }
  std::string word(std::string_view what) {
    skip_spaces();
    const size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    if (begin == at_) fail(what);
    return std::string(text_.substr(begin, at_ - begin));
  }

  ParsedType type() {
    skip_spaces();
    const size_t begin = at_;
    const std::string name = word("a type");
    const TypeName* row = nullptr;
    for (const TypeName& candidate : kTypes)
      if (candidate.name == name) row = &candidate;
    if (row == nullptr) {
      at_ = begin;
      fail("a type");
    }
    ParsedType parsed{.type = row->type};
    if (row->type == ArgumentType::Tensor && accept("(")) {
      parsed.alias = word("an alias letter")[0];
      parsed.written = accept("!");
      if (accept("->")) expect("*");
      expect(")");
    }
    parsed.optional = accept("?");
    if (accept("[")) {
      if (row->list == row->type) fail("a type that has lists");
      parsed.type = row->list;
      parsed.optional_items = parsed.optional;
      if (!accept("]")) {
        parsed.list_length = static_cast<int>(integer());
        expect("]");
      }
      parsed.optional = accept("?");
    }
    return parsed;
  }

  Parameter parameter(bool keyword_only) {
    const ParsedType t = type();
    Parameter p;
    p.type = t.type;
    p.optional = t.optional;
    p.optional_items = t.optional_items;
    p.list_length = t.list_length;
    p.alias = t.alias;
    p.written = t.written;
    p.keyword_only = keyword_only;
    p.name = word("a parameter name");
    if (accept("=")) {
      p.has_default = true;
      p.default_value = default_value(p);
    }
    return p;
  }

  ReturnType return_type() {
    const ParsedType t = type();
    ReturnType r{.type = t.type, .name = {}, .alias = t.alias, .written = t.written};
    skip_spaces();
    if (at_ < text_.size() && is_word(text_[at_])) r.name = word("a name");
    return r;
  }

  int64_t integer() {
    const Scalar value = number();
    if (value.is_float()) fail("an integer");
    return value.to_int();
  }
  Scalar number() {
    skip_spaces();
    const char* begin = text_.data() + at_;
    const char* end = text_.data() + text_.size();
    int64_t i = 0;
    double d = 0;
    const auto as_int = std::from_chars(begin, end, i);
    const auto as_double = std::from_chars(begin, end, d);
    if (as_double.ec != std::errc() && as_int.ec != std::errc()) fail("a number");
    const bool is_int = as_int.ec == std::errc() && as_int.ptr >= as_double.ptr;
    at_ += static_cast<size_t>((is_int ? as_int.ptr : as_double.ptr) - begin);
    return is_int ? Scalar(i) : Scalar(d);
  }
  bool boolean() {
    if (accept("True")) return true;
    expect("False");
    return false;
  }
  template <class Item>
  void list(Item&& item) {
    if (accept("]")) return;
    do item();
    while (accept(",") || (expect("]"), false));
  }

  Argument default_value(const Parameter& p) {
    if (accept("None")) {
      if (!p.optional) fail("a default that is not None");
      return {};
    }
    switch (p.type) {
      case ArgumentType::Number: {
        if (accept("True")) return Scalar(true);
        if (accept("False")) return Scalar(false);
        return number();
      }
      case ArgumentType::Int:
        return Scalar(integer());
      case ArgumentType::Float:
        return Scalar(number().to_double());
      case ArgumentType::Bool:
        return Scalar(boolean());
      case ArgumentType::IntList:
      case ArgumentType::BoolList: {
        Ints items;
        const auto one = [&] { return p.type == ArgumentType::IntList ? integer() : boolean(); };
        if (accept("[")) {
          list([&] { items.push_back(one()); });
        } else {
          items.resize(static_cast<size_t>(std::max(p.list_length, 1)), one());
        }
        return items;
      }
      case ArgumentType::FloatList: {
        std::vector<double> items;
        expect("[");
        list([&] { items.push_back(number().to_double()); });
        return items;
      }
      case ArgumentType::TensorList:
        expect("[");
        expect("]");
        return TensorRefs{};
      case ArgumentType::String: {
        expect("\"");
        const size_t end = text_.find('"', at_);
        if (end == std::string_view::npos) fail("a closing quote");
        std::string value(text_.substr(at_, end - at_));
        at_ = end + 1;
        return value;
      }
      case ArgumentType::DType: {
        const size_t begin = at_;
        try {
          return dtype_from_name(word("a dtype"));
        } catch (const ValueError&) {
          at_ = begin;
          fail("a dtype");
        }
      }
      case ArgumentType::Device:
      case ArgumentType::Layout:
      case ArgumentType::MemoryFormat:
        return word("a name");
      default:
        fail("None, the only default of its type");
    }
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string number_text(const Scalar& value) {
  if (value.category() == DTypeCategory::Bool) return value.to_bool() ? "True" : "False";
  std::array<char, 40> buffer{};
  char* end =
      value.is_float()
          ? std::to_chars(buffer.data(), buffer.data() + buffer.size(), value.to_double()).ptr
          : std::to_chars(buffer.data(), buffer.data() + buffer.size(), value.to_int()).ptr;
  std::string text(buffer.data(), end);
  // A float stays one when it is read again.
  if (value.is_float() && text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string argument_text(const Parameter& p) {
  const Argument& value = p.default_value;
  if (std::holds_alternative<std::monostate>(value)) return "None";
  if (const auto* number = std::get_if<Scalar>(&value)) return number_text(*number);
  if (const auto* dtype = std::get_if<flambeau::DType>(&value))
    return std::string(info(*dtype).name);
  if (const auto* text = std::get_if<std::string>(&value))
    return p.type == ArgumentType::String ? concat('"', *text, '"') : *text;
  std::string items;
  const auto add = [&](const std::string& item) { items += (items.empty() ? "" : ", ") + item; };
  if (const auto* ints = std::get_if<Ints>(&value))
    for (const int64_t item : *ints)
      add(number_text(p.type == ArgumentType::BoolList ? Scalar(item != 0) : Scalar(item)));
  if (const auto* doubles = std::get_if<std::vector<double>>(&value))
    for (const double item : *doubles) add(number_text(Scalar(item)));
  return concat('[', items, ']');
}

std::string type_text(ArgumentType type, char alias, bool written, bool optional_items,
                      int list_length) {
  std::string text(name_of(type));
  const size_t bracket = text.find('[');
  std::string mark;
  if (alias != 0) mark = concat('(', alias, written ? "!" : "", ')');
  if (optional_items) mark += '?';
  text.insert(std::min(bracket, text.size()), mark);
  if (list_length > 0) text.insert(text.size() - 1, std::to_string(list_length));
  return text;
}

}  // namespace

int Schema::index_of(std::string_view parameter) const {
  for (size_t i = 0; i < parameters.size(); ++i)
    if (parameters[i].name == parameter) return static_cast<int>(i);
  throw InternalError(concat(name, " has no parameter '", parameter, "'"));
}

std::string Schema::text() const {
  std::string text = name + (overload.empty() ? "" : "." + overload) + "(";
  bool keyword_only = false;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& p = parameters[i];
    if (i > 0) text += ", ";
    if (p.keyword_only && !keyword_only) text += "*, ";
    keyword_only = p.keyword_only;
    text += type_text(p.type, p.alias, p.written, p.optional_items, p.list_length);
    text += (p.optional ? "? " : " ") + p.name;
    if (p.has_default) text += "=" + argument_text(p);
  }
  text += ") -> ";
  if (returns.size() != 1) text += "(";
  for (size_t i = 0; i < returns.size(); ++i) {
    const ReturnType& r = returns[i];
    if (i > 0) text += ", ";
    text += type_text(r.type, r.alias, r.written, false, 0);
    if (!r.name.empty()) text += " " + r.name;
  }
  if (returns.size() != 1) text += ")";
  return text;
}

Schema parse_schema(std::string_view text) { return Parser(text).run(); }

std::string_view name_of(ArgumentType type) {
  switch (type) {
    case ArgumentType::Tensor:
      return "Tensor";
    case ArgumentType::TensorList:
      return "Tensor[]";
    case ArgumentType::Number:
      return "Scalar";
    case ArgumentType::NumberList:
      return "Scalar[]";
    case ArgumentType::Int:
      return "int";
    case ArgumentType::IntList:
      return "int[]";
    case ArgumentType::Float:
      return "float";
    case ArgumentType::FloatList:
      return "float[]";
    case ArgumentType::Bool:
      return "bool";
    case ArgumentType::BoolList:
      return "bool[]";
    case ArgumentType::String:
      return "str";
    case ArgumentType::DType:
      return "ScalarType";
    case ArgumentType::Device:
      return "Device";
    case ArgumentType::Layout:
      return "Layout";
    case ArgumentType::MemoryFormat:
      return "MemoryFormat";
    case ArgumentType::Generator:
      return "Generator";
  }
  throw InternalError("name_of: not an argument type");
}

}  // namespace flambeau::ops
