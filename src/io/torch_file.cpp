#include "io/torch_file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <optional>

#include "base/error.h"
#include "io/torch_names.h"
#include "io/zip.h"

namespace flambeau::io {
namespace {

using Bytes = std::span<const std::byte>;

/// Elements of every dtype may begin at multiples of this.
constexpr size_t kAlignment = 8;

/// Where the data of storages lies, by key.
using Places = std::map<std::string, Bytes, std::less<>>;

/// Gives the steps of one pickle their meaning.
class Interpretation {
 public:
  Interpretation(TorchFile& file, const Places& places, const AllowedNames& allowed,
                 const std::string& source)
      : file_(file), places_(places), allowed_(allowed), source_(source) {}

  void run() {
    check_names();
    file_.meanings.resize(steps().size());
    for (uint32_t id = 0; id < steps().size(); ++id) give_meaning(id);
    for (const uint32_t id : file_.pickle.operands) check_used(id);
    check_used(file_.pickle.result);
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw ValueError(concat(source_, ": ", parts...));
  }

  const std::vector<Step>& steps() const { return file_.pickle.steps; }
  const Step& step(uint32_t id) const { return steps()[id]; }
  std::span<const uint32_t> operands(uint32_t id) const {
    return file_.pickle.operands_of(step(id));
  }
  StepMeaning& meaning(uint32_t id) { return file_.meanings[id]; }

  static std::string full_name(const Step& global) { return concat(global.text, ".", global.name); }

  /// All names that are refused, in one message.
  void check_names() const {
    std::set<std::string> refused;
    for (const Step& global : steps())
      if (global.kind == StepKind::Global && !find_torch_name(global.text, global.name) &&
          !allowed_.contains(full_name(global)))
        refused.insert(full_name(global));
    if (refused.empty()) return;
    std::string list;
    for (const std::string& name : refused) list += (list.empty() ? "" : ", ") + name;
    refuse("it uses types that are not part of a checkpoint: ", list,
           ". Nothing of them was run. If you trust the file, allow them by name: "
           "torch.serialization.add_safe_globals([",
           list, "])");
  }

  void check_used(uint32_t id) {
    if (meaning(id).meaning == Meaning::Unused && !called_.contains(id))
      refuse(full_name(step(id)), " is no value");
  }

  int64_t integer(uint32_t id, const char* what) const {
    if (step(id).kind != StepKind::Int) return long_integer(id, what);
    return step(id).integer;
  }
  int64_t long_integer(uint32_t id, const char* what) const {
    const std::string_view text = step(id).text;
    if (step(id).kind != StepKind::LongInt || text.size() > sizeof(int64_t))
      refuse(what, " is no integer of 64 bits");
    int64_t value = !text.empty() && (text.back() & 0x80) != 0 ? -1 : 0;
    std::memcpy(&value, text.data(), text.size());
    return value;
  }
  std::string text(uint32_t id, const char* what) const {
    if (step(id).kind != StepKind::Text) refuse(what, " is no text");
    return std::string(step(id).text);
  }
  bool truth(uint32_t id, const char* what) const {
    if (step(id).kind != StepKind::True && step(id).kind != StepKind::False)
      refuse(what, " is neither True nor False");
    return step(id).kind == StepKind::True;
  }
  Ints integers(uint32_t id, const char* what) {
    uint32_t tuple = id;
    if (meaning(id).meaning == Meaning::Size) tuple = operands(operands(id)[1])[0];
    if (step(tuple).kind != StepKind::Tuple) refuse(what, " is no tuple");
    Ints values;
    for (const uint32_t item : operands(tuple)) values.push_back(integer(item, what));
    return values;
  }

  void give_meaning(uint32_t id) {
    switch (step(id).kind) {
      case StepKind::Global:
        return global(id);
      case StepKind::Persistent:
        return persistent(id);
      case StepKind::Call:
        return call(id);
      case StepKind::New:
        return create(id);
      case StepKind::Append:
        return check_target(id, StepKind::List, {});
      case StepKind::SetItems: {
        check_target(id, StepKind::Dict, {Meaning::OrderedDict, Meaning::Counter});
        for (size_t i = 1; i < operands(id).size(); i += 2) check_key(operands(id)[i], 0);
        return;
      }
      case StepKind::AddItems:
        check_target(id, StepKind::Set, {Meaning::PlainSet});
        for (const uint32_t item : operands(id).subspan(1)) check_key(item, 0);
        return;
      case StepKind::FrozenSet:
        for (const uint32_t item : operands(id)) check_key(item, 0);
        return;
      case StepKind::SetState:
        return check_target(id, {}, {Meaning::OrderedDict});
      default:
        return;
    }
  }

