#include "eager/block_scan.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "eager/ask_kernels.h"
#include "eager/copy.h"
#include "ir/array.h"
#include "runtime/compiler.h"
#include "runtime/launch.h"
#include "runtime/thread_pool.h"

namespace flambeau {
namespace {

using ir::BlockScan;

class ScanRun {
 public:
  ScanRun(const BlockScan& scan, bool by_rows, const Executable& body,
          std::span<const Tensor> operands, std::span<const Tensor> results)
      : scan_(scan),
        body_(body),
        operands_(operands),
        results_(results),
        in_place_(scan.triangular && !by_rows) {
    std::vector<Ints> sizes;
    for (const Tensor& operand : operands) sizes.push_back(operand.sizes());
    extents_ = scan.extents(sizes);
    // With `triangular`, the rows of a piece begin where a block begins, so that each block sees
    // all of them or none.
    piece_ = by_rows ? scan.block : std::max<int64_t>(extents_.rows, 1);
    pieces_ = by_rows ? (extents_.rows + piece_ - 1) / piece_ : 1;
    if (scan.carries == 0) pieces_ = std::max<int64_t>(extents_.blocks, 1);  // each is one block
    cut_batch({sizes[0].begin(), sizes[0].begin() + scan.batch});
  }

  void run() {
    const auto carries = static_cast<size_t>(scan_.carries);
    for (size_t i = 0; i < results_.size(); ++i) {
      if (i < carries && (in_place_ || extents_.blocks == 0))
        copy_elements(operands_[scan_.input_count() + i], results_[i]);
      if (i >= carries && scan_.triangular) fill_with_zeros(results_[i]);
    }
    const int64_t tasks = boxes_ * pieces_;
    if (tasks == 1) return run_piece(0, 0);  // its kernels may use all threads
    // A few operations for each pair of row and scanned element.
    const int64_t pieces_of_rows = (extents_.rows + piece_ - 1) / piece_;
    const int64_t cost = members_ * pieces_of_rows * extents_.blocks * pairs_ * kPairCost;
    const bool never_wait = CompileLater::is_on();
    const bool sizes_vary = SizesVary::is_on();
    parallel_for(
        tasks,
        [&](int64_t task, int) {
          const PendingIgnored settled;
          const SizesVary of_these_runs(sizes_vary);
          std::optional<CompileLater> later;
          if (never_wait) later.emplace();
          run_piece(task / pieces_, task % pieces_);
        },
        cost);
  }

  bool is_one_run() const {
    return boxes_ * pieces_ == 1 && extents_.blocks == 1 && !scan_.triangular;
  }

  /// Asks for the kernels of boxes, pieces and blocks of each size: the first and the last ones.
  bool has_kernels() {
    asks_ = true;
    if (boxes_ == 0 || pieces_ == 0) return true;
    for (const int64_t box : {int64_t{0}, boxes_ - 1})
      for (const int64_t piece : {int64_t{0}, pieces_ - 1}) run_piece(box, piece);
    return found_;
  }

 private:
  static constexpr int64_t kPairCost = 4;       // nanoseconds
  static constexpr int64_t kPairs = 128 * 128;  // that are worth a run of the body

  static void fill_with_zeros(const Tensor& tensor) {
    const Tensor zero = Tensor::empty({}, tensor.dtype());
    std::memset(zero.data_ptr(), 0, size_of(tensor.dtype()));
    copy_elements(zero.alias(tensor.sizes(), Ints(tensor.sizes().size(), 0), 0), tensor);
  }

  bool has_rows() const {
    return std::any_of(scan_.operands.begin(), scan_.operands.end(),
                       [](const BlockScan::Axes& axes) { return axes.rows >= 0; });
  }
  /// Elements of the largest operand that the body sees, of one member.
  int64_t largest_part() const {
    int64_t most = 1;
    const auto batch = static_cast<size_t>(scan_.batch);
    for (size_t i = 0; i < operands_.size(); ++i) {
      const Ints& sizes = operands_[i].sizes();
      const std::span<const int64_t> inner{sizes.data() + batch, sizes.size() - batch};
      most = std::max(
          most, ir::element_count(scan_.part(scan_.operands[i], inner, 0, 0, extents_.rows).sizes));
    }
    return most;
  }

  /// Cuts the batch into boxes with as many members as make a run of the body worth its overhead.
  void cut_batch(const Ints& batch) {
    batch_ = box_ = batch;
    members_ = ir::element_count(batch);
    pairs_ = std::max<int64_t>(std::min(piece_, extents_.rows), 1) *
             std::clamp<int64_t>(extents_.scanned, 1, scan_.block);
    if (!has_rows()) pairs_ = std::max(pairs_, largest_part());
    int64_t wanted = std::max<int64_t>(kPairs / pairs_, 1);
    for (size_t axis = batch.size(); axis-- > 0;) {
      const int64_t extent = std::max<int64_t>(batch[axis], 1);
      box_[axis] = std::min(wanted, extent);
      boxes_ *= (batch[axis] + box_[axis] - 1) / box_[axis];
      wanted = std::max<int64_t>(wanted / extent, 1);
    }
  }

