#pragma once
// A loop program as LLVM IR. Vectors are explicit: a vector loop runs a main loop of whole vectors
// and a loop of narrower, masked ones for the rest; what does not depend on the vector variable
// stays scalar.

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/cpu_features.h"
#include "codegen/loop_analysis.h"
#include "codegen/row_streams.h"
#include "codegen/share_row_values.h"
#include "codegen/vector_emitter.h"

namespace flambeau::codegen {

class LoopCodegen {
 public:
  LoopCodegen(SharedRows shared, Isa isa, llvm::Module& module);
  /// Adds the program as function `name`, of type ir::KernelFunction, to the module.
  void generate(const std::string& name, bool exported = true);

 private:
  using Statement = ir::Statement;
  using Value = llvm::Value;
  using Statements = std::vector<const Statement*>;

  /// What the program's names stand for in the code that is being emitted.
  struct Bindings {
    std::vector<Value*> buffers;
    std::vector<Value*> values;   ///< by ValueId
    std::vector<Value*> firsts;   ///< lane 0 of those that count up by 1 from lane to lane; or null
    std::vector<Value*> flipped;  ///< the same of those whose sign bit is flipped since
    std::vector<Value*> any;      ///< any_lane() of vectors
    std::vector<Value*> variables;  ///< by LoopVar; the vector variable's is in lanes_
  };

  /// The iterations of a vector loop that run at once.
  struct Lanes {
    unsigned count = 1;
    ir::LoopVar variable = -1;
    Value* first = nullptr;   ///< i64: the variable's value in lane 0
    Value* active = nullptr;  ///< i64: lanes in [active, count) are idle; null: none is
    /// The loop's last digit, where no lane but the idle ones lies behind its end, and its value in
    /// lane 0; else -1, and the digits are vectors.
    ir::LoopVar digit = -1;
    Value* digit_first = nullptr;
  };

  /// Where an access goes: base + scalar + lane * stride + dynamic[lane], in elements.
  struct Address {
    Value* scalar = nullptr;
    Value* stride = nullptr;   ///< i64; null if it does not depend on the vector variable
    Value* dynamic = nullptr;  ///< vector of i64, or null
    bool unit = false;         ///< stride is the constant 1
    bool two = false;          ///< stride is the constant 2: a part of pairs
    bool back = false;         ///< stride is the constant -1
    bool varies() const { return stride != nullptr || dynamic != nullptr; }
    bool contiguous() const { return unit && dynamic == nullptr; }
    bool alternates() const { return two && dynamic == nullptr; }
    bool descends() const { return back && dynamic == nullptr; }
  };

  // Statements (loop_codegen.cpp).
  void emit_all(const Statements& statements);
  void emit_body(const std::vector<Statement>& body);
  void emit(const Statement& s);
  Value* slot_value(const Statement& s);
  Value* emit_compute(const Statement& s);
  /// Lane 0 of a sum of what counts up from lane to lane and what all lanes have alike; else null.
  Value* first_of_sum(const Statement& s);
  /// Lane 0 of the places of a row that has emit_block, if they count up; else null.
  Value* first_of_places(const Statement& s);
  /// A row that has emit_block, at places that count up from `first`: four lanes share a block.
  Value* emit_blocks(const Statement& s, std::span<const ir::Operand> arguments, Value* first);
  /// 16 numbers of bytes: those of four places from `place`, 0 to 3, of a block on, in it and the
  /// next one.
  Value* order_of_bytes(Value* place);
  void emit_loop(const Statement& s);
  // Several rows at once (loop_stages.cpp).
  /// The passes of a row that go over different rows together; none if they do not.
  std::vector<const Statement*> find_stages() const;
  void emit_stages(const Statement& rows, Value* begin, Value* end);
  /// Says where the values are that passes over this row share.
  void place_row(Value* row);
  /// body() with `row` for bound_, where it is not null.
  template <class Body>
  void in_row(Bindings* row, const Body& body);