  void check_target(uint32_t id, std::optional<StepKind> kind,
                    std::initializer_list<Meaning> made) {
    const uint32_t target = operands(id)[0];
    const Meaning found = meaning(target).meaning;
    const bool plain = found == Meaning::Plain && kind == step(target).kind;
    const bool named = found == Meaning::Named && step(target).kind != StepKind::Global;
    if (!plain && !named && std::find(made.begin(), made.end(), found) == made.end())
      refuse("it changes a value that is no list, dict, set or object");
  }

  /// Keys are numbers, texts and tuples of these, so that to hash one takes no longer than to read
  /// it.
  void check_key(uint32_t id, int depth) {
    const Meaning found = meaning(id).meaning;
    if (found == Meaning::DType || found == Meaning::NamedDType || found == Meaning::Device ||
        found == Meaning::Named)
      return;
    switch (step(id).kind) {
      case StepKind::None:
      case StepKind::False:
      case StepKind::True:
      case StepKind::Int:
      case StepKind::LongInt:
      case StepKind::Float:
      case StepKind::Text:
      case StepKind::Bytes:
        return;
      case StepKind::Tuple:
        if (depth > 0) break;
        for (const uint32_t item : operands(id)) check_key(item, depth + 1);
        return;
      default:
        break;
    }
    refuse("a key of a dict or set is no number, text or tuple of these");
  }

  void global(uint32_t id) {
    const std::optional<TorchName> known = find_torch_name(step(id).text, step(id).name);
    if (!known) {
      meaning(id) = {Meaning::Named};
    } else if (known->call == TorchCall::None) {
      meaning(id) = {known->meaning, static_cast<uint32_t>(known->dtype)};
    } else {
      meaning(id) = {Meaning::Unused};
    }
  }

  /// ("storage", storage type, key, device, number of elements)
  void persistent(uint32_t id) {
    const uint32_t tuple = operands(id)[0];
    const auto parts = operands(tuple);
    if (step(tuple).kind != StepKind::Tuple || parts.size() < 5 ||
        text(parts[0], "a persistent id") != "storage")
      refuse("a persistent id that is no storage");
    if (parts.size() > 5 && step(parts[5]).kind != StepKind::None)
      refuse("a storage that is a view of another");
    const StorageType type = storage_type(parts[1]);
    const std::string key = text(parts[2], "the key of a storage");
    file_.locations.insert(text(parts[3], "the device of a storage"));
    const int64_t count = integer(parts[4], "the size of a storage");
    uint64_t size = 0;
    if (count < 0 || __builtin_mul_overflow(static_cast<uint64_t>(count), type.item_bytes, &size))
      refuse("storage '", key, "' is said to have ", count, " elements");
    const auto [found, is_new] = storage_numbers_.try_emplace(key, 0);
    if (is_new) {
      found->second = static_cast<uint32_t>(file_.storages.size());
      file_.storages.push_back(storage(key, size));
    } else if (file_.storages[found->second]->bytes() != size) {
      refuse("storage '", key, "' is said to have two sizes");
    }
    meaning(id) = {Meaning::Storage, found->second};
    storage_types_.emplace(id, type);
  }

  StorageType storage_type(uint32_t id) {
    if (step(id).kind == StepKind::Global)
      if (const auto known = find_torch_name(step(id).text, step(id).name);
          known && known->call == TorchCall::Storage) {
        called_.insert(id);
        return {known->dtype_known, known->dtype, known->dtype_known ? size_of(known->dtype) : 1};
      }
    refuse("the type of a storage is no storage type");
  }

  Ref<Storage> storage(const std::string& key, uint64_t size) const {
    const auto place = places_.find(key);
    if (place == places_.end()) refuse("the data of storage '", key, "' is not in the file");
    if (place->second.size() < size)
      refuse("storage '", key, "' is said to have ", size, " bytes, but the file has only ",
             place->second.size(), " of it");
    auto* data = const_cast<std::byte*>(place->second.data());
    if (std::bit_cast<uintptr_t>(data) % kAlignment != 0) {
      Ref<Storage> copy = make_ref<Storage>(size);
      if (size > 0) std::memcpy(copy->data(), data, size);
      return copy;
    }
    return make_ref<Storage>(data, size, [whole = file_.bytes] {}, Sharing::Private);
  }

