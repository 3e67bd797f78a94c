#include "ir/block_scan.h"

#include <algorithm>
#include <optional>

#include "base/error.h"

namespace flambeau::ir {
namespace {

constexpr size_t kHeader = 7;  // carries, batch, block, flags, and the numbers of what follows

/// What the extents of the body's shapes stand for outside of it.
class Outside {
 public:
  Outside(const BlockScan& scan, std::span<const Type> operands)
      : scan_(scan), operands_(operands) {
    for (size_t i = 0; i < operands.size(); ++i) {
      const BlockScan::Axes& axes = scan.operands[i];
      if (axes.rows >= 0 && !rows_) rows_ = dim(i, axes.rows);
      if (axes.scanned < 0) continue;
      if (axes.step == scan.block && !scanned_) scanned_ = dim(i, axes.scanned);
      if (axes.step != scan.block && !blocks_) blocks_ = dim(i, axes.scanned);
    }
    if (scanned_) blocks_ = scanned_->ceil_div(scan.block);
  }

  const Dim& dim(size_t operand, int axis) const {
    return operands_[operand].shape[static_cast<size_t>(scan_.batch + axis)];
  }

  /// The extent of a result whose extent in the body is `inner`.
  Dim of(const BlockScan::Axes& axes, int axis, const Dim& inner) const {
    if (axis == axes.rows) return known(rows_, "rows");
    if (axis == axes.scanned)
      return axes.step == scan_.block ? known(scanned_, "a scanned axis")
                                      : known(blocks_, "blocks");
    return inner.substitute([&](int p, int a) { return dim(static_cast<size_t>(p), a); },
                            [](int slot) { return Dim::integer(slot); });
  }

 private:
  static const Dim& known(const std::optional<Dim>& dim, const char* what) {
    check<InternalError>(dim.has_value(),
                         [&] { return concat("block_scan: no operand has ", what); });
    return *dim;
  }

  const BlockScan& scan_;
  std::span<const Type> operands_;
  std::optional<Dim> rows_, scanned_, blocks_;
};

void check_axes(const BlockScan& scan, const BlockScan::Axes& axes, size_t rank, bool carried) {
  const auto batch = static_cast<size_t>(scan.batch);
  const auto fits = [&](int axis) {
    return axis >= -1 && (axis < 0 || static_cast<size_t>(axis) + batch < rank);
  };
  check<InternalError>(
      rank >= batch && fits(axes.rows) && fits(axes.scanned) &&
          (axes.scanned < 0 ||
           (!carried && axes.scanned != axes.rows && (axes.step == scan.block || axes.step == 1))),
      [&] {
        return concat("block_scan: rows ", axes.rows, ", scanned ", axes.scanned, " in steps of ",
                      axes.step, " do not fit ", carried ? "a carried value" : "a value",
                      " of rank ", rank, " with ", scan.batch, " batch axes");
      });
}

}  // namespace

SmallVector<int64_t, 5> BlockScan::encode() const {
  SmallVector<int64_t, 5> out{carries,
                              batch,
                              block,
                              triangular,
                              reverse,
                              static_cast<int64_t>(operands.size()),
                              static_cast<int64_t>(outputs.size())};
  const auto append = [&](const Axes& axes) {
    for (const int64_t value : {int64_t{axes.rows}, int64_t{axes.scanned}, axes.step})
      out.push_back(value);
  };
  std::for_each(operands.begin(), operands.end(), append);
  std::for_each(outputs.begin(), outputs.end(), append);
  return out;
}

BlockScan BlockScan::decode(std::span<const int64_t> axes) {
  constexpr int64_t kMost = 1 << 20;
  const auto in_range = [](int64_t value) { return value >= -1 && value < kMost; };
  const bool good =
      axes.size() >= kHeader && std::all_of(axes.begin(), axes.end(), in_range) && axes[0] >= 0 &&
      axes[1] >= 0 && axes[2] >= 1 && axes[5] >= axes[0] && axes[6] >= 0 &&
      static_cast<int64_t>(axes.size()) == static_cast<int64_t>(kHeader) + 3 * (axes[5] + axes[6]);
  check<InternalError>(
      good, [&] { return concat("block_scan: axes ", list_text(axes), " describe no scan"); });
  BlockScan out;
  out.carries = static_cast<int>(axes[0]);
  out.batch = static_cast<int>(axes[1]);
  out.block = axes[2];
  out.triangular = axes[3] != 0;
  out.reverse = axes[4] != 0;
  for (size_t i = kHeader; i < axes.size(); i += 3) {
    const Axes entry{static_cast<int>(axes[i]), static_cast<int>(axes[i + 1]), axes[i + 2]};
    if (static_cast<int64_t>(i - kHeader) < 3 * axes[5])
      out.operands.push_back(entry);
    else
      out.outputs.push_back(entry);
  }
  return out;
}

BlockScan::Extents BlockScan::extents(std::span<const Ints> sizes) const {
  Extents out;
  bool seen = false;
  for (size_t i = 0; i < operands.size(); ++i) {
    const auto at = [&](int axis) { return sizes[i][static_cast<size_t>(batch + axis)]; };
    if (operands[i].rows >= 0) out.rows = at(operands[i].rows);
    if (operands[i].scanned < 0) continue;
    const int64_t extent = at(operands[i].scanned);
    const int64_t blocks = (extent + operands[i].step - 1) / operands[i].step;
    check<InternalError>(!seen || blocks == out.blocks, [&] {
      return concat("block_scan: operand ", i, " has ", blocks, " blocks, others ", out.blocks);
    });
    seen = true;
    out.blocks = blocks;
    if (operands[i].step == block) out.scanned = extent;
  }
  return out;
}

BlockScan::Part BlockScan::part(const Axes& axes, std::span<const int64_t> sizes, int64_t b,
                                int64_t row, int64_t row_end) const {
  Part out;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto axis = static_cast<int>(i);
    int64_t start = 0;
    int64_t end = sizes[i];
    if (axis == axes.rows) {
      start = row;
      end = row_end;
    } else if (axis == axes.scanned) {
      start = b * axes.step;
      end = std::min(end, start + axes.step);
    }
    out.starts.push_back(start);
    out.sizes.push_back(std::max<int64_t>(end - start, 0));
  }
  return out;
}

