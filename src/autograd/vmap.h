#pragma once
// vmap: tensors of which a call sees one member, while their axes of members are hidden. A call on
// such tensors runs its program batched by the primitives' rules (prim::batch), once for all
// members, on the tensors behind; the tape and forward mode see only those.

#include <optional>

#include "eager/dispatch.h"
#include "tensor/tensor.h"

namespace flambeau {

/// What is behind a tensor with hidden axes. Axes of members come first, of the innermost vmap
/// foremost; then those that are seen.
struct Batched {
  Tensor physical;
  SmallVector<int, 2> levels;  ///< descending; one per hidden axis
};

/// How many vmaps this thread is in. While it is 0, no call looks for hidden axes.
extern thread_local constinit int vmap_depth;
/// What operations that draw random bits give the members of a vmap: nothing (RuntimeError), their
/// own numbers each, or the same to all.
enum class VmapRandomness : uint8_t { Error, Different, Same };
/// Enters a vmap over `extent` members, and gives its level (1 is the outermost); leaves it.
int enter_vmap(int64_t extent, VmapRandomness randomness = VmapRandomness::Error);
void leave_vmap();
/// The levels that this thread is in, descending; what is known of each.
SmallVector<int, 2> vmap_levels();
int64_t vmap_extent(int level);
VmapRandomness vmap_randomness(int level);

/// What is behind `tensor`, or null. It stays valid while the tensor lives and is not written.
const Batched* find_batched(const Tensor& tensor);
/// A tensor whose first axes, one per level (descending), are hidden.
Tensor make_batched(const Tensor& physical, std::span<const int> levels);

/// Others see the memory behind `tensor`, too: it cannot be written in place in vmap.
void note_seen(const Tensor& tensor);

/// The call for all members, if an argument has hidden axes; nothing otherwise. The user's errors
/// for a member are those of the call without vmap. RuntimeError for writes that would have to hold
/// several members; NotImplementedError, naming the operation, where it has no program to batch.
std::optional<Results> call_batched(const ops::Definition& op,
                                    std::span<const ops::Argument> arguments, CallForm form,
                                    std::span<const Tensor> out);

/// run_recorded() of a program whose sizes are integers, likewise.
std::optional<Results> run_batched(const std::shared_ptr<const Executable>& program,
                                   std::span<const Tensor> parameters,
                                   std::span<const Scalar> numbers,
                                   std::span<const int64_t> integers,
                                   FunctionRef<std::string()> name);

}  // namespace flambeau
