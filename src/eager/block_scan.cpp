#include "eager/block_scan.h"

#include <algorithm>
#include <cstring>

#include "eager/copy.h"
#include "ir/array.h"
#include "runtime/thread_pool.h"

namespace flambeau {
namespace {

using ir::BlockScan;

class ScanRun {
 public:
  ScanRun(const BlockScan& scan, bool by_rows, const Executable& body,
          std::span<const Tensor> operands, std::span<const Tensor> results)
      : scan_(scan), body_(body), operands_(operands), results_(results) {
    std::vector<Ints> sizes;
    for (const Tensor& operand : operands) sizes.push_back(operand.sizes());
    extents_ = scan.extents(sizes);
    batch_ = {sizes[0].begin(), sizes[0].begin() + scan.batch};
    members_ = ir::element_count(batch_);
    // With `triangular`, the rows of a piece begin where a block begins, so that each block sees
    // all of them or none.
    piece_ = by_rows ? scan.block : std::max<int64_t>(extents_.rows, 1);
    pieces_ = by_rows ? (extents_.rows + piece_ - 1) / piece_ : 1;
  }

  void run() {
    // Carried values are the operands until the first block has been; some rows may meet none.
    const auto carries = static_cast<size_t>(scan_.carries);
    const bool all_rows_meet_first = !scan_.triangular || (!scan_.reverse && extents_.blocks > 0);
    starts_from_operands_ = extents_.blocks > 0 && all_rows_meet_first;
    for (size_t i = 0; i < results_.size(); ++i) {
      if (i < carries && !starts_from_operands_)
        copy_elements(operands_[scan_.input_count() + i], results_[i]);
      if (i >= carries && scan_.triangular) fill_with_zeros(results_[i]);
    }
    const int64_t tasks = members_ * pieces_;
    if (tasks == 1) return run_piece(0, 0);  // its kernels may use all threads
    // A few operations for each pair of row and scanned element.
    const int64_t cost = members_ * extents_.rows * extents_.blocks * scan_.block * kPairCost;
    parallel_for(
        tasks, [&](int64_t task, int) { run_piece(task / pieces_, task % pieces_); }, cost);
  }

 private:
  static constexpr int64_t kPairCost = 4;  // nanoseconds

  static void fill_with_zeros(const Tensor& tensor) {
    const Tensor zero = Tensor::empty({}, tensor.dtype());
    std::memset(zero.data_ptr(), 0, size_of(tensor.dtype()));
    copy_elements(zero.alias(tensor.sizes(), Ints(tensor.sizes().size(), 0), 0), tensor);
  }

  /// Pieces of rows are taken from the last on where they grow longer towards the end.
  void run_piece(int64_t member, int64_t piece) const {
    if (scan_.triangular) piece = pieces_ - 1 - piece;
    const int64_t first = piece * piece_;
    const int64_t end = std::min(extents_.rows, first + piece_);
    for (int64_t n = 0; n < extents_.blocks; ++n)
      run_block(member, scan_.reverse ? extents_.blocks - 1 - n : n, first, end, n == 0);
  }

  void run_block(int64_t member, int64_t b, int64_t row, int64_t end, bool is_first) const {
    if (scan_.triangular) {
      row = std::max(row, b * scan_.block);
      if (row >= end && b > 0) return;
    }
    const size_t inputs = scan_.input_count();
    SmallVector<Tensor, 12> parameters;
    for (size_t i = 0; i < operands_.size(); ++i) {
      const bool from_result = i >= inputs && !(is_first && starts_from_operands_);
      parameters.push_back(part(from_result ? results_[i - inputs] : operands_[i],
                                scan_.operands[i], member, b, row, end));
    }
    SmallVector<Tensor, 6> outputs;
    for (size_t i = 0; i < results_.size(); ++i)
      outputs.push_back(part(results_[i], scan_.result(i), member, b, row, end));
    const int64_t integers[] = {b * scan_.block, row};
    flambeau::run(body_, {parameters.data(), parameters.size()}, {}, integers,
                  {outputs.data(), outputs.size()});
  }

  /// The part of `whole` that the body sees.
  Tensor part(const Tensor& whole, const BlockScan::Axes& axes, int64_t member, int64_t b,
              int64_t row, int64_t end) const {
    const Ints& strides = whole.strides();
    int64_t offset = whole->offset;
    for (size_t i = batch_.size(); i-- > 0;) {
      offset += member % batch_[i] * strides[i];
      member /= batch_[i];
    }
    const auto batch = static_cast<size_t>(scan_.batch);
    const std::span<const int64_t> sizes{whole.sizes().data() + batch,
                                         whole.sizes().size() - batch};
    const BlockScan::Part window = scan_.part(axes, sizes, b, row, end);
    const Ints inner(strides.begin() + batch, strides.end());
    return whole.alias(window.sizes, inner, offset + ir::offset_of(window.starts, inner));
  }

  const BlockScan& scan_;
  const Executable& body_;
  std::span<const Tensor> operands_, results_;
  BlockScan::Extents extents_;
  Ints batch_;
  int64_t members_ = 1;
  int64_t piece_ = 1, pieces_ = 1;  // rows of a piece, pieces
  bool starts_from_operands_ = false;
};

}  // namespace

void run_block_scan(const BlockScan& scan, bool by_rows, const Executable& body,
                    std::span<const Tensor> operands, std::span<const Tensor> results) {
  ScanRun(scan, by_rows, body, operands, results).run();
}

}  // namespace flambeau
