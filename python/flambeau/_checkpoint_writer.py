"""Writes PyTorch's checkpoints: a zip archive of a pickle and the data of storages.

The pickle is written here, so that the names in it are those of PyTorch's files whatever the package is called.
"""

from __future__ import annotations

import collections
import copyreg
import ctypes
import pickle
import struct
import sys
import zlib
from typing import Any

import flambeau
from flambeau import _C
from flambeau._tensor import _TYPE_NAMES
from flambeau.serialization import _file_name

__all__ = ["write"]

_ALIGNMENT = 64
_LOCAL_HEADER = 30
_LARGE = 0xFFFFFFFF
# Names of storages: FloatStorage for FloatTensor.
_STORAGES = {dtype: name.replace("Tensor", "Storage") for dtype, name in _TYPE_NAMES.items()}


class _Name:
    """A name in a file: a module and what it holds."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


_REBUILD_TENSOR = _Name("torch._utils", "_rebuild_tensor_v2")
_REBUILD_PARAMETER = _Name("torch._utils", "_rebuild_parameter")
_REBUILD_PARAMETER_WITH_STATE = _Name("torch._utils", "_rebuild_parameter_with_state")
_REBUILD_WITH_ATTRIBUTES = _Name("torch._tensor", "_rebuild_from_type_v2")
_TENSOR = _Name("torch", "Tensor")
_SIZE = _Name("torch", "Size")
_DEVICE = _Name("torch", "device")
_LAYOUT = _Name("torch.serialization", "_get_layout")
_ORDERED_DICT = _Name("collections", "OrderedDict")


class _PickleWriter:
    """One pickle of protocol 2, and the storages that it refers to."""

    def __init__(self) -> None:
        self.out = bytearray(b"\x80\x02")
        self.storages: list[Any] = []
        self._storage_keys: dict[int, tuple[str, Any]] = {}
        # Places of objects that were written, by identity; and what keeps these identities.
        self._places: dict[Any, int] = {}
        self._kept: list[Any] = []

    def finish(self, value: Any) -> bytes:
        self._write(value)
        self.out += b"."
        return bytes(self.out)

    def _remember(self, key: Any, value: Any) -> None:
        place = len(self._places)
        self._places[key] = place
        self._kept.append(value)
        self.out += (
            struct.pack("<cB", b"q", place) if place < 256 else struct.pack("<cI", b"r", place)
        )

    def _recall(self, key: Any) -> bool:
        place = self._places.get(key)
        if place is None:
            return False
        self.out += (
            struct.pack("<cB", b"h", place) if place < 256 else struct.pack("<cI", b"j", place)
        )
        return True

    def _write(self, value: Any) -> None:
        kind = type(value)
        if value is None or kind is bool:
            self.out += b"N" if value is None else b"\x88" if value else b"\x89"
        elif kind is int:
            self._write_int(value)
        elif kind is float:
            self.out += struct.pack(">cd", b"G", value)
        elif kind is str:
            self._write_text(value)
        elif kind is _Name:
            self._write_name(value.module, value.name)
        elif not self._recall(id(value)):
            self._write_object(value, kind)

    def _write_int(self, value: int) -> None:
        if 0 <= value < 256:
            self.out += struct.pack("<cB", b"K", value)
        elif -(2**31) <= value < 2**31:
            self.out += struct.pack("<ci", b"J", value)
        else:
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            short = len(data) < 256
            self.out += struct.pack(
                "<cB" if short else "<cI", b"\x8a" if short else b"\x8b", len(data)
            )
            self.out += data

    def _write_text(self, value: str) -> None:
        if not self._recall(value):
            data = value.encode("utf-8", "surrogatepass")
            self.out += struct.pack("<cI", b"X", len(data)) + data
            self._remember(value, value)

    def _write_name(self, module: str, name: str) -> None:
        if not self._recall((module, name)):
            self.out += b"c" + f"{module}\n{name}\n".encode()
            self._remember((module, name), None)

    def _write_call(self, callee: Any, arguments: tuple[Any, ...], code: bytes = b"R") -> None:
        self._write(callee)
        self._write_tuple(arguments)
        self.out += code

    def _write_tuple(self, items: tuple[Any, ...]) -> None:
        if len(items) > 3:
            self.out += b"("
        for item in items:
            self._write(item)
        self.out += (b")", b"\x85", b"\x86", b"\x87")[len(items)] if len(items) <= 3 else b"t"

    def _write_object(self, value: Any, kind: type) -> None:
        if isinstance(value, _C.Tensor):
            self._write_tensor(value)
        elif kind is tuple:
            self._write_tuple(value)
            # Where a tuple holds itself, through a list, it has been written by now.
            if id(value) in self._places:
                raise ValueError("save: a tuple that holds itself cannot be written")
        elif kind is list:
            self.out += b"]"
            self._remember(id(value), value)
            self._write_items(iter(value), b"e", 1)
            return
        elif kind in (dict, collections.OrderedDict):
            if kind is dict:
                self.out += b"}"
            else:
                self._write_call(_ORDERED_DICT, ())
            self._remember(id(value), value)
            self._write_items(iter(value.items()), b"u", 2)
            if kind is not dict and value.__dict__:
                self._write(dict(value.__dict__))
                self.out += b"b"
            return
        elif kind is _C.Size:
            self._write_call(_SIZE, (tuple(value),))
        elif kind is _C.device:
            self._write_call(
                _DEVICE, (value.type,) if value.index is None else (value.type, value.index)
            )
        elif kind is _C.layout:
            self._write_call(_LAYOUT, (repr(value),))
        elif kind is _C.dtype:
            self._write_name("torch", value.name)
            return
        elif isinstance(value, _C.UntypedStorage):
            self._write_storage(value, None)
        elif kind is bytes:
            self._write_call(_Name("_codecs", "encode"), (value.decode("latin-1"), "latin1"))
        elif kind is bytearray:
            self._write_call(_Name("__builtin__", "bytearray"), (bytes(value),) if value else ())
        elif kind is set:
            self._write_call(_Name("__builtin__", "set"), (list(value),))
        elif isinstance(value, type) or (
            callable(getattr(value, "__get__", None)) and hasattr(value, "__qualname__")
        ):
            self._write_global(value)
            return
        else:
            self._write_reduced(value)
            return
        self._remember(id(value), value)

    def _write_items(self, items: Any, code: bytes, parts: int) -> None:
        batch = [item for _, item in zip(range(1000), items)]
        while batch:
            self.out += b"("
            for item in batch:
                for part in item if parts == 2 else (item,):
                    self._write(part)
            self.out += code
            batch = [item for _, item in zip(range(1000), items)]

    def _write_global(self, value: Any) -> None:
        """A class or function, which the file only names."""
        module, name = value.__module__, value.__qualname__
        found: Any = sys.modules.get(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is not value:
            raise pickle.PicklingError(f"Can't save {value!r}: it is not found as {module}.{name}")
        self._write_name("__builtin__" if module == "builtins" else _file_name(module), name)

    def _write_reduced(self, value: Any) -> None:
        """Any other object, as it says itself how it is made."""
        known = copyreg.dispatch_table.get(type(value))
        reduced: Any = value.__reduce_ex__(2) if known is None else known(value)
        if isinstance(reduced, str):
            module = getattr(value, "__module__", None) or type(value).__module__
            self._write_name(_file_name(module), reduced)
            return
        callee, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        if getattr(callee, "__name__", "") == "__newobj__":
            self._write_call(arguments[0], tuple(arguments[1:]), b"\x81")
        else:
            self._write_call(callee, arguments)
        self._remember(id(value), value)
        if items is not None:
            self._write_items(items, b"e", 1)
        if pairs is not None:
            self._write_items(pairs, b"u", 2)
        if state is not None:
            self._write(state)
            self.out += b"b"

    # ---- tensors ---------------------------------------------------------------------------------

    def _write_tensor(self, value: Any) -> None:
        is_parameter = isinstance(value, flambeau.nn.Parameter)
        kind = type(value)
        is_plain = kind in (_C.Tensor, flambeau.nn.Parameter, flambeau.nn.Buffer)
        if not is_plain and is_parameter:
            raise pickle.PicklingError(
                f"save: a {kind.__name__}, which checkpoints do not have; save its tensors"
            )
        attributes = dict(value.__dict__)
        if is_parameter:
            hooks: dict[str, Any] = collections.OrderedDict()
            extra: tuple[Any, ...] = (hooks, attributes) if attributes else (hooks,)
            self._write(_REBUILD_PARAMETER_WITH_STATE if attributes else _REBUILD_PARAMETER)
            self.out += b"("
            self._write_data(value.detach(), False)
            for part in (value.requires_grad, *extra):
                self._write(part)
            self.out += b"tR"
        elif attributes or not is_plain:
            self._write(_REBUILD_WITH_ATTRIBUTES)
            self.out += b"("
            self._write(_REBUILD_TENSOR)
            self._write(_TENSOR if is_plain else kind)
            self._write_arguments(value, value.requires_grad)
            self._write(attributes)
            self.out += b"tR"
        else:
            self._write_data(value, value.requires_grad)

    def _write_data(self, value: Any, requires_grad: bool) -> None:
        self._write(_REBUILD_TENSOR)
        self._write_arguments(value, requires_grad)
        self.out += b"R"

    def _write_arguments(self, value: Any, requires_grad: bool) -> None:
        if value.is_meta:
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        value = value.resolve_conj().resolve_neg()
        self.out += b"("
        self._write_storage(value.untyped_storage(), value.dtype)
        parts: tuple[Any, ...] = (value.storage_offset(), tuple(value.shape), tuple(value.stride()))
        for part in (*parts, requires_grad, collections.OrderedDict()):
            self._write(part)
        self.out += b"t"

    def _write_storage(self, storage: Any, dtype: Any) -> None:
        key, known = self._storage_keys.get(id(storage), ("", dtype))
        if known is not dtype:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different types"
            )
        if not key:
            key = str(len(self.storages))
            self.storages.append(storage)
            self._storage_keys[id(storage)] = key, dtype
        size = storage.nbytes() // (1 if dtype is None else dtype.itemsize)
        kind = _Name("torch", "UntypedStorage" if dtype is None else _STORAGES[dtype])
        self._write_tuple(("storage", kind, key, "cpu", size))
        self.out += b"Q"


class _ZipWriter:
    """A zip archive of entries that are stored as they are, each at a multiple of 64 bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._at = 0
        self._directory = bytearray()
        self._count = 0

    def _put(self, data: Any) -> None:
        self._stream.write(data)
        self._at += len(data)

    def add(self, name: str, data: Any) -> None:
        encoded, size, place = name.encode(), len(data), self._at
        # Sizes that 32 bits do not hold are in an extra field; another one fills what is before the data.
        large = struct.pack("<HHQQ", 1, 16, size, size) if size >= _LARGE else b""
        start = place + _LOCAL_HEADER + len(encoded) + len(large) + 4
        filler = -start % _ALIGNMENT
        extra = large + struct.pack("<2sH", b"FB", filler) + b"Z" * filler
        short = min(size, _LARGE)
        version = 45 if large else 20
        # Flags: names are UTF-8. No compression, the first day that the format knows.
        common = struct.pack(
            "<HHHHHIII", version, 0x800, 0, 0, 0x21, zlib.crc32(data), short, short
        )
        self._put(
            b"PK\3\4" + common + struct.pack("<HH", len(encoded), len(extra)) + encoded + extra
        )
        self._put(data)
        where = struct.pack("<Q", place) if place >= _LARGE else b""
        extra = b""
        if large or where:
            sizes = large[4:]
            extra = struct.pack("<HH", 1, len(sizes) + len(where)) + sizes + where
        rest = struct.pack("<HHHHHII", len(encoded), len(extra), 0, 0, 0, 0, min(place, _LARGE))
        made_by = struct.pack("<H", version)
        self._directory += b"PK\1\2" + made_by + common + rest + encoded + extra
        self._count += 1

    def finish(self) -> None:
        place, size = self._at, len(self._directory)
        self._put(bytes(self._directory))
        if place >= _LARGE or self._count >= 0xFFFF:
            record = self._at
            counts = struct.pack("<QQQQ", self._count, self._count, size, place)
            self._put(b"PK\6\6" + struct.pack("<QHHII", 44, 45, 45, 0, 0) + counts)
            self._put(b"PK\6\7" + struct.pack("<IQI", 0, record, 1))
        count = min(self._count, 0xFFFF)
        self._put(
            b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, size, min(place, _LARGE), 0)
        )


def write(value: Any, stream: Any, folder: str) -> None:
    """Writes the archive of `value` to a stream."""
    writer = _PickleWriter()
    archive = _ZipWriter(stream)
    archive.add(f"{folder}/data.pkl", writer.finish(value))
    archive.add(f"{folder}/byteorder", sys.byteorder.encode())
    for number, storage in enumerate(writer.storages):
        size = storage.nbytes()
        data = (ctypes.c_char * size).from_address(storage.data_ptr()) if size else b""
        archive.add(f"{folder}/data/{number}", memoryview(data).cast("B"))
    archive.add(f"{folder}/version", b"3\n")
    archive.finish()