  /// Pieces of rows are taken from the last on where they grow longer towards the end.
  void run_piece(int64_t box, int64_t piece) {
    Results carried;
    if (scan_.carries == 0) {
      if (extents_.blocks > 0) run_block(box, piece, 0, extents_.rows, true, carried);
      return;
    }
    if (scan_.triangular) piece = pieces_ - 1 - piece;
    const int64_t first = piece * piece_;
    const int64_t end = std::min(extents_.rows, first + piece_);
    int64_t blocks = extents_.blocks;
    if (scan_.triangular)
      blocks = std::min(blocks, std::max<int64_t>(end + scan_.block - 1, 1) / scan_.block);
    blocks = std::max(blocks, std::min<int64_t>(extents_.blocks, 1));
    for (int64_t n = 0; n < blocks; ++n) {
      if (asks_ && n > 1) n = blocks - 1;
      const int64_t b = scan_.reverse ? blocks - 1 - n : n;
      run_block(box, b, first, end, n + 1 == blocks, carried);
    }
  }

  /// `carried` are the carried values of all rows of the piece before and after; none before the
  /// first block, whose are the operands. The last block writes them to the results.
  void run_block(int64_t box, int64_t b, int64_t row, int64_t end, bool is_last, Results& carried) {
    if (in_place_) row = std::max(row, b * scan_.block);
    const size_t inputs = scan_.input_count();
    const auto carries = static_cast<size_t>(scan_.carries);
    SmallVector<Tensor, 12> parameters;
    for (size_t i = 0; i < operands_.size(); ++i) {
      if (i >= inputs && !carried.empty()) {
        parameters.push_back(carried[i - inputs]);
        continue;
      }
      const Tensor& whole = i >= inputs && in_place_ ? results_[i - inputs] : operands_[i];
      parameters.push_back(part(whole, scan_.operands[i], box, b, row, end));
    }
    SmallVector<Tensor, 6> outputs;
    for (size_t i = 0; i < results_.size(); ++i)
      outputs.push_back(i >= carries || is_last || in_place_
                            ? part(results_[i], scan_.result(i), box, b, row, end)
                            : Tensor());
    const int64_t integers[] = {b * scan_.block, row};
    const std::span<const Tensor> read{parameters.data(), parameters.size()};
    const std::span<const Tensor> written{outputs.data(), outputs.size()};
    Results given = asks_ ? ask_for_kernels(body_, read, integers, written, found_)
                          : flambeau::run(body_, read, {}, integers, written);
    if (!in_place_) carried = std::move(given);
  }

  /// The part of `whole` that the body sees.
  Tensor part(const Tensor& whole, const BlockScan::Axes& axes, int64_t box, int64_t b, int64_t row,
              int64_t end) const {
    const Ints& strides = whole.strides();
    const size_t batch = batch_.size();
    Ints sizes(batch);
    int64_t offset = whole->offset;
    for (size_t i = batch; i-- > 0;) {
      const int64_t count = (batch_[i] + box_[i] - 1) / box_[i];
      const int64_t start = box % count * box_[i];
      box /= count;
      sizes[i] = std::min(box_[i], batch_[i] - start);
      offset += start * strides[i];
    }
    const std::span<const int64_t> inner{whole.sizes().data() + batch,
                                         whole.sizes().size() - batch};
    const BlockScan::Part window = scan_.part(axes, inner, b, row, end);
    for (size_t i = 0; i < window.sizes.size(); ++i) {
      sizes.push_back(window.sizes[i]);
      offset += window.starts[i] * strides[batch + i];
    }
    return whole.alias(sizes, strides, offset);
  }

  const BlockScan& scan_;
  const Executable& body_;
  std::span<const Tensor> operands_, results_;
  /// Blocks see different rows: carried values are kept in the results, and some of them written.
  bool in_place_;
  bool asks_ = false;  // for kernels, and runs nothing
  bool found_ = true;
  BlockScan::Extents extents_;
  Ints batch_, box_;  // extents of the batch and of a box
  int64_t members_ = 1, boxes_ = 1;
  int64_t piece_ = 1, pieces_ = 1;  // rows of a piece, pieces
  int64_t pairs_ = 1;               // of row and scanned element, in a block of a piece
};

}  // namespace

void run_block_scan(const BlockScan& scan, bool by_rows, const Executable& body,
                    std::span<const Tensor> operands, std::span<const Tensor> results) {
  ScanRun(scan, by_rows, body, operands, results).run();
}

bool is_one_run(const BlockScan& scan, bool by_rows, const Executable& body,
                std::span<const Tensor> operands, std::span<const Tensor> results) {
  return ScanRun(scan, by_rows, body, operands, results).is_one_run();
}

bool has_kernels_of_scan(const BlockScan& scan, bool by_rows, const Executable& body,
                         std::span<const Tensor> operands, std::span<const Tensor> results) {
  return ScanRun(scan, by_rows, body, operands, results).has_kernels();
}

}  // namespace flambeau
