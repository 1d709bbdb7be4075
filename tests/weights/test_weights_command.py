"""`gpen2048 weights …` and fetching on first use, as a user meets them."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from gpen2048 import catalogue
from gpen2048.catalogue import CATALOGUE, entry_for, find_entry
from gpen2048.cli import main, weights, weights_checking, weights_fetching
from gpen2048.errors import InvalidOptionError
from gpen2048.network import NetworkConfig, parameter_shapes
from gpen2048.weight_files import converting
from gpen2048.weight_files.converting import read_metadata
from gpen2048.weight_files.first_seen import record_path
from gpen2048.weight_files.passthrough import passthrough_state_dict
from gpen2048.weight_files.state_dicts import read_state_dict
from gpen2048.weight_files.verification import fixed_picture

TINY = NetworkConfig(64, 1, 0.125)
Command = tuple[int, str, str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: object) -> Command:
        code = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.pth"
    torch.save(passthrough_state_dict(TINY), path)
    return path


@pytest.fixture
def known(tiny: Path, entry: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A catalogue of one small network, called GPEN-BFR-2048 so that `restore` wants it."""
    size = tiny.stat().st_size

    def catalogued(*sources: str, **more: Any) -> Any:
        values = {"bounds": (size, size + 100), "config": TINY, "name": "GPEN-BFR-2048", "file": "GPEN-BFR-2048.pth"}
        only = type(CATALOGUE[0])(**{**vars(entry(*sources)), **values, "kind": "network", **more})
        for module in (catalogue, weights, weights_checking):
            monkeypatch.setattr(module, "CATALOGUE", (only,))
        return only

    return catalogued


def test_the_catalogue_is_consistent() -> None:
    names = [stem.lower() for entry in CATALOGUE for stem in {entry.name, *entry.stems}]
    assert len(names) == len(set(names))
    for entry in CATALOGUE:
        assert entry.sources and all(source.startswith("https://") for source in entry.sources)
        assert entry.sha256 is None or len(bytes.fromhex(entry.sha256)) == 32
        assert (entry.kind == "network") == (entry.config is not None) and entry.bounds[0] <= entry.bounds[1]
    assert find_entry("PyTorch_Model-2048.pt") is entry_for("GPEN-BFR-2048.safetensors") is CATALOGUE[0]
    with pytest.raises(InvalidOptionError, match="no weight file is called 'GFPGAN'; wanted one of GPEN-BFR-2048"):
        entry_for("GFPGAN")


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.config], ids=lambda entry: entry.name)
def test_the_bounds_fit_the_numbers(entry: Any) -> None:
    numbers = sum(shape.numel() for shape in parameter_shapes(entry.config).values())
    assert entry.bounds[0] - 400_000 < 4 * numbers <= entry.bounds[0] and entry.bounds[1] < 4 * numbers + 500_000


def test_list_and_where_say_what_is_there(run: Any, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model-2048.pt").write_bytes(b"x")
    code, out, _ = run("weights", "list", "--weights", tmp_path)
    assert code == 0 and f"here: {tmp_path / 'pytorch_model-2048.pt'}" in out and "none published" in out
    assert all(entry.name in out and entry.sources[-1] in out for entry in CATALOGUE) and "Alibaba" in out
    code, out, _ = run("weights", "where", "--weights", tmp_path)
    assert code == 0 and str(tmp_path) in out and "facerestore_models" in out and "models/GPEN" in out


def test_a_folder_and_a_dangling_link_are_no_weights(run: Any, tmp_path: Path) -> None:
    (tmp_path / "GPEN-BFR-2048.pth").mkdir()
    (tmp_path / "GPEN-BFR-512.pth").symlink_to(tmp_path / "on another disk.pth")
    code, out, _ = run("weights", "list", "--weights", tmp_path)
    assert code == 0 and "here: " not in out
    code, out, err = run("weights", "where", "--weights", tmp_path)
    assert code == 0 and "GPEN-BFR-" not in out and not err
    (tmp_path / "GPEN-BFR-2048.pt").write_bytes(b"x")
    assert f"here: {tmp_path / 'GPEN-BFR-2048.pt'}" in run("weights", "list", "--weights", tmp_path)[1]


@pytest.mark.usefixtures("quick")
def test_fetch_shows_the_licence_first_and_records_the_hash(
    run: Any, known: Any, site: Any, behaviours: Any, tiny: Path, tmp_path: Path
) -> None:
    known("http://127.0.0.1:9/none", licence="Think of the licence.")
    site.put("/m/GPEN-BFR-2048.pth", behaviours.whole(tiny.read_bytes()))
    arguments = ("weights", "fetch", "gpen-bfr-2048", "--weights", tmp_path, "--mirror", f"{site.address}/m/")
    code, out, err = run(*arguments)
    path = tmp_path / "GPEN-BFR-2048.pth"
    assert code == 0 and err.startswith("Think of the licence.") and "whole and verified" in out
    recorded = (tmp_path / "GPEN-BFR-2048.pth.sha256").read_text()
    assert recorded == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  GPEN-BFR-2048.pth\n"
    code, _, err = run(*arguments)
    assert code == 0 and "licence" not in err and len(site.asked) == 1


@pytest.mark.usefixtures("quick")
def test_fetch_fails_with_1_and_unknown_names_too(run: Any, known: Any, tmp_path: Path) -> None:
    known("http://127.0.0.1:9/none")
    assert run("weights", "fetch", "nonsense", "--weights", tmp_path)[0] == 1
    code, _, err = run("weights", "fetch", "GPEN-BFR-2048", "--weights", tmp_path)
    assert code == 1 and "could not be fetched from any source" in err
    with pytest.raises(SystemExit, match="2"):
        run("weights", "fetch")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, impatient: Any) -> None:
    """The command waits as little between attempts as the tests do."""
    real = weights_fetching.fetch
    monkeypatch.setattr(weights_fetching, "fetch", lambda *args, **more: real(*args, **more, patience=impatient))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["flag", "environment"])
