"""Which blocks of scores an attention has, per batch member, head and block of queries."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Callable

import flambeau
from flambeau import Tensor

__all__ = ["BlockMask", "dense_to_ordered", "noop_mask", "ordered_to_dense"]

_DEFAULT_SPARSE_BLOCK_SIZE = 128
_NAMES = (
    "kv_num_blocks", "kv_indices", "full_kv_num_blocks", "full_kv_indices",
    "q_num_blocks", "q_indices", "full_q_num_blocks", "full_q_indices",
)  # fmt: skip


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """A mask_mod that masks nothing."""
    return batch.new_ones((), dtype=flambeau.bool)


def dense_to_ordered(dense: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of each row there are, and their columns first among all columns."""
    dense = dense.to(flambeau.int32)
    counts = dense.sum(-1).to(flambeau.int32)
    columns = flambeau.argsort(dense, dim=-1, descending=True, stable=True)
    return counts, columns.to(flambeau.int32).contiguous()


def ordered_to_dense(counts: Tensor, columns: Tensor) -> Tensor:
    """1 for the blocks that there are, int32."""
    width = columns.shape[-1]
    place = flambeau.arange(width, dtype=flambeau.int32, device=columns.device)
    # What is not there is written to a column behind the last.
    target = flambeau.where(place < counts.unsqueeze(-1), columns, width).to(flambeau.int64)
    dense = columns.new_zeros((*columns.shape[:-1], width + 1))
    return dense.scatter(-1, target, flambeau.ones_like(columns))[..., :width].contiguous()


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


