#pragma once
// Kernels by what they compute: from memory, from the user's disk cache, or compiled. The library
// that compiles (libflambeau_codegen.so, beside this one) is opened when it is first needed.

#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "base/cpu_features.h"
#include "base/hash.h"
#include "ir/loop_program.h"

namespace flambeau {

class ContractionLoader;
namespace codegen {
struct Api;
struct KernelImage;
}  // namespace codegen

/// A function of an image, to be cast to its type.
using CodeEntry = void (*)();
/// The entries of an image. The code is there as long as somebody holds them.
using CodeEntries = std::shared_ptr<const CodeEntry[]>;

/// A kernel and what holds its code.
struct LoadedKernel {
  ir::KernelFunction function = nullptr;
  CodeEntries code;
};

/// An image for one instruction set.
struct CodeRequest {
  Hash128 content;  ///< what tells it apart
  Isa isa;          ///< the lowest one for which the code is the same
  /// Makes it; holds all that it needs.
  std::function<codegen::KernelImage(const codegen::Api&, Isa)> compile;
};
using RequestForIsa = std::function<CodeRequest(Isa)>;

/// Thrown inside CompileLater for a kernel that no cache has.
class KernelMissing final : public std::exception {
 public:
  const char* what() const noexcept override { return "a kernel is not compiled yet"; }
};

/// While one lives, asking for a kernel on this thread never compiles: one that is in no cache is
/// compiled on a spare thread, and KernelMissing thrown.
class CompileLater {
 public:
  CompileLater();
  ~CompileLater();
  CompileLater(const CompileLater&) = delete;
  CompileLater& operator=(const CompileLater&) = delete;
  /// True while one lives on this thread.
  static bool is_on();

 private:
  bool before_;
};
/// Waits until all that was put off is compiled.
void wait_for_compiler();

/// The kernel of `program` for active_isa(). Thread safe: different programs compile at the same
/// time, and those who ask for one that is being compiled wait for it. EnvironmentError if the
/// compiler library is needed and cannot be opened.
LoadedKernel get_kernel(const ir::LoopProgram& program);

/// The same for any image: the entries of the one that `request` names for active_isa(), compiled
/// if neither memory nor the pack of the package nor the disk cache has it.
CodeEntries get_code(const RequestForIsa& request);

/// From now on every kernel that this process loads for the first time is compiled for each
/// instruction set, whatever caches hold, and remembered for write_recorded_kernels(). For making
/// the pack that ships with the package.
void record_kernels();
/// Writes a pack of what was recorded; returns how many kernels it holds. EnvironmentError if it
/// cannot be written.
size_t write_recorded_kernels(const std::string& file);

/// Loads the parts of contractions for active_isa() through get_code().
std::unique_ptr<ContractionLoader> contraction_loader();

/// Hash of the sources that decide what a kernel's code is; part of every key of the disk cache.
Hash128 compiler_version();

}  // namespace flambeau
