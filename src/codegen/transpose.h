#pragma once
// Rows into columns, in registers.

#include <llvm/IR/IRBuilder.h>

#include <vector>

#include "base/function_ref.h"

namespace flambeau::codegen {

/// Element i of `lanes` rows as vector i, for the 16 bytes of each row that load_piece(lane) gives
/// as a vector.
std::vector<llvm::Value*> transpose_rows(llvm::IRBuilder<>& builder, int lanes,
                                         FunctionRef<llvm::Value*(int lane)> load_piece);

}  // namespace flambeau::codegen