  /// A vector loop of constant extent as vectors of falling lengths.
  void write_out(const Statement& s, int64_t extent);
  void emit_vector_loop(const Statement& s, Value* begin, Value* end);

  // Operands that lie across the vectors (loop_tile.cpp).
  /// The loops over v0 and v1 of a kernel that has such loads, tile by tile.
  void emit_tiles(const Statement& outer);
  /// Fills the tile of a load for v0 in [begin0, end0) and v1 in [begin1, end1).
  void fill_tile(const Statement& load, Value* begin0, Value* end0, Value* begin1, Value* end1);
  Value* load_from_tile(const Statement& load);

  // Scans (loop_scan.cpp).
  bool open_scans(const Statement& loop);
  void emit_scan_loop(const Statement& s, Value* end);
  Value* scan(const Statement& s);
  Value* scan_step(const Statement& s, Value* so_far, std::span<Value* const> elements);

  // Digits of a loop's variable (loop_digits.cpp).
  using Digits = SmallVector<llvm::AllocaInst*, 3>;
  Digits open_digits(const Statement& loop);
  /// Sets the digits for iteration i of a run through the loop from `begin` on by `step`.
  void count_digits(const Statement& loop, const Digits& digits, Value* i, Value* begin,
                    uint64_t step);
  /// The same, as scalars that the body reads.
  void set_digits(const Statement& loop, const Digits& digits, Value* i, Value* begin);
  /// Emits `body` for the lanes from iteration lanes_.first on, as set_digits.
  void emit_lanes(const Statement& loop, const Digits& digits, Value* begin,
                  const std::function<void()>& body);
  void spread_digits(const Statement& loop, const Digits& digits);

  // Memory (loop_memory.cpp).
  Value* operand(const ir::IntOperand& operand);
  Value* scaled(Value* value, const ir::IntOperand& coefficient);
  Address address(const ir::LoopIndex& index);
  Value* index_value(const Statement& s);
  Value* element_pointer(int buffer, Value* offset);
  /// Of every lane: a vector of offsets in elements.
  Value* lane_offsets(const Address& address);
  /// `mask` and the active lanes; null if all lanes are to be accessed.
  Value* access_mask(Value* mask);
  /// Where the access `s` goes: to `pointer`, or to memory of the kernel's own where it is known
  /// that its mask holds for no lane. Masked accesses of memory that is not mapped touch nothing,
  /// but CPUs take hundreds of cycles to find that out.
  Value* masked_pointer(const Statement& s, Value* pointer);
  /// i1: false where the mask holds for no lane; null if that is not known without looking at it.
  Value* any_lane(ir::ValueId mask);
  void note_any_lane(const Statement& s);
  Value* load(const Statement& s);
  Value* load_uniform(const Statement& s, const Address& address, Value* mask);
  Value* load_contiguous(const Statement& s, Value* pointer, Value* mask);
  Value* load_alternate(const Statement& s, Value* pointer);
  /// Elements that lie backwards from the scalar address.
  Value* load_descending(const Statement& s, Value* scalar, Value* mask);
  Value* gather(const Statement& s, const Address& address, Value* mask);
  void store(const Statement& s);
  /// Takes those stores of a vector loop of `lanes` out of its `body` that may go past the caches.
  Statements take_whole_stores(const Statement& loop, unsigned lanes, Statements& body);
  /// i1, before the loop: they do, as the launch says so and all are aligned.
  Value* go_past_caches(const Statements& stores, const Statement& loop, unsigned lanes,
                        Value* begin);
  void store_whole(const Statements& stores, Value* past);
  void store_contiguous(DType dtype, Value* value, Value* pointer, Value* mask);
  void store_alternate(DType dtype, Value* value, Value* pointer);
  void scatter(const Statement& s, const Address& address, Value* value, Value* mask);
  /// Where lanes_ are now, the parts of the next row that this pass over a row fetches.
  void fetch_next_row(const Statement& pass);
  bool has_native_mask(DType dtype) const;

