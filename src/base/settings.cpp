#include "base/settings.h"

#include <array>
#include <charconv>
#include <cstdlib>

#include "base/error.h"

namespace flambeau {
namespace {

constexpr std::array kTable{
    Setting{"FLAMBEAU_NUM_THREADS", "",
            "Threads of the CPU pool; by default the cores that the "
            "process may use (affinity and cgroup quota)."},
    Setting{"FLAMBEAU_ISA", "",
            "Instruction set of generated kernels, avx2, avx512 or avx512_bf16; by default "
            "the best that the CPU has."},
    Setting{"FLAMBEAU_CACHE_DIR", "",
            "Folder of the kernel cache; by default "
            "$XDG_CACHE_HOME/flambeau or ~/.cache/flambeau."},
    Setting{"FLAMBEAU_CACHE_SIZE_MB", "256",
            "Upper bound of the kernel cache file; 0 turns the "
            "cache off."},
    Setting{"FLAMBEAU_KERNEL_PACK", "",
            "File of the kernels that ship with the package; by default "
            "kernels.pack beside its libraries."},
    Setting{"FLAMBEAU_CHECK", "0",
            "1 verifies every tensor program and every kernel before it is compiled, runs what is "
            "compiled op by op, too, and raises an error where one bit differs."},
    Setting{
        "FLAMBEAU_EARLY", "worker",
        "Where the kernels of a compiled step run while its end is still recorded: on a worker, "
        "here (on the thread that records), late (not before somebody asks; both for tests), or "
        "never."},
    Setting{
        "FLAMBEAU_PLAN", "again",
        "When a recording becomes a program of several operations: again (where passes cost more "
        "than they save in one run, at its second) or once (at its first; for tests)."},
    Setting{"FLAMBEAU_DUMP", "",
            "Folder into which programs, kernels and assembly are written as "
            "text."},
};

}  // namespace

std::span<const Setting> all_settings() { return kTable; }

std::string setting(std::string_view name) {
  for (const Setting& row : kTable) {
    if (row.name != name) continue;
    const char* value = std::getenv(std::string(name).c_str());
    return value != nullptr && *value != '\0' ? value : std::string(row.default_value);
  }
  throw InternalError(concat("setting ", name, " is not in the table"));
}

int64_t int_setting(std::string_view name) {
  const std::string text = setting(name);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check<ValueError>(error == std::errc() && end == text.data() + text.size(), [&] {
    return concat("settings: ", name, " is '", text, "', expected an integer");
  });
  return value;
}

bool bool_setting(std::string_view name) {
  const std::string text = setting(name);
  if (text == "1" || text == "true" || text == "on" || text == "yes") return true;
  check<ValueError>(text == "0" || text == "false" || text == "off" || text == "no", [&] {
    return concat("settings: ", name, " is '", text, "', expected 1 or 0");
  });
  return false;
}

}  // namespace flambeau
