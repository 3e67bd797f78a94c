#pragma once
// Running a scan over blocks on tensors.

#include <span>

#include "eager/executable.h"
#include "ir/block_scan.h"

namespace flambeau {

/// Runs `body`, which has the batch axes in front, over the blocks of `operands` (any strides), as
/// ir/block_scan.h says, into `results` (carried values, then outputs; they share no memory with
/// operands). Members of the batch and, with `by_rows`, pieces of the rows run on all threads.
void run_block_scan(const ir::BlockScan& scan, bool by_rows, const Executable& body,
                    std::span<const Tensor> operands, std::span<const Tensor> results);

/// True if such a run is one of `body`, on all of the operands and with integers 0 and 0, that
/// writes all of the results.
bool is_one_run(const ir::BlockScan& scan, bool by_rows, const Executable& body,
                std::span<const Tensor> operands, std::span<const Tensor> results);

/// Asks for the kernels of such a run (eager/ask_kernels.h); false if one is missing.
bool has_kernels_of_scan(const ir::BlockScan& scan, bool by_rows, const Executable& body,
                         std::span<const Tensor> operands, std::span<const Tensor> results);

}  // namespace flambeau
