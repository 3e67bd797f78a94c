#pragma once
// What compiled programs do, in words and figures: for compiler.explain and for tests.

#include <string>
#include <vector>

#include "compile/program.h"

namespace flambeau::compiler {

/// A step of a region's program.
struct StepReport {
  std::string text;
  int launches = 0;
  double bytes = 0;        ///< read and written
  double nanoseconds = 0;  ///< measured
};

/// A part of a storage that a region reads or writes.
struct Access {
  int32_t storage;  ///< of the program's
  int64_t begin;    ///< in bytes
  int64_t end;
  double bytes;  ///< of its elements; less than lie between begin and end where there are gaps
};

/// What a region's steps make for each other.
struct TemporaryReport {
  std::string text;
  double bytes;
  int first, last;  ///< steps: it is made, and read last
};

/// A region of a program that was run.
struct RegionReport {
  std::vector<std::string> ops;   ///< what its runs are for, in order
  std::string apart;              ///< why it is no part of an earlier region
  std::string program;            ///< its tensor program
  std::vector<StepReport> steps;  ///< kernels, contractions and views
  int launches = 0;               ///< kernels and contractions
  double bytes = 0;               ///< read and written
  double nanoseconds = 0;         ///< measured
  std::vector<Access> reads;
  std::vector<Access> writes;
  std::vector<TemporaryReport> temporaries;
  /// Of memory that the program makes: what is held from this region on, and what was held before
  /// the region and is not when it has run.
  std::vector<int32_t> begins;
  std::vector<int32_t> ends;
  double live_bytes = 0;  ///< of memory that the program has made and is held, afterwards
  bool merged = false;    ///< false: its runs happened one by one
};

/// A storage that a program touches.
struct StorageReport {
  std::string text;  ///< what is written to it, or read from it, first
  double bytes = 0;
  bool made = false;  ///< it has no memory before the program runs
};

struct ProgramReport {
  std::string recording;  ///< text_of()
  std::string ended;      ///< why it ran when it did, with the user's line
  int32_t runs = 0;       ///< recorded
  int32_t unneeded = 0;   ///< of them, those whose results nobody sees
  std::vector<StorageReport> storages;
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
RegionReport report_of(const Recording& recording, const Region& region, const Executable& form);
/// Their texts.
std::vector<StorageReport> storages_of(const Recording& recording);

/// The runs of a recording: their ops, and the windows that they read and write.
std::string text_of(const Recording& recording);

}  // namespace flambeau::compiler
