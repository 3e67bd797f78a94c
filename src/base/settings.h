#pragma once
// Every environment variable that Flambeau reads, in one table (settings.cpp), with its meaning.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace flambeau {

struct Setting {
  std::string_view name;           ///< "FLAMBEAU_NUM_THREADS"
  std::string_view default_value;  ///< shown to the user; empty for "chosen at run time"
  std::string_view meaning;        ///< one sentence
};

/// All settings, for docs and for the check of unknown FLAMBEAU_* variables.
std::span<const Setting> all_settings();

/// The value of a variable of the table, or its default. Read once per call; throws InternalError
/// for a name outside the table.
std::string setting(std::string_view name);
/// The same as an integer; throws ValueError naming the variable if it is not one.
int64_t int_setting(std::string_view name);
/// True for "1", "true", "on", "yes"; false for "0", "false", "off", "no"; ValueError naming the
/// variable for anything else.
bool bool_setting(std::string_view name);

}  // namespace flambeau
