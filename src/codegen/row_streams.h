#pragma once
// What passes over a row fetch ahead.

#include <vector>

#include "codegen/loop_analysis.h"

namespace flambeau::codegen {

/// A row of memory that passes over a row read or write, and the pass that fetches the next one.
/// Memory can bring a row while the one before is computed if it is asked evenly: so the rows are
/// spread over the passes by how long these take, where a first pass that fetched all that it reads
/// would wait for memory, and memory for the passes behind.
struct RowStream {
  const ir::Statement* access;  ///< the first one, a load or a store
  const ir::Statement* of;      ///< the pass that it is in
  const ir::Statement* pass;    ///< the one that fetches
  ir::IntOperand step;          ///< from one row to the next
  int ahead = 1;                ///< rows from the one of `pass` to what it fetches; below 0: as 0
};

/// Those of the loop `rows`; none if no pass over its rows is a reduction.
std::vector<RowStream> row_streams(const ir::Statement& rows, const LoopAnalysis& analysis);

}  // namespace flambeau::codegen
