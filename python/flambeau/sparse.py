"""Sparse tensors, which there are not: their names say so when they are used."""

from __future__ import annotations

from typing import Any, Callable

from flambeau._absent import attribute, feature

__all__ = [
    "SparseSemiStructuredTensor",
    "SparseSemiStructuredTensorCUSPARSELT",
    "SparseSemiStructuredTensorCUTLASS",
    "addmm",
    "as_sparse_gradcheck",
    "check_sparse_tensor_invariants",
    "log_softmax",
    "mm",
    "softmax",
    "sum",
    "to_sparse_semi_structured",
]


def _refused(name: str) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise feature(name)

    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[2]
    return refuse


addmm = _refused("sparse.addmm")
as_sparse_gradcheck = _refused("sparse.as_sparse_gradcheck")
check_sparse_tensor_invariants = _refused("sparse.check_sparse_tensor_invariants")
log_softmax = _refused("sparse.log_softmax")
mm = _refused("sparse.mm")
softmax = _refused("sparse.softmax")
sum = _refused("sparse.sum")
to_sparse_semi_structured = _refused("sparse.to_sparse_semi_structured")

# Of torch itself.
sparse_bsc_tensor = _refused("sparse_bsc_tensor")
sparse_bsr_tensor = _refused("sparse_bsr_tensor")
sparse_compressed_tensor = _refused("sparse_compressed_tensor")
sparse_coo_tensor = _refused("sparse_coo_tensor")
sparse_csc_tensor = _refused("sparse_csc_tensor")
sparse_csr_tensor = _refused("sparse_csr_tensor")


class SparseSemiStructuredTensor:
    """A matrix with two zeros in each four numbers of a row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise feature("sparse.SparseSemiStructuredTensor")


class SparseSemiStructuredTensorCUSPARSELT(SparseSemiStructuredTensor):
    """One for cuSPARSELt."""


class SparseSemiStructuredTensorCUTLASS(SparseSemiStructuredTensor):
    """One for CUTLASS."""


__getattr__ = attribute(__name__)