Type infer_block_scan(const BlockScan& scan, const Program& body, std::span<const Type> operands,
                      int index) {
  check<InternalError>(
      operands.size() == scan.operands.size() && body.parameters.size() == operands.size() &&
          body.numbers.empty() && body.results.size() == scan.result_count() && index >= 0 &&
          static_cast<size_t>(index) < scan.result_count(),
      [&] {
        return concat("block_scan: ", operands.size(), " operands, a body of ",
                      body.parameters.size(), " parameters and ", body.results.size(),
                      " results, result ", index, "; the form has ", scan.operands.size(),
                      " operands and ", scan.result_count(), " results");
      });
  const auto batch = static_cast<size_t>(scan.batch);
  bool scans = false;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Type& inner = body.parameters[i];
    check_axes(scan, scan.operands[i], operands[i].shape.size(), i >= scan.input_count());
    scans |= scan.operands[i].scanned >= 0;
    check<InternalError>(
        inner.dtype == operands[i].dtype && inner.shape.size() + batch == operands[i].shape.size(),
        [&] {
          return concat("block_scan: operand ", i, " is ", info(operands[i].dtype).name,
                        " of rank ", operands[i].shape.size(), ", the body's parameter ",
                        info(inner.dtype).name, " of rank ", inner.shape.size(), " without ", batch,
                        " batch axes");
        });
  }
  require(scans, "block_scan: no operand has a scanned axis");
  const auto number = static_cast<size_t>(index);
  const Type& inner = body.nodes[static_cast<size_t>(body.results[number])].type;
  if (index < scan.carries) {
    const Type& carried = operands[scan.input_count() + number];
    check<InternalError>(
        inner.dtype == carried.dtype && inner.shape.size() + batch == carried.shape.size(), [&] {
          return concat("block_scan: carried value ", index, " is ", info(carried.dtype).name,
                        " of rank ", carried.shape.size(), ", the body gives ",
                        info(inner.dtype).name, " of rank ", inner.shape.size());
        });
    return carried;
  }
  const BlockScan::Axes& axes = scan.result(number);
  check_axes(scan, axes, inner.shape.size() + batch, false);
  require(axes.scanned >= 0, "block_scan: an output has a scanned axis");
  const Outside outside(scan, operands);
  Type result{inner.dtype, {}};
  for (size_t i = 0; i < batch; ++i) result.shape.push_back(operands[0].shape[i]);
  for (size_t i = 0; i < inner.shape.size(); ++i)
    result.shape.push_back(outside.of(axes, static_cast<int>(i), inner.shape[i]));
  return result;
}

}  // namespace flambeau::ir