class BlockMask:
    """The blocks of scores that are computed: those with all of their scores ("full"), and those in which
    `mask_mod(batch, head, query, key)` says which. `create_block_mask` makes it.
    """

    seq_lengths: tuple[int, int]
    kv_num_blocks: Tensor
    kv_indices: Tensor
    full_kv_num_blocks: Tensor | None
    full_kv_indices: Tensor | None
    BLOCK_SIZE: tuple[int, int]
    mask_mod: Callable[..., Tensor]

    def __init__(
        self,
        seq_lengths: tuple[int, int],
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None,
        full_kv_indices: Tensor | None,
        q_num_blocks: Tensor | None,
        q_indices: Tensor | None,
        full_q_num_blocks: Tensor | None,
        full_q_indices: Tensor | None,
        BLOCK_SIZE: tuple[int, int],
        mask_mod: Callable[..., Tensor],
    ) -> None:
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        assert kv_num_blocks is not None, "kv_num_blocks must be provided"
        assert kv_indices is not None, "kv_indices must be provided"
        for number, indices, name in (
            (full_kv_num_blocks, full_kv_indices, "full_kv"),
            (q_num_blocks, q_indices, "q"),
            (full_q_num_blocks, full_q_indices, "full_q"),
        ):
            assert (number is None) == (indices is None), (
                f"{name}_num_blocks and {name}_indices must be both provided or omitted"
            )
        self.seq_lengths = seq_lengths
        self.kv_num_blocks = kv_num_blocks
        self.kv_indices = kv_indices
        self.full_kv_num_blocks = full_kv_num_blocks
        self.full_kv_indices = full_kv_indices
        self.q_num_blocks = q_num_blocks
        self.q_indices = q_indices
        self.full_q_num_blocks = full_q_num_blocks
        self.full_q_indices = full_q_indices
        self.BLOCK_SIZE = BLOCK_SIZE
        self.mask_mod = mask_mod

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None = None,
        full_kv_indices: Tensor | None = None,
        BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
        mask_mod: Callable[..., Tensor] | None = None,
        seq_lengths: tuple[int, int] | None = None,
    ) -> BlockMask:
        """From the blocks of keys of each block of queries: how many, and which first."""
        if kv_indices.dim() < 2:
            raise RuntimeError("BlockMask must have at least 2 dimensions")
        assert (full_kv_num_blocks is None) == (full_kv_indices is None), (
            "full_kv_num_blocks and full_kv_indices must be both provided or omitted"
        )
        size = _pair(BLOCK_SIZE)
        q_num, q_indices = _transposed(kv_num_blocks, kv_indices)
        full_q: tuple[Tensor | None, Tensor | None] = (None, None)
        if full_kv_num_blocks is not None and full_kv_indices is not None:
            full_q = _transposed(full_kv_num_blocks, full_kv_indices)
        if seq_lengths is None:
            seq_lengths = (q_indices.shape[-1] * size[0], kv_indices.shape[-1] * size[1])
        return cls(
            seq_lengths, kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices, q_num,
            q_indices, *full_q, size, noop_mask if mask_mod is None else mask_mod,
        )  # fmt: skip

    def as_tuple(self, flatten: bool = True) -> tuple[Any, ...]:
        """The fields; with `flatten`, pairs as two."""
        lengths = self.seq_lengths if flatten else (self.seq_lengths,)
        size = self.BLOCK_SIZE if flatten else (self.BLOCK_SIZE,)
        return (*lengths, *(getattr(self, name) for name in _NAMES), *size, self.mask_mod)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the scores: (batch, heads, queries, keys)."""
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """The number of scores."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    def sparsity(self) -> float:
        """How many percent of the scores are in no block."""
        blocks = int(self.kv_num_blocks.sum())
        if self.full_kv_num_blocks is not None:
            blocks += int(self.full_kv_num_blocks.sum())
        return 100 * (1 - blocks * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1] / self.numel())

    def to_dense(self) -> Tensor:
        """1 for each block of scores that there is, int32."""
        partial = ordered_to_dense(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is None or self.full_kv_indices is None:
            return partial
        return partial | ordered_to_dense(self.full_kv_num_blocks, self.full_kv_indices)

    def to(self, device: Any) -> BlockMask:
        """The same with its tensors on `device`."""
        moved = {name: getattr(self, name) for name in _NAMES}
        moved = {name: None if t is None else t.to(device) for name, t in moved.items()}
        return BlockMask(
            self.seq_lengths, BLOCK_SIZE=self.BLOCK_SIZE, mask_mod=self.mask_mod, **moved
        )

    def _each(self, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> list[Any]:
        """The changed blocks, partial ones and full ones."""
        changed: list[Any] = [*change(self.kv_num_blocks, self.kv_indices)]
        if self.full_kv_num_blocks is None or self.full_kv_indices is None:
            return [*changed, None, None]
        return [*changed, *change(self.full_kv_num_blocks, self.full_kv_indices)]

    def __getitem__(self, index: Any) -> BlockMask:
        """The mask of some batch members and heads, without its mask_mod: that one counts from the first."""
        chosen = self._each(lambda counts, columns: (counts[index], columns[index]))
        return BlockMask.from_kv_blocks(
            chosen[0], chosen[1], chosen[2], chosen[3], self.BLOCK_SIZE, None, self.seq_lengths
        )

    def _adjust(self, new_q_len: int, new_kv_len: int) -> BlockMask:
        """The upper left corner, in whole blocks."""
        rows = -(-new_q_len // self.BLOCK_SIZE[0])
        columns = -(-new_kv_len // self.BLOCK_SIZE[1])
        cut = self._each(
            lambda n, i: dense_to_ordered(ordered_to_dense(n, i)[..., :rows, :columns])
        )
        return BlockMask.from_kv_blocks(
            cut[0], cut[1], cut[2], cut[3], self.BLOCK_SIZE, self.mask_mod
        )

    # -- as text --

    def __str__(self) -> str:
        start = f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n"
        return f"{start}{self.to_string().strip()}\n)"

    def __repr__(self) -> str:
        def shown(name: str) -> Any:
            value = getattr(self, name)
            return None if value is None else f"torch.Size({list(value.shape)})"

        lines = [f"    {name}={shown(name)},\n" for name in _NAMES]
        mod = getattr(self.mask_mod, "__name__", self.mask_mod)
        return (
            f"BlockMask(\n{''.join(lines)}    BLOCK_SIZE={self.BLOCK_SIZE},\n    shape={self.shape},\n"
            f"    sparsity={self.sparsity():.2f}%,\n    mask_mod={mod}\n)"
        )

    def to_string(self, grid_size: int | tuple[int, int] = (20, 20), limit: int | None = 4) -> str:
        """A picture of at most `grid_size` signs for each of the first `limit` pairs of batch member and head:
        all blocks there, some, or none."""
        dense = self.to_dense()
        parts = []
        places = itertools.product(*map(range, dense.shape[:-2]))
        for number, place in enumerate(places):
            if number == limit:
                parts += [
                    "...",
                    "To print out more, set BlockMask.to_string(limit=N)",
                    "You can also index (BlockMask[batch, head]) to choose a specific batch or head",
                ]
                break
            parts.append(f"{place}\n" + "".join(_picture(dense[place], grid_size)))
        return "\n".join(parts)


def _picture(dense: Tensor, grid_size: int | tuple[int, int]) -> Iterator[str]:
    steps = [
        1 if wanted == -1 else max(1, -(-size // wanted))
        for wanted, size in zip(_pair(grid_size), dense.shape)
    ]
    for row in range(0, dense.shape[0], steps[0]):
        for column in range(0, dense.shape[1], steps[1]):
            share = float(dense[row : row + steps[0], column : column + steps[1]].float().mean())
            yield ("██" if share == 1 else "  ") if share in (0, 1) else "░░"
        yield "\n"


def _transposed(counts: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    return dense_to_ordered(ordered_to_dense(counts, columns).transpose(-2, -1))
