"""Files that must be refused: each is (name, bytes)."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from typing import Any

Case = tuple[str, bytes]

# What a pickle can do harm with.
DANGEROUS = [
    "os system", "posix system", "subprocess Popen", "builtins eval", "builtins exec", "builtins getattr",
    "builtins __import__", "__builtin__ open", "importlib import_module", "pickle loads", "runpy run_path",
    "functools partial", "operator attrgetter", "shutil rmtree", "torch.hub load", "torch.jit load",
    "torch load", "torch._utils _import_dotted_name", "numpy.core.multiarray _reconstruct",
    "torch.nn.modules.linear Linear", "collections OrderedDict.__init__", "torch._C _TensorBase", " ", "os",
]  # fmt: skip


def archive(pickled: bytes, records: dict[str, bytes] | None = None, **options: Any) -> bytes:
    """A zip file as PyTorch lays it out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", options.get("compression", zipfile.ZIP_STORED)) as target:
        target.writestr("archive/data.pkl", pickled)
        for name, data in (records if records is not None else {"data/0": bytes(32)}).items():
            target.writestr(f"archive/{name}", data)
        target.writestr("archive/version", b"3\n")
    return stream.getvalue()


def legacy(pickled: bytes, keys: bytes = b"\x80\x02].", data: bytes = b"") -> bytes:
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    return magic + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + pickled + keys + data


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tensor(
    kind: str = "FloatStorage",
    key: str = "0",
    count: int = 8,
    offset: int = 0,
    sizes: tuple[int, ...] = (8,),
    strides: tuple[int, ...] = (1,),
    device: str = "cpu",
    view: bytes = b"",
) -> bytes:
    """The pickle of one tensor."""
    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text(device)
    storage += number(count) + view + b"tQ"
    shape = (
        b"(" + b"".join(map(number, sizes)) + b"t" + b"(" + b"".join(map(number, strides)) + b"t"
    )
    rest = b"\x89ccollections\nOrderedDict\n)RtR."
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + shape + rest


def instructions() -> Iterator[Case]:
    """Each byte as an instruction, where it is none or lacks what it needs."""
    harmless = b"N)]}\x88\x89\x8f("
    for code in range(256):
        if code not in harmless and code not in (0x80, 0x95, ord(".")):
            yield f"instruction {code:#x}", archive(b"\x80\x02" + bytes([code]) + b".")
    for (
        code
    ) in b"FILSVgpioPQRabcdelmnqrstu\x81\x82\x83\x84\x85\x86\x87\x90\x92\x93\x94\x96\x97\x98":
        yield f"instruction {code:#x} with values", archive(b"\x80\x02NN" + bytes([code]) + b"1\n.")
    for pickled in (
        b"",
        b"\x80",
        b"\x80\x01N.",
        b"\x80\x06N.",
        b"\x80\x02",
        b"\x80\x02.",
        b"\x80\x02NN.",
        b"\x80\x02(N.",
        b"N",
        b"\x80\x02(",
        b"\x80\x02h\x05.",
        b"\x80\x02j\xff\xff\xff\xff.",
        b"\x80\x02}N\x73.",
        b"\x80\x02}(Nu.",
        b"\x80\x02NNa.",
        b"\x80\x02N(Ne.",
        b"\x80\x02]NNs.",
    ):
        yield f"pickle {pickled!r}", archive(pickled)


def names() -> Iterator[Case]:
    """Everything that a pickle can do with a name."""
    for name in DANGEROUS:
        module, _, attribute = name.partition(" ")
        load = f"c{module}\n{attribute}\n".encode()
        stack = b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(attribute)])
        stack += attribute.encode() + b"\x93"
        argument = text("touch /tmp/harmed")
        for way, body in {
            "alone": load,
            "called": load + argument + b"\x85R",
            "called by stack": stack + argument + b"\x85R",
            "made": load + b")\x81",
            "given state": load + b")\x81}" + argument + b"Nsb",
            "as a storage": b"("
            + text("storage")
            + load
            + text("0")
            + text("cpu")
            + number(1)
            + b"tQ",
            "dropped": load + argument + b"\x85R0N",
        }.items():
            pickled = b"\x80\x02" + body + b"."
            yield f"{name} {way}", archive(pickled)
            yield f"{name} {way}, legacy", legacy(pickled)


