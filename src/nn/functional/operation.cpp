#include "nn/functional/operation.h"

#include "base/error.h"

namespace flambeau::nn::functional {

Operation::Operation(std::string_view name, std::string_view overload)
    : definition_(ops::find_definition(name, overload)) {}

Results Operation::call_with(std::span<const ops::Argument> given) const {
  const auto& parameters = definition_.parsed.parameters;
  require(given.size() <= parameters.size(), "an operation got more arguments than it has");
  SmallVector<ops::Argument, 8> arguments(given.begin(), given.end());
  for (size_t i = given.size(); i < parameters.size(); ++i) {
    require(parameters[i].has_default, "an operation lacks an argument");
    arguments.push_back(parameters[i].default_value);
  }
  const bool in_place = definition_.returns == ops::Returns::Self;
  return call(definition_, {arguments.data(), arguments.size()},
              in_place ? CallForm::InPlace : CallForm::Function);
}

}  // namespace flambeau::nn::functional
