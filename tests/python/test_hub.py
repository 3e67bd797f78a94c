"""torch.hub: models of local folders, checkpoints from URLs that are kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

import flambeau as torch
import pytest
from flambeau import hub

pytestmark = pytest.mark.supports


def test_models_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "part_of_it.py").write_text("WIDTH = 3\n")
    (tmp_path / "hubconf.py").write_text(
        "dependencies = ['json']\nimport part_of_it\n"
        "def width(times=1):\n    'The width.'\n    return part_of_it.WIDTH * times\n"
        "def _hidden(): ...\n"
    )
    assert hub.list(tmp_path, source="local") == ["width"]
    assert hub.help(tmp_path, "width", source="local") == "The width."
    assert hub.load(tmp_path, "width", 2, source="local") == 6
    assert hub.load(str(tmp_path), "width", source="local", times=4) == 12
    with pytest.raises(RuntimeError, match="Cannot find callable other in hubconf"):
        hub.load(tmp_path, "other", source="local")
    with pytest.raises(ValueError, match='Unknown source: "web"'):
        hub.load(tmp_path, "width", source="web")
    with pytest.raises(NotImplementedError, match="source='github'"):
        hub.load("owner/name", "width")
    (tmp_path / "hubconf.py").write_text("dependencies = ['no_such_module_here']\n")
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_module_here"):
        hub.list(tmp_path, source="local")


def test_checkpoints_are_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    assert hub.get_dir() == str(tmp_path / "home" / "hub")
    source = tmp_path / "weights.pth"
    torch.save({"w": torch.arange(3)}, source)
    prefix = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    named = source.rename(tmp_path / f"weights-{prefix}.pth")
    for _ in range(2):
        found = hub.load_state_dict_from_url(named.as_uri(), check_hash=True)
        assert found["w"].tolist() == [0, 1, 2]
    assert capsys.readouterr().err.count("Downloading") == 1
    kept = tmp_path / "home" / "hub" / "checkpoints" / named.name
    assert kept.read_bytes() == named.read_bytes()
    with pytest.raises(RuntimeError, match='invalid hash value .expected "00000000"'):
        hub.download_url_to_file(named.as_uri(), str(tmp_path / "other.pth"), "00000000")
    assert not (tmp_path / "other.pth").exists()
    before = hub._hub_dir
    hub.set_dir(tmp_path / "set")
    assert hub.get_dir() == str(tmp_path / "set")
    monkeypatch.setattr(hub, "_hub_dir", before)
