#include "ops/registry.h"

#include <algorithm>
#include <deque>
#include <map>

namespace flambeau::ops {
namespace {

std::vector<std::unique_ptr<Definition>>& registered() {
  static std::vector<std::unique_ptr<Definition>> list;
  return list;
}

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Definition::Traits traits_of(const Definition& d, const Parameter& p) {
  using enum Definition::Role;
  Definition::Traits t;
  t.number_allowed = contains(d.numbers, p.name);
  t.axis = contains(d.axes, p.name);
  t.fitting = contains(d.fitting, p.name);
  t.has_sign = contains(d.signs, p.name);
  switch (p.type) {
    case ArgumentType::Tensor:
    case ArgumentType::TensorList:
      t.role = Tensor;
      t.promoted = d.promotion != Promotion::None && !contains(d.unpromoted, p.name);
      break;
    case ArgumentType::Number:
    case ArgumentType::Float:
      t.role = Number;
      t.promoted = t.number_allowed;
      break;
    case ArgumentType::Int:
    case ArgumentType::IntList:
      t.role = contains(d.dynamic, p.name) ? Integer : Static;
      break;
    case ArgumentType::Generator:
      t.role = Opaque;
      break;
    default:
      break;
  }
  return t;
}

void complete(Definition& d) {
  d.parsed = parse_schema(d.schema);
  for (const Parameter& p : d.parsed.parameters) d.traits.push_back(traits_of(d, p));
  const auto known = [&](const std::vector<std::string_view>& names) {
    for (const std::string_view name : names) d.parsed.index_of(name);
  };
  known(d.numbers);
  known(d.fitting);
  known(d.unpromoted);
  known(d.axes);
  known(d.dynamic);
  known(d.signs);
  for (const auto& [name, values] : d.special) d.parsed.index_of(name);
  check<InternalError>((d.lower != nullptr) + (d.kernel != nullptr) == 1, [&] {
    return concat("operation ", d.parsed.name, ": needs either lower or kernel");
  });
}

/// The copying form of a view: the same elements in fresh, row-major tensors.
std::unique_ptr<Definition> copying_form(const Definition& view) {
  static std::deque<std::string> texts;
  auto copy = std::make_unique<Definition>(view);
  Schema schema = parse_schema(view.schema);
  schema.name += "_copy";
  for (Parameter& p : schema.parameters) p.alias = 0;
  for (ReturnType& r : schema.returns) r.alias = 0;
  copy->schema = texts.emplace_back(schema.text());
  copy->doc = texts.emplace_back(
      concat("A copy of what ", parse_schema(view.schema).name, " gives: ", view.doc));
  copy->variants = {.method = false, .out = schema.returns[0].type == ArgumentType::Tensor};
  copy->returns = Returns::New;
  copy->alias = nullptr;
  copy->strides = [](const Call&, ResultInfos& results) {
    for (TensorInfo& result : results) result.strides = contiguous_strides(result.sizes);
  };
  copy->errors = nullptr;
  return copy;
}

struct Registry {
  std::vector<const Definition*> all;
  std::map<std::string_view, std::pair<size_t, size_t>> by_name;  // position and number

  Registry() {
    for (size_t i = 0, n = registered().size(); i < n; ++i)
      if (registered()[i]->variants.copy) registered().push_back(copying_form(*registered()[i]));
    std::vector<Definition*> sorted;
    for (const auto& d : registered()) {
      complete(*d);
      d->id = static_cast<int>(sorted.size());
      sorted.push_back(d.get());
    }
    std::sort(sorted.begin(), sorted.end(), [](const Definition* a, const Definition* b) {
      return std::pair(std::string_view(a->parsed.name), a->id) <
             std::pair(std::string_view(b->parsed.name), b->id);
    });
    for (Definition* d : sorted) {
      d->id = static_cast<int>(all.size());
      auto& [first, count] = by_name.try_emplace(d->parsed.name, all.size(), 0).first->second;
      for (size_t i = first; i < all.size(); ++i)
        check<InternalError>(all[i]->parsed.overload != d->parsed.overload, [&] {
          return concat("operation ", d->parsed.name, ": overload '", d->parsed.overload,
                        "' is defined twice");
        });
      all.push_back(d);
      ++count;
    }
  }
};

const Registry& registry() {
  static const Registry instance;
  return instance;
}

}  // namespace

Register::Register(Definition d) {
  registered().push_back(std::make_unique<Definition>(std::move(d)));
  definition = registered().back().get();
}

std::span<const Definition* const> all_definitions() { return registry().all; }

std::span<const Definition* const> find_overloads(std::string_view name) {
  const auto found = registry().by_name.find(name);
  if (found == registry().by_name.end()) return {};
  return std::span(registry().all).subspan(found->second.first, found->second.second);
}

const Definition& find_definition(std::string_view name, std::string_view overload) {
  for (const Definition* d : find_overloads(name))
    if (d->parsed.overload == overload) return *d;
  throw InternalError(concat("there is no operation '", name, "' with overload '", overload, "'"));
}

const Definition& permute_operation() {
  static const Definition& operation = find_definition("permute");
  return operation;
}
const Definition& view_operation() {
  static const Definition& operation = find_definition("view");
  return operation;
}

}  // namespace flambeau::ops
