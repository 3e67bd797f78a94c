#include "compile/saved.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_map>

#include "autograd/program_node.h"
#include "base/cpu_features.h"
#include "base/error.h"
#include "base/version.h"
#include "compile/program.h"
#include "eager/host_program.h"
#include "runtime/saved_kernels.h"

namespace flambeau::compiler {
namespace {

constexpr std::string_view kMagic = "Flambeau program";

class Writer {
 public:
  void word(int64_t value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    out_.insert(out_.end(), bytes, bytes + sizeof value);
  }
  void hash(const Hash128& hash) {
    word(static_cast<int64_t>(hash.low));
    word(static_cast<int64_t>(hash.high));
  }
  void bytes(std::span<const std::byte> bytes) {
    word(static_cast<int64_t>(bytes.size()));
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }
  void text(std::string_view text) { bytes(std::as_bytes(std::span(text))); }
  template <class List>
  void list(const List& list) {
    word(static_cast<int64_t>(list.size()));
    for (const auto& item : list) word(static_cast<int64_t>(item));
  }
  std::vector<std::byte> take() { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

/// Reads what a Writer wrote; whatever does not fit is a ValueError.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  int64_t word() {
    int64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  Hash128 hash() {
    Hash128 hash;
    hash.low = static_cast<uint64_t>(word());
    hash.high = static_cast<uint64_t>(word());
    return hash;
  }
  /// A number in [low, high).
  int32_t number(int64_t low, int64_t high) {
    const int64_t value = word();
    require_whole(value >= low && value < high);
    return static_cast<int32_t>(value);
  }
  size_t count() {
    const int64_t count = word();
    require_whole(count >= 0 && static_cast<size_t>(count) <= rest_.size());
    return static_cast<size_t>(count);
  }
  std::span<const std::byte> bytes() { return take(count()); }
  std::string_view text() {
    const std::span<const std::byte> all = bytes();
    return {reinterpret_cast<const char*>(all.data()), all.size()};
  }
  template <class List>
  void list(List& list, int64_t low, int64_t high) {
    using Item = typename List::value_type;
    for (size_t left = count(); left > 0; --left)
      list.push_back(static_cast<Item>(number(low, high)));
  }
  void expect_end() const { require_whole(rest_.empty()); }
  static void require_whole(bool holds) {
    check<ValueError>(holds, [] { return std::string("load_cache: the file is damaged"); });
  }

 private:
  std::span<const std::byte> take(size_t count) {
    require_whole(count <= rest_.size());
    const std::span<const std::byte> taken = rest_.first(count);
    rest_ = rest_.subspan(count);
    return taken;
  }
  std::span<const std::byte> rest_;
};

/// How many of each thing a program's recordings have: the bounds of what it refers to.
struct Bounds {
  int64_t entries = 0;
  int64_t windows = 0;
  int64_t slots = 0;
  int64_t numbers = 0;
  int64_t integers = 0;
};

constexpr int64_t kMany = int64_t{1} << 31;

void write(Writer& out, const std::vector<IntegerSource>& sources) {
  out.word(static_cast<int64_t>(sources.size()));
  for (const IntegerSource& source : sources) {
    out.word(source.integer);
    out.word(source.window);
    out.word(source.axis);
    out.word(source.base);
    out.word(static_cast<int64_t>(source.part));
  }
}

void write(Writer& out, const std::vector<ViewRead>& views) {
  out.word(static_cast<int64_t>(views.size()));
  for (const ViewRead& view : views) {
    out.word(view.base);
    out.word(view.window);
    out.word(static_cast<int64_t>(view.form.digits.size()));
    for (const ViewForm::Digit& digit : view.form.digits) {
      out.word(digit.axis);
      out.word(digit.is_walked ? 1 : 0);
      out.word(digit.is_cut() ? 1 : 0);
    }
    out.list(view.form.digit_of);
  }
}

std::vector<ViewRead> read_views(Reader& in, const Bounds& bounds) {
  std::vector<ViewRead> views;
  for (size_t left = in.count(); left > 0; --left) {
    ViewRead& view = views.emplace_back();
    view.base = in.number(0, bounds.windows);
    view.window = in.number(0, bounds.windows);
    for (size_t digits = in.count(); digits > 0; --digits) {
      const int32_t axis = in.number(0, 64);
      const bool is_walked = in.number(0, 2) == 1;
      const bool is_cut = in.number(0, 2) == 1;
      view.form.digits.push_back({is_cut ? 2 : 1, 0, 1, axis, is_walked});  // its numbers are none
    }
    in.list(view.form.digit_of, -1, static_cast<int64_t>(view.form.digits.size()));
  }
  return views;
}

std::vector<IntegerSource> read_sources(Reader& in, const Bounds& bounds) {
  std::vector<IntegerSource> sources;
  for (size_t left = in.count(); left > 0; --left) {
    IntegerSource source;
    source.integer = in.number(-1, bounds.integers);
    source.window = in.number(-1, bounds.windows);
    source.axis = in.number(0, 64);
    source.base = in.number(-1, bounds.windows);
    source.part = static_cast<IntegerSource::Part>(in.number(0, 3));
    Reader::require_whole(
        source.integer >= 0 ||
        (source.window >= 0 && (source.part == IntegerSource::Part::Size || source.base >= 0)));
    sources.push_back(source);
  }
  return sources;
}

using Numbering = std::unordered_map<const Executable*, int64_t>;

void write(Writer& out, const Program& program, Numbering& executables,
           std::vector<const Executable*>& order) {
  out.list(program.extents);
  out.word(static_cast<int64_t>(program.regions.size()));
  for (const Region& region : program.regions) {
    const auto [known, fresh] =
        executables.try_emplace(region.program.get(), static_cast<int64_t>(order.size()));
    if (fresh) order.push_back(region.program.get());
    out.word(known->second);
    out.list(region.entries);
    out.list(region.parameters);
    out.list(region.outputs);
    out.list(region.numbers);
    write(out, region.integers);
    out.word(region.facts ? 1 : 0);
    if (region.facts) {
      write(out, region.facts->sources());
      out.list(region.facts->classes());
      write(out, region.facts->views());
    }
    out.text(region.apart);
  }
  for (const auto* per_region : {&program.last_uses, &program.renewed})
    for (const auto& slots : *per_region) out.list(slots);
  out.list(program.unused);
  out.list(program.group_ends);
  out.list(program.flow.seen);
  out.word(static_cast<int64_t>(program.donations.size()));
  for (const auto& [region, from, to] : program.donations)
    for (const int32_t number : {region, from, to}) out.word(number);
  out.word(static_cast<int64_t>(program.flow.values.size()));
  for (const Value& value : program.flow.values) {
    out.word(value.window);
    out.word(value.stored ? 1 : 0);
  }
  out.list(program.flow.value_of);
  out.list(program.flow.needed);
}

std::shared_ptr<const Program> read_program(
    Reader& in, const std::vector<std::shared_ptr<const Executable>>& executables) {
  auto program = std::make_shared<Program>();
  in.list(program->extents, 0, kMany);
  Reader::require_whole(program->extents.size() == 5);
  const auto& e = program->extents;
  const Bounds bounds{e[0], e[1], e[2], e[3], e[4]};
  for (size_t left = in.count(); left > 0; --left) {
    Region region;
    const auto executable =
        static_cast<size_t>(in.number(0, static_cast<int64_t>(executables.size())));
    region.program = executables[executable];
    in.list(region.entries, 0, bounds.entries);
    Reader::require_whole(!region.entries.empty());
    in.list(region.parameters, 0, bounds.windows);
    in.list(region.outputs, -1, bounds.windows);
    in.list(region.numbers, 0, bounds.numbers);
    region.integers = read_sources(in, bounds);
    if (in.number(0, 2) == 1) {
      std::vector<IntegerSource> sources = read_sources(in, bounds);
      std::vector<int32_t> classes;
      in.list(classes, -1, static_cast<int64_t>(sources.size()));
      Reader::require_whole(classes.size() == sources.size());
      region.facts.emplace(std::move(sources), std::move(classes), read_views(in, bounds));
    }
    region.apart = lasting_name(std::string(in.text()));
    program->regions.push_back(std::move(region));
  }
  for (auto* per_region : {&program->last_uses, &program->renewed})
    for (size_t i = 0; i < program->regions.size(); ++i)
      in.list(per_region->emplace_back(), 0, bounds.slots);
  in.list(program->unused, 0, bounds.slots);
  const auto regions = static_cast<int64_t>(program->regions.size());
  in.list(program->group_ends, 0, regions + 1);
  in.list(program->flow.seen, 0, 2);
  for (size_t left = in.count(); left > 0; --left) {
    const int32_t region = in.number(0, regions);
    const int32_t from = in.number(0, bounds.windows);
    program->donations.push_back({region, from, in.number(0, bounds.windows)});
  }
  for (size_t left = in.count(); left > 0; --left) {
    const int32_t window = in.number(0, bounds.windows);
    program->flow.values.push_back({window, in.number(0, 2) == 1});
  }
  in.list(program->flow.value_of, -1, static_cast<int64_t>(program->flow.values.size()));
  in.list(program->flow.needed, 0, 2);
  Reader::require_whole(!program->group_ends.empty() &&
                        program->group_ends.back() == program->regions.size() &&
                        static_cast<int64_t>(program->flow.seen.size()) == bounds.slots &&
                        static_cast<int64_t>(program->flow.needed.size()) == bounds.entries);
  return program;
}

}  // namespace

std::vector<std::byte> save_programs() {
  Writer programs;
  Numbering numbering;
  std::vector<const Executable*> executables;
  auto cached = cached_programs();
  // Another process has no text of what a host kernel is called with.
  std::erase_if(cached, [](const CachedProgram& each) {
    const auto& regions = each.program->regions;
    return std::any_of(regions.begin(), regions.end(), [](const Region& region) {
      return host_program_of(*region.program) != nullptr;
    });
  });
  programs.word(static_cast<int64_t>(cached.size()));
  for (const auto& [key, program] : cached) {
    programs.hash(key);
    write(programs, *program, numbering, executables);
  }
  Writer out;
  out.text(kMagic);
  out.text(version());
  out.hash(compiler_version());
  out.text(isa_name(active_isa()));
  out.word(static_cast<int64_t>(executables.size()));
  for (const Executable* executable : executables)
    out.text(flambeau::program_of(*executable).text());
  out.bytes(programs.take());
  const std::vector<SavedKernel> kernels = saved_kernels();
  out.word(static_cast<int64_t>(kernels.size()));
  for (const SavedKernel& kernel : kernels) {
    out.hash(kernel.key);
    out.hash(hash_bytes(kernel.bytes.data(), kernel.bytes.size()));
    out.bytes(kernel.bytes);
  }
  return out.take();
}

Loaded load_programs(std::vector<std::byte> bytes) {
  Reader in(bytes);
  check<ValueError>(bytes.size() > kMagic.size() + 8 && in.text() == kMagic, [] {
    return std::string("load_cache: the file is none that save_cache wrote");
  });
  const std::string_view saved_version = in.text();
  check<ValueError>(saved_version == version(), [&] {
    return concat("load_cache: the file was saved by version ", saved_version, ", and this is ",
                  version());
  });
  check<ValueError>(in.hash() == compiler_version(), [] {
    return std::string("load_cache: the file was saved by another build of this version");
  });
  const std::string_view isa = in.text();
  check<ValueError>(isa == isa_name(active_isa()), [&] {
    return concat("load_cache: the file holds kernels for ", isa, ", and this process runs ",
                  isa_name(active_isa()));
  });
  std::vector<std::shared_ptr<const Executable>> executables;
  for (size_t left = in.count(); left > 0; --left) {
    ir::Program program = ir::parse_program(in.text());
    ir::verify(program);
    executables.push_back(make_executable(std::move(program)));
  }
  Reader programs(in.bytes());
  std::vector<std::pair<Hash128, std::shared_ptr<const Program>>> list;
  for (size_t left = programs.count(); left > 0; --left) {
    const Hash128 key = programs.hash();
    list.emplace_back(key, read_program(programs, executables));
  }
  programs.expect_end();
  std::vector<SavedKernel> kernels;
  for (size_t left = in.count(); left > 0; --left) {
    const Hash128 key = in.hash();
    const Hash128 content = in.hash();
    const std::span<const std::byte> code = in.bytes();
    Reader::require_whole(hash_bytes(code.data(), code.size()) == content);
    kernels.push_back({key, {code.begin(), code.end()}});
  }
  in.expect_end();
  const Loaded loaded{list.size(), kernels.size()};
  add_saved_kernels(std::move(kernels));
  for (auto& [key, program] : list) add_program(key, std::move(program));
  return loaded;
}

}  // namespace flambeau::compiler