  void call(uint32_t id) {
    const uint32_t callee = operands(id)[0];
    const auto arguments = operands(operands(id)[1]);
    if (meaning(callee).meaning == Meaning::Named && step(callee).kind == StepKind::Global) {
      meaning(id) = {Meaning::Named};
      return;
    }
    const auto known = step(callee).kind == StepKind::Global
                           ? find_torch_name(step(callee).text, step(callee).name)
                           : std::nullopt;
    if (!known || known->call == TorchCall::None || known->call == TorchCall::Storage)
      refuse("it calls what is no function of checkpoints");
    called_.insert(callee);
    if (arguments.size() < known->fewest || arguments.size() > known->most)
      refuse(full_name(step(callee)), " is given ", arguments.size(), " arguments");
    switch (known->call) {
      case TorchCall::RebuildTensor:
        return rebuild_tensor(id, arguments);
      case TorchCall::RebuildParameter:
        return rebuild_parameter(id, arguments);
      case TorchCall::FromType:
        return from_type(id, arguments);
      case TorchCall::OfTexts:
        for (const uint32_t argument : arguments) text(argument, "an argument");
        meaning(id) = {known->meaning};
        return;
      case TorchCall::OfBytes:
        for (const uint32_t argument : arguments)
          if (meaning(argument).meaning != Meaning::PlainBytes &&
              step(argument).kind != StepKind::Bytes)
            refuse("a bytearray of what is no bytes");
        meaning(id) = {known->meaning};
        return;
      case TorchCall::OfTuple:
        if (step(arguments[0]).kind != StepKind::Tuple) refuse("a size that is no tuple");
        integers(arguments[0], "a size");
        meaning(id) = {known->meaning};
        return;
      case TorchCall::Device:
        text(arguments[0], "a device");
        if (arguments.size() > 1) integer(arguments[1], "the number of a device");
        meaning(id) = {known->meaning};
        return;
      case TorchCall::OfNumbers:
        for (const uint32_t argument : arguments)
          if (step(argument).kind != StepKind::Float)
            refuse("a part of a complex number is no float");
        meaning(id) = {known->meaning};
        return;
      default:
        for (const uint32_t argument : arguments) check_iterable(argument);
        meaning(id) = {known->meaning};
    }
  }

  /// What a set, an OrderedDict or a Counter is made of; its items are keys where it is made.
  void check_iterable(uint32_t id) const {
    const StepKind kind = step(id).kind;
    if (kind != StepKind::List && kind != StepKind::Dict && kind != StepKind::Tuple)
      refuse("a container is made of what is no list, dict or tuple");
  }

  /// A tensor is made once; the calls of PyTorch's three functions differ in what comes last.
  void rebuild_tensor(uint32_t id, std::span<const uint32_t> arguments) {
    if (meaning(arguments[0]).meaning != Meaning::Storage) refuse("a tensor without a storage");
    StorageType type = storage_types_.at(arguments[0]);
    const int64_t offset = integer(arguments[1], "the offset of a tensor");
    const Ints sizes = integers(arguments[2], "the shape of a tensor");
    const Ints strides = integers(arguments[3], "the strides of a tensor");
    const bool requires_grad = arguments.size() > 4 && truth(arguments[4], "requires_grad");
    if (arguments.size() > 6) {
      if (meaning(arguments[6]).meaning != Meaning::DType) refuse("the dtype of a tensor is none");
      type = {true, static_cast<DType>(meaning(arguments[6]).index), 0};
    }
    if (!type.dtype_known) refuse("a tensor whose storage has no dtype");
    const Ref<Storage>& memory = file_.storages[meaning(arguments[0]).index];
    check_window(memory->bytes() / size_of(type.dtype), offset, sizes, strides);
    meaning(id) = {Meaning::Tensor, static_cast<uint32_t>(file_.tensors.size())};
    file_.tensors.push_back(
        {Tensor(make_ref<TensorImpl>(memory, TensorInfo{type.dtype, sizes, strides}, offset)),
         requires_grad});
  }

