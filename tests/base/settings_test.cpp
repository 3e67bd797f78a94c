#include "base/settings.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "base/error.h"

namespace flambeau {
namespace {

/// Sets a variable for the length of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    had_ = std::getenv(name) != nullptr;
    set(value);
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;
  ~Variable() { set(had_ ? old_.c_str() : nullptr); }

 private:
  void set(const char* value) {
    if (value != nullptr)
      setenv(name_, value, 1);
    else
      unsetenv(name_);
  }
  const char* name_;
  std::string old_;
  bool had_;
};

std::string message_of(const auto& action) {
  try {
    action();
  } catch (const ValueError& error) {
    return error.what();
  }
  return "no ValueError";
}

TEST(Settings, TableIsWellFormed) {
  std::set<std::string_view> names;
  for (const Setting& row : all_settings()) {
    EXPECT_TRUE(row.name.starts_with("FLAMBEAU_")) << row.name;
    EXPECT_TRUE(names.insert(row.name).second) << row.name << " stands twice";
    EXPECT_TRUE(row.meaning.ends_with('.')) << row.name;
  }
}

TEST(Settings, VariableOverridesDefault) {
  const Variable unset("FLAMBEAU_CACHE_SIZE_MB", nullptr);
  EXPECT_EQ(int_setting("FLAMBEAU_CACHE_SIZE_MB"), 256);
  const Variable empty("FLAMBEAU_CACHE_SIZE_MB", "");
  EXPECT_EQ(setting("FLAMBEAU_CACHE_SIZE_MB"), "256");
  const Variable given("FLAMBEAU_CACHE_SIZE_MB", "-12");
  EXPECT_EQ(int_setting("FLAMBEAU_CACHE_SIZE_MB"), -12);
}

TEST(Settings, BadNumberIsNamed) {
  for (const char* value : {"12x", "x", "1.5", " 3", "99999999999999999999"}) {
    const Variable given("FLAMBEAU_CACHE_SIZE_MB", value);
    EXPECT_EQ(message_of([] { int_setting("FLAMBEAU_CACHE_SIZE_MB"); }),
              concat("settings: FLAMBEAU_CACHE_SIZE_MB is '", value, "', expected an integer"));
  }
}

TEST(Settings, SwitchesAreWordsOrDigits) {
  for (const char* value : {"1", "true", "on", "yes"}) {
    const Variable given("FLAMBEAU_CHECK", value);
    EXPECT_TRUE(bool_setting("FLAMBEAU_CHECK")) << value;
  }
  for (const char* value : {"0", "false", "off", "no", ""}) {
    const Variable given("FLAMBEAU_CHECK", value);
    EXPECT_FALSE(bool_setting("FLAMBEAU_CHECK")) << value;
  }
  const Variable given("FLAMBEAU_CHECK", "ture");
  EXPECT_EQ(message_of([] { bool_setting("FLAMBEAU_CHECK"); }),
            "settings: FLAMBEAU_CHECK is 'ture', expected 1 or 0");
}

TEST(Settings, NamesOutsideTheTableAreOurMistake) {
  EXPECT_THROW(setting("FLAMBEAU_NO_SUCH"), InternalError);
}

}  // namespace
}  // namespace flambeau
