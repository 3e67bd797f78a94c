#pragma once
// What compiled programs do, in words and figures: for compiler.explain and for tests.

#include <string>
#include <vector>

#include "compile/program.h"

namespace flambeau::compiler {

/// A region of a program that was run.
struct RegionReport {
  std::vector<std::string> ops;  ///< what its runs are for, in order
  std::string apart;             ///< why it is no part of an earlier region
  std::string program;           ///< its tensor program
  std::string steps;             ///< kernels, contractions and views
  int launches = 0;              ///< kernels and contractions
  double bytes = 0;              ///< read and written
  double nanoseconds = 0;        ///< measured
  double live_bytes = 0;         ///< of memory that the program has made, afterwards
  bool merged = false;           ///< false: its runs happened one by one
};

struct ProgramReport {
  std::string recording;  ///< text_of()
  std::string ended;      ///< why it ran when it did, with the user's line
  int32_t runs = 0;       ///< recorded
  int32_t unneeded = 0;   ///< of them, those whose results nobody sees
  std::vector<RegionReport> regions;
};

/// From now on every program that this process runs is reported.
void begin_reports();
/// Those that nobody has taken yet.
std::vector<ProgramReport> take_reports();
std::vector<ProgramReport> end_reports();
bool reporting();
void add_report(ProgramReport report);

/// All but what a run shows.
RegionReport report_of(const Recording& recording, const Region& region);

/// The runs of a recording: their ops, and the windows that they read and write.
std::string text_of(const Recording& recording);

}  // namespace flambeau::compiler
