#include "io/pickle.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "base/error.h"

namespace flambeau::io {
namespace {

/// The instructions that checkpoints use, by the byte that stands for them.
enum class Code : uint8_t {
  Mark = '(',
  Stop = '.',
  Pop = '0',
  PopMark = '1',
  BinInt = 'J',
  BinInt1 = 'K',
  BinInt2 = 'M',
  None = 'N',
  BinPersistent = 'Q',
  Reduce = 'R',
  BinString = 'T',
  ShortBinString = 'U',
  BinUnicode = 'X',
  EmptyList = ']',
  Append = 'a',
  Build = 'b',
  Global = 'c',
  EmptyDict = '}',
  Appends = 'e',
  BinGet = 'h',
  LongBinGet = 'j',
  List = 'l',
  Dict = 'd',
  EmptyTuple = ')',
  BinPut = 'q',
  LongBinPut = 'r',
  SetItem = 's',
  Tuple = 't',
  SetItems = 'u',
  BinFloat = 'G',
  BinBytes = 'B',
  ShortBinBytes = 'C',
  Protocol = 0x80,
  NewObject = 0x81,
  Tuple1 = 0x85,
  Tuple2 = 0x86,
  Tuple3 = 0x87,
  NewTrue = 0x88,
  NewFalse = 0x89,
  Long1 = 0x8a,
  Long4 = 0x8b,
  ShortBinUnicode = 0x8c,
  BinUnicode8 = 0x8d,
  BinBytes8 = 0x8e,
  EmptySet = 0x8f,
  AddItems = 0x90,
  FrozenSet = 0x91,
  StackGlobal = 0x93,
  Memoize = 0x94,
  Frame = 0x95,
};

/// What pickles may hold besides, for the message that refuses it.
struct Refused {
  uint8_t code;
  const char* name;
};
constexpr Refused kRefused[] = {
    {'2', "DUP"},         {'F', "FLOAT"},        {'I', "INT"},
    {'L', "LONG"},        {'P', "PERSID"},       {'S', "STRING"},
    {'V', "UNICODE"},     {'g', "GET"},          {'p', "PUT"},
    {'i', "INST"},        {'o', "OBJ"},          {0x82, "EXT1"},
    {0x83, "EXT2"},       {0x84, "EXT4"},        {0x92, "NEWOBJ_EX"},
    {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
};

constexpr int kNewestProtocol = 5;

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, const std::string& source)
      : bytes_(bytes), source_(source) {}

  Pickle parse() {
    while (!stopped_) step(static_cast<Code>(integer<uint8_t>()));
    pickle_.end = at_;
    return std::move(pickle_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw ValueError(concat(source_, ": ", parts..., " (byte ", at_, " of its pickle)"));
  }

  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) refuse("it ends early: ", count, " more bytes are needed");
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
    at_ += count;
    return {begin, static_cast<size_t>(count)};
  }
  template <class Integer>
  Integer integer() {
    Integer value = 0;
    take(sizeof value).copy(reinterpret_cast<char*>(&value), sizeof value);
    return value;
  }
  std::string_view line() {
    const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
    const auto* end = static_cast<const char*>(std::memchr(begin, '\n', bytes_.size() - at_));
    if (end == nullptr) refuse("it ends in a name");
    const std::string_view text = take(static_cast<uint64_t>(end - begin));
    take(1);
    return text;
  }

  uint32_t add(Step made, std::span<const uint32_t> operands) {
    made.first_operand = static_cast<uint32_t>(pickle_.operands.size());
    made.operand_count = static_cast<uint32_t>(operands.size());
    pickle_.operands.insert(pickle_.operands.end(), operands.begin(), operands.end());
    pickle_.steps.push_back(made);
    return static_cast<uint32_t>(pickle_.steps.size() - 1);
  }
  void push(const Step& made, std::span<const uint32_t> operands = {}) {
    stack_.push_back(add(made, operands));
  }
  void push(StepKind kind, std::span<const uint32_t> operands = {}) {
    push(Step{.kind = kind}, operands);
  }
  void push_text(StepKind kind, std::string_view text) { push(Step{.kind = kind, .text = text}); }
  void push_int(int64_t value) { push(Step{.kind = StepKind::Int, .integer = value}); }

