#pragma once
// Several runs of a recording as one program.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compile/flow.h"
#include "compile/view_form.h"

namespace flambeau::compiler {

/// Where an integer of a merged program comes from when it is bound: an integer of a run, the
/// extent of a window, or a number of the form of a window as a view of another one.
struct IntegerSource {
  enum class Part : uint8_t { Size, Extent, Start };  ///< the last two: of a digit
  int32_t integer = -1;                               ///< of recording.integers
  int32_t window = -1;
  int32_t axis = 0;  ///< of the window; number of the digit
  int32_t base = -1;
  Part part = Part::Size;
};
/// Inside a region a run reads a value, which is `base`, through this window.
struct ViewRead {
  int32_t base;
  int32_t window;
  ViewForm form;  ///< all but the numbers are facts
};

/// The integers of some runs, and what is known of them: which are equal.
class IntegerFacts {
 public:
  /// Takes the present values as facts.
  IntegerFacts(const Recording& recording, std::vector<IntegerSource> sources,
               std::vector<ViewRead> views);
  /// What sources(), classes() and views() of another say.
  IntegerFacts(std::vector<IntegerSource> sources, std::vector<int32_t> classes,
               std::vector<ViewRead> views)
      : sources_(std::move(sources)), classes_(std::move(classes)), views_(std::move(views)) {}
  /// True if all that was equal or 1 is so here, and views are of the same form.
  bool hold(const Recording& recording) const;
  const std::vector<IntegerSource>& sources() const { return sources_; }
  /// Per source: the first that is equal to it; -1 for 1.
  const std::vector<int32_t>& classes() const { return classes_; }
  const std::vector<ViewRead>& views() const { return views_; }

 private:
  std::vector<IntegerSource> sources_;
  std::vector<int32_t> classes_;
  std::vector<ViewRead> views_;
};

/// The value of each source. The forms of its views must exist, as facts that hold say.
Ints values_of(const Recording& recording, std::span<const IntegerSource> sources);

/// A program that does what some runs of a recording do; its steps are those of an Executable.
struct Region {
  std::vector<int32_t> entries;  ///< in order
  std::shared_ptr<const Executable> program;
  std::vector<int32_t> parameters;  ///< windows
  std::vector<int32_t> outputs;     ///< windows, one per result
  std::vector<int32_t> numbers;     ///< of recording.numbers
  std::vector<IntegerSource> integers;
  std::optional<IntegerFacts> facts;  ///< none for a single run
  std::string_view apart;             ///< why it is no part of an earlier region
};

/// True if a region that holds the runs of both reads a view of what the other makes. A product
/// that is read by heads would be one of narrow products.
bool reads_by_view(const Region& both, const Region& one, const Region& other);

/// Parameters whose buffers a kernel can still stream; a region has no more.
inline constexpr size_t kMaxParameters = 24;
/// True if the region writes each storage through one window: its kernels write in any order.
bool writes_apart(const Recording& recording, const Region& region);

/// True if each result that the run makes is all that it is a window of: others need its blocks.
bool fills_blocks(const Entry& entry);
/// The run of one entry.
Region region_of(const Recording& recording, int32_t entry);

/// The runs of `entries` as one program that gives the values which `is_stored` names; nullopt if
/// they cannot be.
std::optional<Region> merge(const Recording& recording, const Flow& flow,
                            std::vector<int32_t> entries, const std::vector<bool>& is_stored);

/// For tests of what finds wrong programs: those merged from now on that hold these operations in a
/// row give a float32 result that is an ulp off. Empty: no more.
void break_merges(std::vector<std::string> ops);

}  // namespace flambeau::compiler