  // Reductions (loop_reduce.cpp).
  Value* reduce(const Statement& s);
  /// A pass along a row: a reduction, or a vector loop.
  struct RowPass {
    const Statement* s;
    Bindings* row = nullptr;             ///< null: bound_
    llvm::AllocaInst* result = nullptr;  ///< of a reduction
    Value* runs = nullptr;               ///< i1: false where there is no such row; null: true
  };
  /// Passes of one extent, the first of them a reduction, step by step together.
  void emit_passes(std::span<const RowPass> passes, Value* extent);
  unsigned lanes_of_pass(const Statement& s) const;
  void reduce_in_lanes(const Statement& s, Value* extent, Value* result);
  void reduce_tree(const Statement& s, Value* extent, Value* result);
  /// A row of constant extent, up to that of the lanes.
  Value* reduce_short_row(const Statement& s, int64_t extent);
  Value* halve_stack(const Statement& s, Value* accumulators, Value* used);
  Value* combine(const Statement& s, Value* a, Value* b);
  /// A scalar.
  Value* identity_of(const Statement& s);
  /// A stack of block results, of which the lowest set bits of the block count say which combine.
  void push(const Statement& s, Value* tree, Value* number, Value* value);
  Value* fold(const Statement& s, Value* tree, Value* count);

  // Control flow (loop_control.cpp). Mutable state lives in stack slots that SROA promotes.
  llvm::AllocaInst* stack_slot(llvm::Type* type, uint64_t count = 1);
  /// Runs body(i) for i = begin, begin + step, ... while i < end.
  template <class Body>
  void counted_loop(Value* begin, Value* end, uint64_t step, const Body& body);
  template <class Then>
  void if_then(Value* condition, const Then& then);
  template <class Then, class Otherwise>
  void if_else(Value* condition, const Then& then, const Otherwise& otherwise);
  template <class Condition, class Body>
  void while_loop(const Condition& condition, const Body& body);
  Value* lane_numbers(unsigned count);
  Value* active_mask();
  llvm::BasicBlock* new_block(const char* name);

  llvm::ConstantInt* number(int64_t value) {
    return builder_.getInt64(static_cast<uint64_t>(value));
  }
  Value*& value_of(ir::ValueId id) { return bound_.values[static_cast<size_t>(id)]; }
  Value*& first_of(ir::ValueId id) { return bound_.firsts[static_cast<size_t>(id)]; }
  DType dtype_of(ir::ValueId id) const { return analysis_.dtypes[static_cast<size_t>(id)]; }
  bool varies(ir::ValueId id) const { return analysis_.varying[static_cast<size_t>(id)]; }

  const SharedRows shared_;
  const ir::LoopProgram& program_;
  const Isa isa_;
  llvm::Module& module_;
  LoopAnalysis analysis_;
  llvm::IRBuilder<> builder_;
  VectorEmitter emitter_;
  llvm::Function* function_ = nullptr;
  Bindings bound_;
  std::vector<llvm::AllocaInst*> places_;       ///< on the stack, for the last buffers
  const std::vector<const Statement*> stages_;  ///< each has a row of each place
  std::vector<Value*> slots_;
  Value* past_caches_ = nullptr;  ///< i1; null if no store may go there
  Lanes lanes_;
  /// The tiles of analysis_.transposed: rows of v1, one for each v0 from `begin0` on.
  struct Tiles {
    std::vector<llvm::AllocaInst*> places;
    Value *begin0 = nullptr, *begin1 = nullptr;
    Value* row = nullptr;  ///< v0
  } tiles_;
  /// What a scan carries from one iteration of its loop to the next, in stack slots.
  struct ScanState {
    llvm::AllocaInst *value, *block, *before;  ///< as in ir::RunningScan
  };
  std::unordered_map<ir::ValueId, ScanState> scans_;
  bool begins_block_ = false;       ///< this iteration is the first of its block
  std::vector<RowStream> streams_;  ///< of the loop over rows, while its body is emitted
};

}  // namespace flambeau::codegen