  void check_window(uint64_t elements, int64_t offset, const Ints& sizes,
                    const Ints& strides) const {
    if (sizes.size() != strides.size() || offset < 0)
      refuse("a tensor of shape ", list_text(sizes), " with strides ", list_text(strides),
             " at offset ", offset);
    // The number of elements and the last one's place must fit in 63 bits.
    int64_t last = offset;
    int64_t count = 1;
    bool is_empty = false;
    bool fits = true;
    for (size_t axis = 0; axis < sizes.size(); ++axis) {
      int64_t reach = 0;
      fits =
          fits && sizes[axis] >= 0 && strides[axis] >= 0 &&
          !__builtin_mul_overflow(count, std::max<int64_t>(sizes[axis], 1), &count) &&
          !__builtin_mul_overflow(std::max<int64_t>(sizes[axis] - 1, 0), strides[axis], &reach) &&
          !__builtin_add_overflow(last, reach, &last);
      is_empty = is_empty || sizes[axis] == 0;
    }
    if (!fits || count > (INT64_MAX >> 4) ||
        (is_empty ? static_cast<uint64_t>(offset) > elements
                  : static_cast<uint64_t>(last) >= elements))
      refuse("a tensor of shape ", list_text(sizes), " with strides ", list_text(strides),
             " at offset ", offset, " does not lie in its storage of ", elements, " elements");
  }

  void rebuild_parameter(uint32_t id, std::span<const uint32_t> arguments) {
    if (meaning(arguments[0]).meaning != Meaning::Tensor) refuse("a parameter that is no tensor");
    truth(arguments[1], "requires_grad");
    meaning(id) = {Meaning::Parameter, meaning(arguments[0]).index};
  }

  /// _rebuild_from_type_v2(function, type, arguments, state): a tensor or parameter with
  /// attributes, of a class that the user allows or torch's own.
  void from_type(uint32_t id, std::span<const uint32_t> arguments) {
    const uint32_t function = arguments[0];
    const auto known = step(function).kind == StepKind::Global
                           ? find_torch_name(step(function).text, step(function).name)
                           : std::nullopt;
    const uint32_t type = arguments[1];
    const bool is_global = step(type).kind == StepKind::Global;
    const auto known_type =
        is_global ? find_torch_name(step(type).text, step(type).name) : std::nullopt;
    const bool is_tensor = known_type && known_type->call == TorchCall::TensorType;
    const bool is_allowed = is_global && meaning(type).meaning == Meaning::Named;
    if (!known || known->call != TorchCall::RebuildTensor || !(is_tensor || is_allowed) ||
        step(arguments[2]).kind != StepKind::Tuple)
      refuse("a tensor of a type that is not part of a checkpoint");
    called_.insert(function);
    called_.insert(type);
    const auto inner = operands(arguments[2]);
    if (inner.size() < known->fewest || inner.size() > known->most)
      refuse(full_name(step(function)), " is given ", inner.size(), " arguments");
    rebuild_tensor(id, inner);
  }

  void create(uint32_t id) {
    const uint32_t type = operands(id)[0];
    if (meaning(type).meaning != Meaning::Named || step(type).kind != StepKind::Global)
      refuse("it makes an object of what is no allowed class");
    meaning(id) = {Meaning::Named};
  }

