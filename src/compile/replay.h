#pragma once
// Calls that are recorded once and run again on other memory, as jax.jit does: what
// compile(replay=True) keeps for each signature.

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "compile/capture.h"
#include "compile/schedule.h"

namespace flambeau::compiler {

/// The recording of one call, to be run again. What comes from outside are its sources: tensors
/// that each run may have elsewhere, of the same dtypes, sizes and strides. Other memory that
/// it reads stays what it was.
class Replay {
 public:
  /// A tensor that runs give.
  struct Result {
    TensorInfo info;
    int64_t offset = 0;
    int32_t same_as = -1;    ///< it is the result of this number
    int32_t fresh = -1;      ///< it is on what each run makes: its number among these
    int32_t source = -1;     ///< it is on this source's storage, `offset` from its first element
    bool is_source = false;  ///< it is the source itself
    Tensor constant{};       ///< with neither: the tensor
    bool requires_grad = false;  ///< and has a history
    bool is_variable = false;    ///< requires grad, without one
    bool is_inference = false;
  };

  /// True if the recording can run on these sources: they share memory as those of the call did,
  /// and what the call checked of their values holds.
  bool fits(std::span<const Tensor> sources) const;
  /// Runs it; fits(sources) holds. The results are in the order of those of the call. Any number
  /// of threads may run it at once.
  TensorList run(std::span<const Tensor> sources) const;

 private:
  friend class CapturedCall;
  struct Place {
    enum class Kind : uint8_t { Source, Constant, Made } kind;
    int32_t source = -1;  ///< the first one on it
    int32_t fresh = -1;   ///< of one that each run makes beforehand: its number among these
    Ref<Storage> constant{};
  };
  /// A storage that each run makes.
  struct Made {
    size_t bytes;
    Ref<Storage> contents{};  ///< what it is a copy of, or null
  };
  /// A tensor among the arguments of a call whose values are checked; neither of a source nor a
  /// constant if it is not looked at.
  struct CheckInput {
    int32_t source = -1;
    int64_t offset = 0;  ///< from the source's first element
    TensorInfo info{};
    Tensor constant{};
  };
  struct Check {
    const ops::Definition* op;
    ops::Arguments arguments;
    std::vector<CheckInput> inputs;
  };
  /// A source of a slot that has several.
  struct Shared {
    int32_t source;
    int32_t first;  ///< of the slot
    bool is_same;   ///< both are one tensor
  };
  struct DrawnNumber {
    size_t number;  ///< of the recording
    size_t draw;
  };

  /// What is touched of the storage of a source, in bytes from where that begins.
  struct Reach {
    int32_t source = -1;
    int64_t low = 0, high = 0;
    bool is_fixed = false;      ///< the source begins where it did
    bool is_looked_at = false;  ///< the call was told so, and the storage has its size
    size_t bytes = 0;           ///< of the storage
  };

  using Fresh = SmallVector<Ref<Storage>, 16>;

  bool are_apart(std::span<const Tensor> sources) const;
  bool values_fit(std::span<const Tensor> sources) const;
  /// Of a place that has one before it runs.
  const Ref<Storage>& storage_of(const Place& place, std::span<const Tensor> sources,
                                 const Fresh& fresh) const;
  int64_t shift_of(const Place& place, std::span<const Tensor> sources) const;
  std::shared_ptr<const Schedule> schedule() const;
  /// False, and nothing has happened, if there is no memory for it.
  bool run_schedule(const Schedule& schedule, std::span<const Tensor> sources, const Fresh& fresh,
                    std::span<const Scalar> numbers) const;
  /// The same without a schedule.
  void run_program(std::span<const Tensor> sources, const Fresh& fresh,
                   std::span<const Scalar> numbers) const;
  std::vector<Ref<Storage>> storages_for(std::span<const Tensor> sources, const Fresh& fresh,
                                         const BoundProgram* bound) const;

  Recording recording_;
  std::vector<Place> places_;     // per slot
  std::vector<int64_t> offsets_;  // per source: its offset in the call
  std::vector<Reach> reaches_;
  std::vector<Shared> shared_;
  std::vector<int32_t> written_;  // sources that are written
  std::vector<Result> results_;
  std::vector<Check> checks_;
  std::vector<DrawnNumber> drawn_;
  size_t draws_ = 0;
  std::vector<Made> fresh_;    // for results, and for constants that the call made
  std::vector<size_t> bytes_;  // per slot
  std::vector<bool> touched_;  // per slot: the bound program needs its memory

  mutable std::mutex mutex_;
  mutable ReadyProgram ready_;
  mutable std::shared_ptr<const Schedule> schedule_;  // of ready_.bound, or null
  mutable bool scheduled_ = false;                    // it is, if there is one
  std::vector<size_t> outside_;                       // slots of sources and constants
  mutable std::vector<const Storage*> seen_apart_;    // those of them, when they were found apart
};

/// A call while it is recorded to be replayed. Lives on the thread that makes the call.
class CapturedCall {
 public:
  explicit CapturedCall(TensorList sources);
  /// Ends the call if nobody did: what it recorded runs as that of any compiled call.
  ~CapturedCall();
  CapturedCall(const CapturedCall&) = delete;
  CapturedCall& operator=(const CapturedCall&) = delete;

  /// Adds what the call gives, and returns a tensor to be used in its place.
  Tensor add_result(const Tensor& tensor);
  /// Texts of what the call made and others than its results hold on to.
  std::vector<std::string> held_by_others();
  /// RuntimeError if the call did what was refused, though it caught the error.
  void check_refused() const;
  /// Ends the call, and runs it. The results, and the recording to be run again, or null and `why`.
  TensorList finish(std::shared_ptr<const Replay>& replay, std::string& why);

 private:
  bool is_own(const Storage& storage, const Replay& kept) const;
  int32_t fresh_for(const Ref<Storage>& constant, Replay& kept, std::string& why);
  void place_slots(const Recording& recording, Replay& kept) const;
  void note_sources(const Recording& recording, Replay& kept) const;
  void place_checks(Replay& kept);
  void note_reaches(const Recording& recording, Replay& kept) const;
  void place_constants(const Recording& recording, Replay& kept, std::string& why);
  void place_results(Replay& kept, std::string& why);
  void place_draws(const Recording& recording, Replay& kept, std::string& why) const;
  static void run_first(Recording& recording, Replay& kept);

  Capture capture_;
  std::vector<Replay::Result> results_;
  std::map<const Storage*, int32_t> own_;  // constants that the call made: what stands for them
  TensorList kept_;                        // the results
  std::vector<const TensorImpl*> given_;   // what add_result() got
  bool ended_ = false;
};

}  // namespace flambeau::compiler