def sizes() -> Iterator[Case]:
    """Sizes that are not there."""
    huge = 2**62
    for title, pickled in {
        "text": b"\x80\x02X\xff\xff\xff\xff.",
        "text of 64 bits": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b".",
        "bytes": b"\x80\x03B\xff\xff\xff\x7f.",
        "bytes of 64 bits": b"\x80\x04\x8e" + struct.pack("<Q", 2**64 - 1) + b".",
        "integer": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "storage": tensor(count=huge, sizes=(huge,)),
        "storage that overflows": tensor(count=2**61, sizes=(1,)),
        "storage of less than nothing": tensor(count=-1),
        "storage past its data": tensor(count=9, sizes=(1,)),
        "storage of doubles past its data": tensor("DoubleStorage", count=8),
        "storage that is not there": tensor(key="7"),
        "storage with a path": tensor(key="../data.pkl"),
        "storage of no type": tensor("Size"),
        "storage of bytes": tensor("UntypedStorage"),
        "view of a storage": tensor(view=b"(" + text("v") + number(0) + number(1) + b"t"),
        "count of 72 bits": tensor(count=2**70),
        "shape": tensor(sizes=(9,)),
        "shape of less than nothing": tensor(sizes=(-1,)),
        "shape that overflows": tensor(sizes=(huge, 4), strides=(0, 0)),
        "shape that wraps": tensor(sizes=(2**32, 2**32), strides=(0, 0)),
        "shape without elements that overflows": tensor(sizes=(0, huge, huge), strides=(1, 1, 1)),
        "shape without strides": tensor(sizes=(2, 2), strides=(1,)),
        "stride": tensor(sizes=(2,), strides=(8,)),
        "stride that overflows": tensor(sizes=(3,), strides=(2**62,)),
        "stride of less than nothing": tensor(offset=7, sizes=(2,), strides=(-1,)),
        "offset": tensor(offset=1),
        "offset of less than nothing": tensor(offset=-1),
        "offset that wraps": tensor(offset=2**63 - 1, sizes=(2,)),
        "offset without elements": tensor(offset=9, sizes=(0,)),
    }.items():
        yield f"size: {title}", archive(pickled)
        yield (
            f"size: {title}, legacy",
            legacy(pickled, b"\x80\x02]" + text("0") + b"a.", struct.pack("<Q", 8) + bytes(32)),
        )
    twice = tensor()[:-1] + tensor(count=4, sizes=(4,))[2:-1] + b"\x86."
    yield "size: one storage with two sizes", archive(twice)
    yield (
        "size: of data",
        legacy(tensor(), b"\x80\x02]" + text("0") + b"a.", struct.pack("<Q", 2**62) + bytes(32)),
    )
    yield "size: of unknown data", legacy(tensor(), b"\x80\x02]" + text("9") + b"a.", bytes(40))
    yield "size: no data", legacy(tensor(), b"\x80\x02]" + text("0") + b"a.")


def containers() -> Iterator[Case]:
    """Calls and containers that do not fit."""
    ordered, rebuild = b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n"
    deep = b"N" + b"\x85" * 100_000
    double = b"N\x85q\x00" + b"h\x00h\x00\x86q\x00" * 60
    for title, body in {
        "tensor of nothing": rebuild + b")R",
        "tensor of texts": rebuild + b"(" + text("a") * 6 + b"tR",
        "parameter of a number": b"ctorch._utils\n_rebuild_parameter\nK\x01\x88}\x87R",
        "name as a value": rebuild,
        "name in a list": b"]" + rebuild + b"a",
        "type as a value": b"ctorch\nFloatStorage\n",
        "call of a list": b"])R",
        "call of a result": ordered + b")R)R",
        "call with a list": ordered + b"]R",
        "new object of a list": b"])\x81",
        "state of a list": b"]}b",
        "state of a number": b"K\x01}b",
        "append to a dict": b"}K\x01a",
        "append to a tuple": b")K\x01a",
        "items of a list": b"]K\x01K\x02s",
        "list as a key": b"}]K\x01s",
        "dict as a key": b"}}K\x01s",
        "tensor as a key": b"}" + tensor()[2:-1] + b"Ns",
        "deep tuple as a key": b"}" + deep + b"Ns",
        "doubled tuple as a key": b"}" + double + b"Ns",
        "doubled tuple in a set": b"\x8f(" + double + b"\x90",
        "doubled tuple in a frozen set": b"(" + double + b"\x91",
        "doubled tuple in an ordered dict": ordered + b"](" + double + b"N\x86e\x85R",
        "doubled tuple in a counter": b"ccollections\nCounter\n]" + double + b"a\x85R",
        "doubled tuple in a called set": b"cbuiltins\nset\n]" + double + b"a\x85R",
        "ordered dict of numbers": ordered + b"]K\x01a\x85R",
        "device of a number": b"ctorch\ndevice\nK\x01\x85R",
        "device that there is none of": b"ctorch\ndevice\n" + text("abc") + b"\x85R",
        "size of a list": b"ctorch\nSize\n]\x85R",
        "size of texts": b"ctorch\nSize\n" + text("a") + b"\x85\x85R",
        "bytes of numbers": b"c_codecs\nencode\nK\x01K\x02\x86R",
        "bytes of wide letters": b"c_codecs\nencode\n" + text("\u20ac") + text("latin1") + b"\x86R",
        "another encoding": b"c_codecs\nencode\n" + text("a") + text("bz2") + b"K\x01\x87R",
        "bytearray of a size": b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R",
        "complex of texts": b"cbuiltins\ncomplex\n" + text("1") + text("2") + b"\x86R",
        "persistent number": b"K\x01Q",
        "persistent text": text("0") + b"Q",
        "text that is no text": b"X\x02\x00\x00\x00\xc3\x28",
    }.items():
        yield f"container: {title}", archive(b"\x80\x02" + body + b".")