  TorchFile& file_;
  const Places& places_;
  const AllowedNames& allowed_;
  const std::string& source_;
  std::map<std::string, uint32_t, std::less<>> storage_numbers_;
  std::map<uint32_t, StorageType> storage_types_;
  std::set<uint32_t> called_;  ///< names that were used as what they are for
};

Bytes bytes_of(const Ref<Storage>& storage) {
  return {static_cast<const std::byte*>(storage->data()), storage->bytes()};
}

// ---- zip archives ------------------------------------------------------------------------------

TorchFile read_archive(TorchFile file, const AllowedNames& allowed, const std::string& source) {
  const ZipEntries entries = read_zip(bytes_of(file.bytes), source);
  // All lie in one folder, whose name is any.
  constexpr std::string_view kPickle = "/data.pkl";
  std::string folder;
  for (const auto& [name, data] : entries)
    if (name.ends_with(kPickle) && name.find('/') == name.size() - kPickle.size())
      folder = name.substr(0, name.size() - kPickle.size() + 1);
  const auto entry = [&](const std::string& name) {
    const auto found = entries.find(folder + name);
    return found == entries.end() ? Bytes() : found->second;
  };
  check<ValueError>(!folder.empty(), [&] {
    return concat(source, ": it has no data.pkl, so it is no checkpoint of PyTorch's");
  });
  check<ValueError>(entry("constants.pkl").empty(), [&] {
    return concat(source, ": it is a TorchScript archive (torch.jit.save), which holds code");
  });
  const Bytes order = entry("byteorder");
  const std::string_view order_text(reinterpret_cast<const char*>(order.data()), order.size());
  check<ValueError>(order.empty() || order_text == "little",
                    [&] { return concat(source, ": its byte order is '", order_text, "'"); });
  Places places;
  const std::string data_folder = folder + "data/";
  for (const auto& [name, data] : entries)
    if (name.starts_with(data_folder)) places.emplace(name.substr(data_folder.size()), data);
  file.pickle = parse_pickle(entry("data.pkl"), source);
  Interpretation(file, places, allowed, source).run();
  return file;
}

// ---- before PyTorch 1.6 ------------------------------------------------------------------------

constexpr std::string_view kMagic{"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10};
constexpr int64_t kLegacyProtocol = 1001;

/// Pickles one after the other: a magic number, a version, facts of the machine, the object, the
/// keys of storages; then for each key the number of its elements and these.
class LegacyReader {
 public:
  LegacyReader(TorchFile& file, const std::string& source)
      : file_(file), source_(source), rest_(bytes_of(file.bytes)) {}

  Places read() {
    const Pickle magic = next();
    const Step& number = magic.steps[magic.result];
    if (number.kind != StepKind::LongInt || number.text != kMagic)
      refuse("it is neither a zip archive nor a checkpoint of PyTorch's");
    const Pickle version = next();
    if (version.steps[version.result].kind != StepKind::Int ||
        version.steps[version.result].integer != kLegacyProtocol)
      refuse("it has an unknown version of the format");
    next();
    file_.pickle = next();
    const Pickle keys = next();
    return storages(keys);
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw ValueError(concat(source_, ": ", parts...));
  }
  Pickle next() {
    Pickle pickle = parse_pickle(rest_, source_);
    rest_ = rest_.subspan(pickle.end);
    return pickle;
  }

  /// Bytes of an element of each storage, as the object's pickle names them.
  std::map<std::string, size_t, std::less<>> item_sizes() const {
    std::map<std::string, size_t, std::less<>> sizes;
    const Pickle& pickle = file_.pickle;
    for (const Step& step : pickle.steps) {
      if (step.kind != StepKind::Persistent) continue;
      const Step& tuple = pickle.steps[pickle.operands_of(step)[0]];
      const auto parts = pickle.operands_of(tuple);
      if (tuple.kind != StepKind::Tuple || parts.size() < 3) continue;
      const Step& type = pickle.steps[parts[1]];
      const auto known =
          type.kind == StepKind::Global ? find_torch_name(type.text, type.name) : std::nullopt;
      if (known && known->call == TorchCall::Storage)
        sizes.emplace(pickle.steps[parts[2]].text, known->dtype_known ? size_of(known->dtype) : 1);
    }
    return sizes;
  }

  Places storages(const Pickle& keys) {
    const auto sizes = item_sizes();
    Places places;
    for (const Step& step : keys.steps) {
      if (step.kind != StepKind::Append) continue;
      for (const uint32_t id : keys.operands_of(step).subspan(1)) {
        const Step& key = keys.steps[id];
        const auto size = sizes.find(key.text);
        if (key.kind != StepKind::Text || size == sizes.end()) refuse("data of an unknown storage");
        uint64_t count = 0;
        if (rest_.size() < sizeof count) refuse("it ends before its storages do");
        std::memcpy(&count, rest_.data(), sizeof count);
        rest_ = rest_.subspan(sizeof count);
        if (count > rest_.size() / size->second)
          refuse("storage '", key.text, "' is said to have ", count,
                 " elements, but the file ends");
        places.emplace(key.text, rest_.first(count * size->second));
        rest_ = rest_.subspan(count * size->second);
      }
    }
    return places;
  }

  TorchFile& file_;
  const std::string& source_;
  Bytes rest_;
};

bool is_tar(Bytes bytes) {
  constexpr std::string_view kSignature = "ustar";
  constexpr size_t kPlace = 257;
  return bytes.size() > kPlace + kSignature.size() &&
         std::memcmp(bytes.data() + kPlace, kSignature.data(), kSignature.size()) == 0;
}

}  // namespace

TorchFile read_torch_file(const Ref<Storage>& bytes, const AllowedNames& allowed,
                          const std::string& source) {
  TorchFile file{.bytes = bytes};
  if (is_zip(bytes_of(bytes))) return read_archive(std::move(file), allowed, source);
  check<ValueError>(!is_tar(bytes_of(bytes)), [&] {
    return concat(source, ": it is a tar file, as PyTorch wrote before version 0.2");
  });
  const Places places = LegacyReader(file, source).read();
  Interpretation(file, places, allowed, source).run();
  return file;
}

}  // namespace flambeau::io