  /// The values above the last mark, or above everything.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  uint32_t pop() {
    if (stack_.size() <= floor()) refuse("an instruction lacks its operands");
    const uint32_t value = stack_.back();
    stack_.pop_back();
    return value;
  }
  uint32_t top() {
    const uint32_t value = pop();
    stack_.push_back(value);
    return value;
  }
  std::vector<uint32_t> pop_to_mark() {
    if (marks_.empty()) refuse("an instruction lacks its mark");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<uint32_t> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }
  void push_tuple(size_t count) {
    std::vector<uint32_t> values(count);
    for (size_t i = count; i-- > 0;) values[i] = pop();
    push(StepKind::Tuple, values);
  }
  /// Two values as one: the callable and its arguments.
  void push_pair(StepKind kind) {
    const uint32_t arguments = pop();
    if (pickle_.steps[arguments].kind != StepKind::Tuple) refuse("arguments are no tuple");
    const uint32_t callable = pop();
    push(kind, std::vector<uint32_t>{callable, arguments});
  }
  /// Changes the top of the stack by `values`.
  void change(StepKind kind, std::vector<uint32_t> values) {
    if (kind == StepKind::SetItems && values.size() % 2 != 0) refuse("a key lacks its value");
    values.insert(values.begin(), top());
    add(Step{.kind = kind}, values);
  }
  void push_container(StepKind kind, StepKind fill) {
    const std::vector<uint32_t> values = pop_to_mark();
    push(kind);
    change(fill, values);
  }

  void remember(uint32_t place) { memo_[place] = top(); }
  void recall(uint32_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) refuse("it refers to value ", place, ", which is not there");
    stack_.push_back(found->second);
  }

  void protocol() {
    if (const int version = integer<uint8_t>(); version < 2 || version > kNewestProtocol)
      refuse("protocol ", version, " of pickle, expected 2 to ", kNewestProtocol);
  }
  void stack_global() {
    const Step& name = pickle_.steps[pop()];
    const Step& module = pickle_.steps[pop()];
    if (name.kind != StepKind::Text || module.kind != StepKind::Text)
      refuse("the name of a class is no text");
    push(Step{.kind = StepKind::Global, .text = module.text, .name = name.text});
  }
  void global() {
    const std::string_view module = line();
    push(Step{.kind = StepKind::Global, .text = module, .name = line()});
  }
  void floating() {
    const uint64_t bits = __builtin_bswap64(integer<uint64_t>());
    push(Step{.kind = StepKind::Float, .number = std::bit_cast<double>(bits)});
  }
  void stop() {
    if (!marks_.empty() || stack_.size() != 1) refuse("it ends with values left over");
    pickle_.result = pop();
    stopped_ = true;
  }
  [[noreturn]] void unknown(Code code) {
    for (const Refused& refused : kRefused)
      if (refused.code == static_cast<uint8_t>(code))
        refuse("the pickle instruction ", refused.name, ", which no checkpoint needs");
    refuse("byte ", static_cast<int>(code), " is no pickle instruction");
  }

  void step(Code code) {
    switch (code) {
      case Code::Protocol:
        return protocol();
      case Code::Frame:
        integer<uint64_t>();
        return;
      case Code::Mark:
        marks_.push_back(stack_.size());
        return;
      case Code::Stop:
        return stop();
      case Code::Pop:
        pop();
        return;
      case Code::PopMark:
        pop_to_mark();
        return;
      case Code::None:
        return push(StepKind::None);
      case Code::NewTrue:
        return push(StepKind::True);
      case Code::NewFalse:
        return push(StepKind::False);
      case Code::BinInt:
        return push_int(integer<int32_t>());
      case Code::BinInt1:
        return push_int(integer<uint8_t>());
      case Code::BinInt2:
        return push_int(integer<uint16_t>());
      case Code::Long1:
        return push_text(StepKind::LongInt, take(integer<uint8_t>()));
      case Code::Long4:
        return push_text(StepKind::LongInt, take(integer<uint32_t>()));
      case Code::BinFloat:
        return floating();
      // The strings of Python 2 are text in what PyTorch wrote.
      case Code::ShortBinString:
        return push_text(StepKind::Text, take(integer<uint8_t>()));
      case Code::BinString:
        return push_text(StepKind::Text, take(integer<uint32_t>()));
      case Code::ShortBinUnicode:
        return push_text(StepKind::Text, take(integer<uint8_t>()));
      case Code::BinUnicode:
        return push_text(StepKind::Text, take(integer<uint32_t>()));
      case Code::BinUnicode8:
        return push_text(StepKind::Text, take(integer<uint64_t>()));
      case Code::ShortBinBytes:
        return push_text(StepKind::Bytes, take(integer<uint8_t>()));
      case Code::BinBytes:
        return push_text(StepKind::Bytes, take(integer<uint32_t>()));
      case Code::BinBytes8:
        return push_text(StepKind::Bytes, take(integer<uint64_t>()));
      case Code::EmptyTuple:
        return push(StepKind::Tuple);
      case Code::Tuple1:
        return push_tuple(1);
      case Code::Tuple2:
        return push_tuple(2);
      case Code::Tuple3:
        return push_tuple(3);
      case Code::Tuple:
        return push(StepKind::Tuple, pop_to_mark());
      case Code::FrozenSet:
        return push(StepKind::FrozenSet, pop_to_mark());
      case Code::EmptyList:
        return push(StepKind::List);
      case Code::EmptyDict:
        return push(StepKind::Dict);
      case Code::EmptySet:
        return push(StepKind::Set);
      case Code::List:
        return push_container(StepKind::List, StepKind::Append);
      case Code::Dict:
        return push_container(StepKind::Dict, StepKind::SetItems);
      case Code::Append:
        return change(StepKind::Append, {pop()});
      case Code::Appends:
        return change(StepKind::Append, pop_to_mark());
      case Code::SetItem: {
        const uint32_t value = pop();
        return change(StepKind::SetItems, {pop(), value});
      }
      case Code::SetItems:
        return change(StepKind::SetItems, pop_to_mark());
      case Code::AddItems:
        return change(StepKind::AddItems, pop_to_mark());
      case Code::Build:
        return change(StepKind::SetState, {pop()});
      case Code::Global:
        return global();
      case Code::StackGlobal:
        return stack_global();
      case Code::Reduce:
        return push_pair(StepKind::Call);
      case Code::NewObject:
        return push_pair(StepKind::New);
      case Code::BinPersistent:
        return push(StepKind::Persistent, std::vector{pop()});
      case Code::BinPut:
        return remember(integer<uint8_t>());
      case Code::LongBinPut:
        return remember(integer<uint32_t>());
      case Code::Memoize:
        return remember(static_cast<uint32_t>(memo_.size()));
      case Code::BinGet:
        return recall(integer<uint8_t>());
      case Code::LongBinGet:
        return recall(integer<uint32_t>());
    }
    unknown(code);
  }

  std::span<const std::byte> bytes_;
  const std::string& source_;
  size_t at_ = 0;
  bool stopped_ = false;
  Pickle pickle_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, uint32_t> memo_;
};

}  // namespace

Pickle parse_pickle(std::span<const std::byte> bytes, const std::string& source) {
  check<ValueError>(bytes.size() <= UINT32_MAX, [&] {
    return concat(source, ": its pickle has ", bytes.size(), " bytes, at most 4 GiB are allowed");
  });
  return Parser(bytes, source).parse();
}

}  // namespace flambeau::io