def archives() -> Iterator[Case]:
    """Zip files and legacy files that are damaged."""
    whole = archive(tensor())
    for part in range(1, 40):
        yield f"zip cut off at {part}/40", whole[: len(whole) * part // 40]
    old = legacy(tensor(), b"\x80\x02]" + text("0") + b"a.", struct.pack("<Q", 8) + bytes(32))
    for part in range(1, 40):
        yield f"legacy cut off at {part}/40", old[: len(old) * part // 40]
    for name in ("../../etc/passwd", "data/../../x", "x\\y"):
        yield f"zip with the name {name!r}", archive(tensor(), {"data/0": bytes(32), name: b"x"})
    yield "zip with an absolute name", whole.replace(b"archive/version", b"/rchive/version")
    yield "zip with a zero in a name", whole.replace(b"archive/version", b"archive/v\0rsion")
    yield (
        "zip with a name twice",
        whole.replace(b"archive/version", b"archive/data/0\0"[:15]).replace(
            b"archive/data/0\0", b"archive/data/00"
        )[:0]
        + _twice(),
    )
    yield "zip without a pickle", archive(tensor()).replace(b"data.pkl", b"dato.pkl")
    yield (
        "zip that is compressed",
        archive(tensor(), {"data/0": bytes(3200)}, compression=zipfile.ZIP_DEFLATED),
    )
    yield (
        "zip that is TorchScript",
        archive(tensor(), {"data/0": bytes(32), "constants.pkl": b"\x80\x02).", "code/a.py": b""}),
    )
    yield "zip of big-endian data", archive(tensor(), {"data/0": bytes(32), "byteorder": b"big"})
    directory = whole.index(b"PK\1\2")
    end = whole.index(b"PK\5\6")

    def changed(at: int, data: bytes) -> bytes:
        return whole[:at] + data + whole[at + len(data) :]

    for title, data in {
        "encrypted": changed(directory + 8, b"\x01\x00"),
        "with a huge entry": changed(directory + 20, b"\xfe\xff\xff\xff" * 2),
        "with an entry of zip64 sizes that are missing": changed(
            directory + 20, b"\xff\xff\xff\xff" * 2
        ),
        "with an entry elsewhere": changed(directory + 42, b"\xf0\xff\xff\x7f"),
        "with an entry in another": changed(directory + 42, b"\x01\x00\x00\x00"),
        "with a damaged directory": changed(directory, b"XX"),
        "with more entries than fit": changed(end + 8, b"\xff\xff\xff\xff"),
        "with a directory elsewhere": changed(end + 16, b"\xff\xff\xff\x7f"),
        "on several disks": changed(end + 4, b"\x01\x00"),
        "with a comment that is not there": changed(end + 20, b"\x05\x00"),
        "with a long name": changed(directory + 28, b"\xff\xff"),
        "with a long extra field": changed(directory + 30, b"\xff\xff"),
        "with overlapping entries": _overlapping(whole),
        "with a zip64 record elsewhere": whole[:end]
        + b"PK\6\7"
        + struct.pack("<IQI", 0, 2**63, 1)
        + whole[end:],
        "with a zip64 record that is none": whole[:end]
        + b"PK\6\7"
        + struct.pack("<IQI", 0, 0, 1)
        + whole[end:],
        "only": b"PK\3\4",
        "directory only": whole[end:],
    }.items():
        yield f"zip {title}", data
    yield "nothing", b""
    yield "zeros", bytes(1000)
    yield "text", b"import os; os.system('touch /tmp/harmed')\n" * 20
    yield "tar", bytes(257) + b"ustar\x0000" + bytes(1000)
    yield "another magic number", pickle.dumps(12345678901234567890, 2) + old[20:]
    yield "another version", legacy(tensor()).replace(pickle.dumps(1001, 2), pickle.dumps(1002, 2))
    yield "a plain pickle", pickle.dumps({"a": 1}, 2)
    yield "a pickle of protocol 0", pickle.dumps({"a": 1}, 0)


def _twice() -> bytes:
    whole = archive(tensor(), {"data/0": bytes(32), "data/1": bytes(32)})
    return whole.replace(b"archive/data/1", b"archive/data/0")


def _overlapping(whole: bytes) -> bytes:
    """The second entry's place is the first's."""
    second = whole.index(b"PK\1\2", whole.index(b"PK\1\2") + 1)
    return whole[: second + 42] + bytes(4) + whole[second + 46 :]


def cases() -> list[Case]:
    return [*instructions(), *names(), *sizes(), *containers(), *archives()]