def test_restore_fetches_what_is_missing_when_the_user_agreed(
    how: str, run: Any, known: Any, site: Any, behaviours: Any, tiny: Path, tmp_path: Path,
    photo_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    known(site.put("/a", behaviours.whole(tiny.read_bytes())))
    faces = tmp_path / "faces.json"
    faces.write_text("[]")
    folder = tmp_path / "weights"
    arguments = ["restore", photo_path, "-o", tmp_path / "o.png", "--weights", folder, "--landmarks", faces]
    code, _, err = run(*arguments)
    assert code == 1 and f"no GPEN network in {folder}" in err and "weights fetch" in err and not site.asked
    if how == "environment":
        monkeypatch.setenv("GPEN2048_FETCH", "1")
    code, _, err = run(*arguments, *(["--fetch"] if how == "flag" else []))
    assert code == 0 and (folder / "GPEN-BFR-2048.pth").exists() and (tmp_path / "o.png").exists(), err


def test_check_tells_a_sound_file_and_notices_a_change(run: Any, tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(tiny.read_bytes())
    code, out, _ = run("weights", "check", path)
    assert code == 0 and "64 px" in out and "every number finite" in out and "recorded" in out
    assert "resembles the fixed picture (1.00" in out
    assert run("weights", "check", path)[:1] == (0,)
    torch.save(passthrough_state_dict(TINY, 1.0), path)
    code, out, _ = run("weights", "check", path)
    assert code == 3 and "CHANGED" in out and hashlib.sha256(tiny.read_bytes()).hexdigest() in out
    assert run("weights", "check", path, "--accept")[0] == 0
    assert "same      as when first seen" in run("weights", "check", path)[1]


def test_check_names_what_is_wrong(run: Any, tiny: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "GPEN-BFR-2048.pth"
    wrong.write_bytes(tiny.read_bytes())
    code, _, err = run("weights", "check", wrong, tmp_path / "none.pth")
    assert code == 1 and "this is the 64 network; wanted the 2048 network" in err and "none.pth: no such file" in err
    detector = tmp_path / "detection_Resnet50_Final.pth"
    torch.save({"a": torch.zeros(2)}, detector)
    code, _, err = run("weights", "check", detector)
    assert code == 1 and "wanted 6d1de9c2" in err


def test_check_warns_of_a_network_that_restores_nothing(run: Any, tmp_path: Path) -> None:
    state = passthrough_state_dict(TINY)
    generator = torch.Generator().manual_seed(1)
    for key, value in state.items():
        if not key.endswith(".kernel"):
            state[key] = torch.randn(value.shape, generator=generator)
    torch.save(state, tmp_path / "random.pth")
    code, out, _ = run("weights", "check", tmp_path / "random.pth")
    assert code == 0 and "WARNING" in out
    flat = {key: value if key.endswith(".kernel") else torch.zeros_like(value) for key, value in state.items()}
    torch.save(flat, tmp_path / "flat.pth")
    code, _, err = run("weights", "check", tmp_path / "flat.pth")
    assert code == 1 and "flat or not finite" in err


def test_check_reads_a_record_in_capitals(run: Any, tiny: Path, tmp_path: Path) -> None:
    """As PowerShell's Get-FileHash and many sites have it."""
    path, kept = tmp_path / "net.pth", tmp_path / "net.pth.sha256"
    path.write_bytes(tiny.read_bytes())
    kept.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest().upper()}  net.pth\n")
    before = kept.read_bytes()
    code, out, _ = run("weights", "check", path)
    assert code == 0 and "same      as when first seen" in out and kept.read_bytes() == before
    kept.write_text("A" * 64)
    assert run("weights", "check", path)[0] == 3 and kept.read_text() == "A" * 64


def test_what_is_no_record_is_replaced_only_when_told(run: Any, tiny: Path, tmp_path: Path) -> None:
    path, kept = tmp_path / "net.pth", tmp_path / "net.pth.sha256"
    path.write_bytes(tiny.read_bytes())
    kept.write_text("SHA256 (net.pth) = 0123")
    code, out, _ = run("weights", "check", path)
    assert code == 0 and f"nowhere: {kept} holds something else" in out
    assert kept.read_text() == "SHA256 (net.pth) = 0123"
    assert run("weights", "check", path, "--accept")[0] == 0
    assert kept.read_text().startswith(hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_check_records_a_file_whose_name_is_no_text(run: Any, tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"q\xff.pth")
    path.write_bytes(tiny.read_bytes())
    for told in ("recorded", "same      as when first seen"):
        code, out, _ = run("weights", "check", path)
        assert code == 0 and told in out
    assert record_path(path).read_bytes().endswith(b"  q\xff.pth\n")


def test_check_in_a_folder_that_takes_no_record(
    run: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("read-only")

    path = tmp_path / "net.pth"
    path.write_bytes(tiny.read_bytes())
    monkeypatch.setattr(Path, "write_bytes", refuse)
    code, out, _ = run("weights", "check", path)
    assert code == 0 and "nowhere: the folder cannot be written to" in out


@pytest.mark.parametrize("half", [False, True])
def test_convert_keeps_the_numbers_and_tells_where_they_come_from(
    run: Any, tiny: Path, tmp_path: Path, half: bool
) -> None:
    target = tmp_path / "net.safetensors"
    code, out, _ = run("weights", "convert", tiny, "-o", target, *(["--half"] if half else []))
    assert code == 0 and "the 64 network" in out and oct(target.stat().st_mode) == oct(tiny.stat().st_mode)
    read, source = read_state_dict(target), read_state_dict(tiny)
    wanted = {key: value.half() if half else value for key, value in source.items()}
    assert read.keys() == wanted.keys() and all(torch.equal(read[key], wanted[key]) for key in wanted)
    told = read_metadata(target)
    assert told["size"] == "64" and told["channel_multiplier"] == "1" and told["narrow"] == "0.125"
    assert told["source"] == "tiny.pth" and told["source_sha256"] == hashlib.sha256(tiny.read_bytes()).hexdigest()
    code, _, err = run("weights", "convert", tiny, "-o", target)
    assert code == 1 and "is there already" in err
    assert run("weights", "convert", tiny, "-o", target, "--overwrite")[0] == 0
    assert run("weights", "convert", tiny, "-o", tmp_path / "net.pth")[0] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.safetensors"]


def test_a_conversion_that_was_not_written_whole_is_refused(
    run: Any, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = converting.save_safetensors

    def lose_one(state: dict[str, torch.Tensor], *where: Any) -> None:
        save(dict(list(state.items())[:-1]), *where)

    monkeypatch.setattr(converting, "save_safetensors", lose_one)
    code, _, err = run("weights", "convert", tiny, "-o", tmp_path / "out" / "net.safetensors")
    assert code == 1 and "net.safetensors: this is the 64 network, but" in err
    assert not list(tmp_path.rglob("net.safetensors*"))


def test_convert_refuses_what_float16_cannot_hold(run: Any, tmp_path: Path) -> None:
    state = passthrough_state_dict(TINY)
    state["ecd0.0.1.bias"][0] = 1e6
    torch.save(state, tmp_path / "large.pth")
    code, _, err = run("weights", "convert", tmp_path / "large.pth", "-o", tmp_path / "o.safetensors", "--half")
    assert (
        code == 1 and "ecd0.0.1.bias holds a number beyond 65504" in err and not (tmp_path / "o.safetensors").exists()
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory as Linux has it")
def test_safetensors_are_mapped_not_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    def own_memory() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    path = tmp_path / "large.safetensors"
    save_file({"a": torch.ones(1 << 25)}, path)  # 128 MB
    read_state_dict(path)
    before = own_memory()
    state = read_state_dict(path)
    assert float(state["a"].sum()) == 1 << 25
    assert own_memory() - before < 16 << 20


def test_the_fixed_picture_stays_the_same() -> None:
    """A likeness told today must mean the same tomorrow."""
    picture = fixed_picture(64)
    assert picture.shape == (1, 3, 64, 64) and picture.abs().max() <= 1
    assert picture[0, :, 32, 32].tolist() == pytest.approx([0.7335, 0.4183, 0.2607], abs=1e-4)
    assert picture[0, :, 30, 25].tolist() == pytest.approx([-0.2113, -0.3547, -0.4264], abs=1e-4)
