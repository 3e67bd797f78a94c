"""torch.load and torch.save: PyTorch's files, ours, and those that must be refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def run(code: str, *arguments: object) -> str:
    """Runs a program in which torch is Flambeau; what it prints."""
    program = f"import sys; sys.path.insert(0, {str(FOLDER)!r})\nimport torch\n{code}"
    command = [sys.executable, "-m", "flambeau", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["zip", "protocol4", "legacy"])
def test_what_pytorch_wrote(name: str) -> None:
    run(
        "import checkpoints, io, pathlib\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "wanted = checkpoints.make()\n"
        "for source in (path, str(path), io.BytesIO(path.read_bytes())):\n"
        "    for options in ({}, {'weights_only': True}, {'weights_only': False}, {'map_location': 'cpu'}):\n"
        "        found = torch.load(source, **options)\n"
        "        checkpoints.assert_equal(found, wanted)\n"
        "        if hasattr(source, 'seek'): source.seek(0)\n"
        "checkpoints.assert_equal(torch.load(path, mmap=True), wanted)\n"
        "views = found['views']\n"
        "views[0][1, 2] = 100\n"
        "assert views[1][2] == 100 and views[2][2, 1] == 100 and views[3][1, 1] == 100\n"
        "assert found['parameter'].data_ptr() == found['model']['0.weight'].data_ptr()\n"
        "checkpoints.assert_equal(torch.load(path), wanted)\n"  # The file is as it was.
        "model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))\n"
        "model.load_state_dict(found['model'])\n"
        "torch.optim.AdamW(model.parameters()).load_state_dict(found['optimizer'])\n",
        FOLDER / "checkpoints" / f"{name}.pt",
    )


def test_what_we_write(tmp_path: Path) -> None:
    run(
        "import checkpoints, io, pathlib, zipfile\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "torch.save(checkpoints.make(), folder / 'x.pt')\n"
        "checkpoints.assert_equal(torch.load(folder / 'x.pt', mmap=True), checkpoints.make())\n"
        "with zipfile.ZipFile(folder / 'x.pt') as archive:\n"
        "    assert archive.testzip() is None\n"
        "    names = archive.namelist()\n"
        "    assert names[:2] == ['x/data.pkl', 'x/byteorder'] and archive.read('x/version') == b'3\\n'\n"
        # Storages are there once, and begin at multiples of 64.
        "    theirs = zipfile.ZipFile(sys.argv[2]).namelist()\n"
        "    count = len([name for name in theirs if '/data/' in name])\n"
        "    assert len([name for name in names if '/data/' in name]) == count\n"
        "    for entry in archive.infolist():\n"
        "        if '/data/' in entry.filename:\n"
        "            start = entry.header_offset + 30\n"
        "            header = (folder / 'x.pt').read_bytes()[entry.header_offset : start]\n"
        "            assert (start + int.from_bytes(header[26:28], 'little') + int.from_bytes(header[28:30], 'little')) % 64 == 0\n"
        "stream = io.BytesIO()\n"
        "torch.save(checkpoints.make(), stream)\n"
        "assert zipfile.ZipFile(stream).namelist()[0] == 'archive/data.pkl'\n"
        "stream.seek(0)\n"
        "checkpoints.assert_equal(torch.load(stream), checkpoints.make())\n"
        "assert [path.name for path in folder.iterdir()] == ['x.pt']\n",
        tmp_path,
        FOLDER / "checkpoints" / "zip.pt",
    )


def test_the_names_in_a_file_are_pytorchs(tmp_path: Path) -> None:
    """Also where the package is not called torch."""
    code = (
        "import sys, flambeau, pickletools, zipfile\n"
        "flambeau.save([flambeau.ones(1), flambeau.nn.Parameter(flambeau.ones(1)), flambeau.float16], sys.argv[1])\n"
        "text = zipfile.ZipFile(sys.argv[1]).read('x/data.pkl')\n"
        "print(*sorted({str(arg) for op, arg, _ in pickletools.genops(text) if op.name == 'GLOBAL'}), sep='|')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.pt")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().split("|") == [
        "collections OrderedDict",
        "torch FloatStorage",
        "torch float16",
        "torch._utils _rebuild_parameter",
        "torch._utils _rebuild_tensor_v2",
    ]


def test_classes_that_the_user_trusts(tmp_path: Path) -> None:
    text = run(
        "import pickle\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Config:\n"
        "    width: int\n"
        "    table: torch.Tensor\n"
        "path = sys.argv[1]\n"
        "torch.save({'config': Config(3, torch.ones(2)), 'layer': torch.nn.ReLU()}, path)\n"
        "for options in ({}, {'weights_only': False}):\n"
        "    try: torch.load(path, **options)\n"
        "    except pickle.UnpicklingError as error: print(error)\n"
        "names = torch.serialization.get_unsafe_globals_in_checkpoint(path)\n"
        "assert names == ['__main__.Config', 'torch.nn.modules.activation.ReLU'], names\n"
        "with torch.serialization.safe_globals([Config, torch.nn.ReLU]):\n"
        "    found = torch.load(path)\n"
        "assert found['config'].width == 3 and found['config'].table.tolist() == [1, 1]\n"
        "assert found['layer'](torch.tensor(-1.0)) == 0\n"
        "assert torch.serialization.get_safe_globals() == []\n"
        "torch.serialization.add_safe_globals([(Config, '__main__.Config'), torch.nn.ReLU])\n"
        "assert torch.load(path)['config'].width == 3\n"
        "torch.serialization.clear_safe_globals()\n",
        tmp_path / "x.pt",
    )
    first, second = text.splitlines()
    assert first == second
    assert (
        "it uses types that are not part of a checkpoint: __main__.Config, torch.nn.modules.activation.ReLU. "
        "Nothing of them was run. If you trust the file, allow them by name: torch.serialization."
        "add_safe_globals([__main__.Config, torch.nn.modules.activation.ReLU])"
    ) in first


def test_what_cannot_be_loaded_or_saved(tmp_path: Path) -> None:
    run(
        "import io, pickle, pytest\n"
        "folder = sys.argv[1]\n"
        "with pytest.raises(FileNotFoundError): torch.load(folder + '/no.pt')\n"
        "with pytest.raises(IsADirectoryError): torch.load(folder)\n"
        "with pytest.raises(ValueError, match='must be a file path'): torch.load(io.BytesIO(), mmap=True)\n"
        "with pytest.raises(RuntimeError, match='Parent directory'): torch.save({}, folder + '/no/x.pt')\n"
        "with pytest.raises(AttributeError, match='path or a file object'): torch.load(3)\n"
        "with pytest.raises(pickle.PicklingError, match='not found as __main__'): torch.save(lambda: 1, folder + '/x')\n"
        "base = torch.zeros(4)\n"
        "with pytest.raises(RuntimeError, match='different types'): torch.save([base, base.view(torch.int32)], folder + '/x')\n"
        "import os; assert os.listdir(folder) == []\n"
        "import hostile\n"
        "cuda = io.BytesIO(hostile.archive(hostile.tensor(device='cuda:0')))\n"
        "with pytest.raises(RuntimeError, match='not available'): torch.load(cuda)\n"
        "for place in ('cpu', torch.device('cpu'), {'cuda:0': 'cpu'}, lambda storage, location: storage):\n"
        "    cuda.seek(0)\n"
        "    assert torch.load(cuda, map_location=place).tolist() == [0] * 8\n",
        tmp_path,
    )


def test_hostile_files_are_refused() -> None:
    """None runs code, crashes, or takes memory that its size does not explain."""
    harmed = Path("/tmp/harmed")
    assert not harmed.exists()
    count = run(
        "import hostile, io, pickle, resource\n"
        "cases = hostile.cases()\n"
        "assert len({name for name, _ in cases}) == len(cases)\n"
        "torch.load(io.BytesIO(hostile.archive(hostile.tensor())))\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 64 * 2**20,) * 2)\n"
        "for name, data in cases:\n"
        "    try: found = torch.load(io.BytesIO(data))\n"
        "    except pickle.UnpicklingError as error: assert len(str(error)) > 20, name\n"
        "    else: raise AssertionError(name)\n"
        "print(len(cases))\n"
    )
    assert int(count) >= 200
    assert not harmed.exists()


def test_deep_values_are_read() -> None:
    run(
        "import hostile, io\n"
        "value = torch.load(io.BytesIO(hostile.archive(b'\\x80\\x02N' + b'\\x85' * 100_000 + b'.')))\n"
        "depth = 0\n"
        "while value is not None: value, depth = value[0], depth + 1\n"
        "assert depth == 100_000\n"
    )


def test_files_with_more_entries_and_bytes_than_the_first_zip_had() -> None:
    """70,000 entries need the zip64 records."""
    run(
        "import io, zipfile\n"
        "stream = io.BytesIO()\n"
        "torch.save([torch.full((1,), float(i)) for i in range(70_000)], stream)\n"
        "stream.seek(0)\n"
        "found = torch.load(stream)\n"
        "assert len(found) == 70_000 and found[65_540].item() == 65_540\n"
        "assert len(zipfile.ZipFile(stream).namelist()) == 70_003\n"
    )


if os.environ.get("FLAMBEAU_LARGE_TESTS"):

    def test_entries_of_more_than_4_gib(tmp_path: Path) -> None:
        run(
            "torch.save({'a': torch.ones(2**32 + 8, dtype=torch.uint8), 'b': torch.ones(3)}, sys.argv[1])\n"
            "found = torch.load(sys.argv[1])\n"
            "assert found['a'].numel() == 2**32 + 8 and found['a'][-1] == 1 and found['b'].sum() == 3\n",
            tmp_path / "x.pt",
        )


def test_the_safetensors_library_reads_into_our_tensors(tmp_path: Path) -> None:
    run(
        "import checkpoints, safetensors, safetensors.torch\n"
        "tensors = {name: value for name, value in checkpoints.make()['dtypes'].items() if name != 'complex128'}\n"
        "tensors |= {'matrix': torch.arange(6.0).view(2, 3), 'empty': torch.empty(0, 3), 'scalar': torch.tensor(2.5)}\n"
        "safetensors.torch.save_file(tensors, sys.argv[1])\n"
        "found = safetensors.torch.load_file(sys.argv[1])\n"
        "assert found.keys() == tensors.keys()\n"
        "for name in tensors: checkpoints.assert_equal(found[name], tensors[name], name)\n"
        "found['matrix'][0, 0] = 7\n"
        "assert safetensors.torch.load_file(sys.argv[1])['matrix'][0, 0] == 0\n"
        "with safetensors.safe_open(sys.argv[1], 'pt') as file:\n"
        "    assert file.get_slice('matrix')[:, 1].tolist() == [1, 4]\n",
        tmp_path / "x.safetensors",
    )


def test_subclasses_of_tensor(tmp_path: Path) -> None:
    text = run(
        "import pickle\n"
        "class Tagged(torch.Tensor): pass\n"
        "given = torch.arange(6.0).view(2, 3).T.as_subclass(Tagged)\n"
        "given.tag = 'x'\n"
        "path = sys.argv[1]\n"
        "torch.save({'t': given, 'plain': given.as_subclass(torch.Tensor)}, path)\n"
        "try: torch.load(path)\n"
        "except pickle.UnpicklingError as error: print(error)\n"
        "with torch.serialization.safe_globals([Tagged]):\n"
        "    found = torch.load(path)\n"
        "assert type(found['t']) is Tagged and found['t'].tag == 'x', found\n"
        "assert type(found['plain']) is torch.Tensor\n"
        "assert torch.equal(found['plain'], given.as_subclass(torch.Tensor))\n"
        "found['t'][0, 0] = 7\n"
        "assert found['plain'][0, 0] == 7\n"
        "class NoTensor: pass\n"
        "Tagged.__qualname__ = Tagged.__name__ = 'NoTensor'\n"
        "NoTensor, kept = Tagged, NoTensor\n"
        "torch.save(given, path)\n"
        "NoTensor = kept\n"
        "with torch.serialization.safe_globals([NoTensor]):\n"
        "    try: torch.load(path)\n"
        "    except pickle.UnpicklingError as error: print(error)\n",
        tmp_path / "x.pt",
    )
    first, second = text.splitlines()
    assert "__main__.Tagged" in first
    assert "layout differs from 'Tensor'" in second
