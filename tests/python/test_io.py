"""flambeau.io: safetensors files and checkpoints."""

from __future__ import annotations

import math
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import flambeau
import numpy as np
import pytest
import safetensors.numpy
from flambeau.io import load_checkpoint, load_file, load_metadata, save_checkpoint, save_file

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def test_the_formats_own_library_reads_what_we_write(tmp_path: Path) -> None:
    arrays = {name: np.arange(12).reshape(3, 4).astype(name) for name in DTYPES}
    arrays["empty"] = np.zeros((0, 3), np.float32)
    arrays["scalar"] = np.array(2.5)
    tensors = {name: flambeau.from_numpy(array) for name, array in arrays.items()}
    save_file(tensors, tmp_path / "x", {"author": "nobody"})
    for name, array in safetensors.numpy.load_file(tmp_path / "x").items():
        np.testing.assert_array_equal(array, arrays[name])
        assert array.dtype == arrays[name].dtype
    assert load_metadata(tmp_path / "x") == {"author": "nobody"}


def test_we_read_what_the_formats_own_library_writes(tmp_path: Path) -> None:
    arrays = {name: np.arange(12).reshape(3, 4).astype(name) for name in DTYPES}
    safetensors.numpy.save_file(arrays, tmp_path / "x", {"k": "v"})
    loaded = load_file(tmp_path / "x")
    assert sorted(loaded) == sorted(arrays)
    for name, tensor in loaded.items():
        np.testing.assert_array_equal(tensor.numpy(), arrays[name])


def test_read_only_tensors_refuse_writes(tmp_path: Path) -> None:
    save_file({"t": flambeau.tensor([1.0, 2.0])}, tmp_path / "x")
    with pytest.raises(RuntimeError, match="read-only"):
        load_file(tmp_path / "x", read_only=True)["t"].add_(1)
    load_file(tmp_path / "x")["t"].add_(1)
    assert load_file(tmp_path / "x")["t"].tolist() == [1, 2]


def test_a_loaded_file_may_be_replaced(tmp_path: Path) -> None:
    save_file({"t": flambeau.tensor([1.0, 2.0])}, tmp_path / "x")
    old = load_file(tmp_path / "x")["t"]
    save_file({"t": old + 1}, tmp_path / "x")
    assert old.tolist() == [1, 2]
    assert load_file(tmp_path / "x")["t"].tolist() == [2, 3]


def test_errors_of_the_environment_are_pythons(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_file(tmp_path / "missing")
    with pytest.raises(OSError, match="what was there is unchanged"):
        save_file({}, tmp_path / "no" / "x")
    with pytest.raises(TypeError, match="str: int"):
        save_file({"a": 1}, tmp_path / "x")  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, signal, sys, flambeau
from flambeau.io import save_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10000, 10000))
try:
    save_file({"t": flambeau.zeros(100000)}, sys.argv[1])
except OSError as error:
    print(error)
"""


def test_no_room_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files fails writes as a full disk does."""
    path = tmp_path / "x"
    save_file({"t": flambeau.tensor([1.0])}, path)
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path], capture_output=True, text=True, check=True
    )
    assert "cannot write" in run.stdout
    assert "File too large; what was there is unchanged" in run.stdout
    assert load_file(path)["t"].tolist() == [1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_checkpoint_holds_nested_data(tmp_path: Path) -> None:
    state = {
        "step": 3,
        "lr": 0.1 + 0.2,
        "extremes": [math.inf, -math.inf, 5e-324, 2**70, True, None],
        "betas": (0.9, 0.999),
        "state": {0: {"m": flambeau.tensor([1.0])}, 1: {"m": flambeau.tensor([2])}},
        "a": {"b": flambeau.tensor([3])},
        "a.b": flambeau.tensor([4]),
        "$odd": {"$tensor": "text"},
    }
    save_checkpoint(state, tmp_path / "c")
    loaded = load_checkpoint(tmp_path / "c")
    assert repr(loaded) == repr(state)
    save_checkpoint({"nan": math.nan}, tmp_path / "c")
    assert math.isnan(load_checkpoint(tmp_path / "c")["nan"])


def test_checkpoint_refuses_what_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"'a\.1' is a object"):
        save_checkpoint({"a": [1, object()]}, tmp_path / "c")
    save_file({}, tmp_path / "x")
    with pytest.raises(ValueError, match="is no checkpoint: its format is None"):
        load_checkpoint(tmp_path / "x")
    metadata = {"format": "flambeau.checkpoint.1", "state": '{"a": {"$tensor": "gone"}}'}
    save_file({}, tmp_path / "x", metadata)
    with pytest.raises(ValueError, match="is damaged: KeyError"):
        load_checkpoint(tmp_path / "x")


def test_damaged_checkpoints_never_crash(tmp_path: Path) -> None:
    state = {"model": {"w": flambeau.ones(3, 3)}, "losses": [1.0, 2.0], "step": 2}
    save_checkpoint(state, tmp_path / "c")
    good = (tmp_path / "c").read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(500):
        bad = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            bad[chance.randrange(len(bad))] = chance.randrange(256)
        (tmp_path / "c").write_bytes(
            bad[: chance.randrange(len(bad))] if chance.random() < 0.3 else bad
        )
        try:
            load_checkpoint(tmp_path / "c")
        except ValueError:
            refused += 1
    assert refused > 250


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    code = (
        "import sys, flambeau\nfrom flambeau.io import save_file\n"
        "t = flambeau.ones(100000)\nprint('ready', flush=True)\n"
        "while True: save_file({'t': t}, sys.argv[1])"
    )
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", code, path], stdout=subprocess.PIPE, env=os.environ
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            while not path.exists():
                pass
            writer.kill()
        assert load_file(path)["t"].sum().item() == 100000
    # What a killed writer left has one name; the next writer uses it up.
    save_file({}, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]


def test_no_file_stays_open(tmp_path: Path) -> None:
    save_file({"t": flambeau.ones(3)}, tmp_path / "x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        load_file(tmp_path / "x")
        save_file({"t": flambeau.ones(3)}, tmp_path / "x")
    assert len(os.listdir("/proc/self/fd")) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > before


def test_a_file_as_a_storage(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(range(16)))
    storage = flambeau.UntypedStorage.from_file(str(path), False, 12)
    assert storage.nbytes() == 12
    assert storage[-1] == 11
    part = storage[4:8]
    assert part.nbytes() == 4
    assert part.data_ptr() == storage.data_ptr() + 4
    elements = flambeau.asarray(part, dtype=flambeau.uint8)
    assert elements.tolist() == [4, 5, 6, 7]
    elements[0] = 99
    assert storage[4] == 99
    del storage, part
    assert elements.tolist() == [99, 5, 6, 7]
    assert path.read_bytes() == bytes(range(16))
    storage = flambeau.UntypedStorage.from_file(path)
    assert (storage.nbytes(), storage[20:].nbytes(), storage.untyped()) == (16, 0, storage)
    with pytest.raises(IndexError, match="index 16 is out of range for 16 bytes"):
        storage[16]
    with pytest.raises(RuntimeError, match="step of a slice must be 1, got 2"):
        storage[::2]
    with pytest.raises(RuntimeError, match="the file has 16 bytes, fewer than 17"):
        flambeau.UntypedStorage.from_file(path, nbytes=17)
    with pytest.raises(NotImplementedError, match="shared=True"):
        flambeau.UntypedStorage.from_file(path, shared=True)
    with pytest.raises(OSError, match="no.such"):
        flambeau.UntypedStorage.from_file(tmp_path / "no.such")
