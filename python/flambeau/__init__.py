"""Flambeau: deep learning with PyTorch's programming model."""

from __future__ import annotations

import sys as _sys
import types as _types

from . import _C
from . import _absent as _absent
from ._C import *  # noqa: F403
from ._C import Tensor, UntypedStorage, __version__, device, dtype, layout, memory_format  # noqa: F401

__all__: list[str] = []


def _add_functions() -> None:
    """Puts every operation where its path says; folders that have no file of their own are made."""
    for path, function in _C._functions.items():
        folder, _, name = path.rpartition(".")
        if name.startswith("_foreach_"):
            continue  # __getattr__ has them, with all overloads.
        if not folder:
            globals().setdefault(name, function)
        elif folder.partition(".")[0] not in _OWN_FILES:
            _folder(folder).__dict__.setdefault(name, function)


# Packages that take their operations from `_C._functions` themselves.
_OWN_FILES = {"nn"}


def _folder(path: str) -> _types.ModuleType:
    module = _sys.modules[__name__]
    for part in path.split("."):
        full_name = f"{module.__name__}.{part}"
        child = _sys.modules.get(full_name)
        if child is None:
            child = _types.ModuleType(full_name)
            child.__dict__["__getattr__"] = _absent.attribute(full_name)
            _sys.modules[full_name] = child
            setattr(module, part, child)
        module = child
    return module


_add_functions()

# Short names of dtypes.
float = _C.float32
double = _C.float64
half = _C.float16
short = _C.int16
int = _C.int32
long = _C.int64
chalf = _C.complex32
cfloat = _C.complex64
cdouble = _C.complex128

from . import _composed as _composed  # noqa: E402  (adds methods to Tensor)
from . import _in_place_views as _in_place_views  # noqa: E402  (adds methods to Tensor)
from . import _linear_algebra as _linear_algebra  # noqa: E402
from . import _tensor as _tensor  # noqa: E402  (adds methods to Tensor)
from . import autograd  # noqa: E402
from ._autocast import *  # noqa: E402
from ._compile import compile as compile  # noqa: E402
from ._composed import (  # noqa: E402
    allclose,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    cartesian_prod,
    combinations,
    histogram,
    histogramdd,
    index_put,
    meshgrid,
    nanquantile,
    native_batch_norm,
    quantile,
    repeat_interleave,
    tensor_split,
    tensordot,
    unique,
    unique_consecutive,
    unravel_index,
    vander,
)
from ._construct import (  # noqa: E402
    as_tensor,
    asarray,
    from_dlpack,
    is_tensor,
    numel,
    set_printoptions,
    tensor,
)
from ._functional import (  # noqa: E402
    _assert,
    _assert_async,
    _softmax_backward_data,
    broadcast_shapes,
    broadcast_tensors,
    cond,
    detach,
    einsum,
    empty_strided,
    equal,
    is_complex,
    is_conj,
    is_floating_point,
    is_neg,
    is_nonzero,
    nonzero,
    normal,
    result_type,
    where,
)
from ._in_place_views import *  # noqa: E402
from ._legacy_types import *  # noqa: E402
from ._modes import *  # noqa: E402
from ._numbers import e, finfo, iinfo, inf, nan, newaxis, pi  # noqa: E402
from ._recurrent import (  # noqa: E402
    gru,
    gru_cell,
    lstm,
    lstm_cell,
    rnn_relu,
    rnn_relu_cell,
    rnn_tanh,
    rnn_tanh_cell,
)
from ._spectral import *  # noqa: E402
from ._symbolic import *  # noqa: E402
from .autograd.grad_mode import (  # noqa: E402
    enable_grad,
    inference_mode,
    no_grad,
    set_grad_enabled,
)

_native_batch_norm_legit = native_batch_norm
_folder("masked").__dict__["median"] = _composed.masked_median
_folder("linalg").__dict__.update(_linear_algebra.LINALG)
for _name, _function in _linear_algebra.TOP.items():
    globals()[_name] = _function

# To programs that import torch it is the PyTorch whose programs run.
if __name__ == "torch":
    from .version import __version__ as __version__  # noqa: E402

# What libraries take from PyTorch's extension module.
_C.__dict__["__getattr__"] = _absent.attribute(_C.__name__)
_C.__dict__["_nn"] = _types.SimpleNamespace(
    _parse_to=lambda *args, **kwargs: _tensor.parse_to(args, kwargs)
)
_C.__dict__["_get_accelerator"] = lambda check=None: device("cpu")

legacy_contiguous_format = _C.contiguous_format

# Submodules load when they are first named, so that importing Flambeau stays cheap.
_find = _absent.attribute(
    __name__,
    {
        "OutOfMemoryError": "cuda",
        "ScriptModule": "jit",
        "TypedStorage": "storage",
        "_disable_dynamo": "_compile",
        "autocast": "amp",
        "load": "serialization",
        "pca_lowrank": "_lowrank",
        "save": "serialization",
        "sparse_bsc_tensor": "sparse",
        "sparse_bsr_tensor": "sparse",
        "sparse_compressed_tensor": "sparse",
        "sparse_coo_tensor": "sparse",
        "sparse_csc_tensor": "sparse",
        "sparse_csr_tensor": "sparse",
        "svd_lowrank": "_lowrank",
        "vmap": "func",
    },
)


def __getattr__(name: str) -> object:
    if name.startswith("_foreach_"):
        from ._foreach import function

        found = function(name)
        if found is not None:
            globals()[name] = found
            return found
    return _find(name)
