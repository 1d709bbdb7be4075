"""Load GPEN: finding files, telling what is missing, noticing what was replaced."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpen2048.catalogue import SUFFIXES


def test_files_are_offered_the_right_way(host: Any, nodes: dict[str, Any], network_file: Path) -> None:
    for folder, names in {
        "facerestore_models": (
            "GFPGANv1.4.pth",
            "codeformer.pth",
            "GPEN-BFR-2048.pth",
            "GPEN-BFR-2048-D.pth",
            "notes.txt",
            "other.pth",
        ),
        "facedetection": ("detection_Resnet50_Final.pth", "parsing_parsenet.pth", "yolov5l-face.pth"),
    }.items():
        for name in names:
            (host.models / folder / name).touch()
    network, detector, _ = nodes["GPENLoader"].define_schema().inputs
    assert network.more["options"] == ["GPEN-BFR-2048.pth", "GPEN-BFR-64.pth", "other.pth"]
    assert detector.more["options"] == ["detection_Resnet50_Final.pth", "none"]


def test_onnx_files_are_networks_by_their_name_and_come_last(host: Any, nodes: dict[str, Any]) -> None:
    for name in ("GPEN-BFR-2048.onnx", "GPEN-BFR-512.onnx", "GPEN-BFR-512.pth", "inswapper_128.onnx"):
        (host.models / "facerestore_models" / name).touch()
    (host.models / "facerestore_models" / "retinaface_r50.onnx").touch()
    network, detector, _ = nodes["GPENLoader"].define_schema().inputs
    assert network.more["options"] == ["GPEN-BFR-2048.onnx", "GPEN-BFR-512.pth", "GPEN-BFR-512.onnx"]
    assert detector.more["options"] == ["none"]
    assert nodes["GPENLoader"].validate_inputs("GPEN-BFR-2048.onnx", "none") is True


def test_every_kind_of_file_that_the_runtime_reads_is_offered(host: Any, nodes: dict[str, Any]) -> None:
    host.paths["facerestore_models"] = ([], {".ckpt"})  # what another pack left
    names = {f"GPEN-BFR-512{suffix}" for suffix in SUFFIXES}
    for name in names:
        (host.models / "facerestore_models" / name).touch()
    assert set(nodes["GPENLoader"].define_schema().inputs[0].more["options"]) == names


def test_folders_survive_other_packs_and_the_users_own(host: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    own = tmp_path / "elsewhere"
    own.mkdir()
    (own / "GPEN-mine.safetensors").touch()
    host.paths["facerestore_models"] = ([str(own)], {".ckpt"})  # what another pack, or extra_model_paths.yaml, left
    assert nodes["GPENLoader"].define_schema().inputs[0].more["options"] == ["GPEN-mine.safetensors"]
    paths, suffixes = host.paths["facerestore_models"]
    assert paths == [str(own), str(host.models / "facerestore_models")] and ".ckpt" in suffixes


def test_detectors_are_found_under_the_folders_name_too(host: Any, nodes: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "retinaface-mine.pth").touch()
    host.paths["facedetection"] = ([str(tmp_path)], set())  # extra_model_paths.yaml: "facedetection: …"
    assert nodes["GPENLoader"].define_schema().inputs[1].more["options"] == ["retinaface-mine.pth", "none"]


def test_an_empty_set_of_suffixes_stays_empty(host: Any, nodes: dict[str, Any]) -> None:
    host.paths["facerestore_models"] = ([], set())  # every file is listed for other packs
    nodes["GPENLoader"].define_schema()
    assert host.paths["facerestore_models"][1] == set()


def test_what_is_missing_is_named_with_source_and_folder(host: Any, nodes: dict[str, Any], network_file: Path) -> None:
    loader = nodes["GPENLoader"]
    told = loader.validate_inputs("GPEN-BFR-2048.pth", "none")
    assert "modelscope.cn" in told and str(host.models / "facerestore_models") in told
    told = loader.validate_inputs(network_file.name, "detection_Resnet50_Final.pth")
    assert "facexlib/releases" in told and str(host.models / "facedetection") in told
    assert "detection_Resnet50_Final.pth" in told
    assert "GPEN-BFR-512.pth from https://" in loader.validate_inputs("GPEN-BFR-512.pth", "none")
    assert loader.validate_inputs(network_file.name, "none") is True
    assert loader.validate_inputs("no.pth", "none").startswith("model_name: There is no GPEN network 'no.pth'")
    assert loader.validate_inputs(network_file.name, "no.pth").startswith("detector: There is no face detector")
    other = loader.validate_inputs("detection_Resnet50_Final.pth", "none")
    assert "Fetch GPEN-BFR-2048.pth" in other  # no detector goes into the networks' folder
    with pytest.raises(Exception, match="modelscope"):
        loader.execute("GPEN-BFR-2048.pth", "none")


def test_a_wrong_file_is_named(host: Any, nodes: dict[str, Any]) -> None:
    path = host.models / "facerestore_models" / "GPEN-wrong.pth"
    torch.save({"conv.weight": torch.zeros(2)}, path)
    with pytest.raises(Exception, match=r"GPEN-wrong\.pth"):
        nodes["GPENLoader"].execute(path.name, "none")


def test_a_replaced_file_changes_the_fingerprint(nodes: dict[str, Any], network_file: Path) -> None:
    fingerprint = nodes["GPENLoader"].fingerprint_inputs
    before = fingerprint(network_file.name, "none")
    assert isinstance(before, str) and before == fingerprint(network_file.name, "none", "fp16")
    network_file.write_bytes(network_file.read_bytes() + b" ")
    assert fingerprint(network_file.name, "none") != before


def test_a_replaced_file_changes_the_fingerprint_where_its_name_comes_over_a_wire(
    host: Any, nodes: dict[str, Any], network_file: Path
) -> None:
    fingerprint = nodes["GPENLoader"].fingerprint_inputs
    before = fingerprint(None, "none")
    network_file.write_bytes(network_file.read_bytes() + b" ")
    after = fingerprint(None, "none")
    detector = host.models / "facedetection" / "detection_mobilenet0.25_Final.pth"
    detector.write_bytes(b"one")
    assert after != before and fingerprint(None, "none") == after
    first = fingerprint(network_file.name, None)
    detector.write_bytes(b"another")
    assert fingerprint(network_file.name, None) != first


def test_the_parser_belongs_to_the_fingerprint(host: Any, nodes: dict[str, Any], network_file: Path) -> None:
    """It is read on first use and kept with the model that Load GPEN made."""
    before = nodes["GPENLoader"].fingerprint_inputs(network_file.name, "none")
    parser = host.models / "facedetection" / "parsing_parsenet.pth"
    parser.write_bytes(b"one")
    first = nodes["GPENLoader"].fingerprint_inputs(network_file.name, "none")
    parser.write_bytes(b"another")
    assert len({before, first, nodes["GPENLoader"].fingerprint_inputs(network_file.name, "none")}) == 3


def test_precision_follows_the_host_or_the_user(pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = pack("comfyui_gpen.model")
    cpu = torch.device("cpu")
    assert model.choose_dtype("auto", cpu) == torch.float32
    monkeypatch.setattr(model.mm, "should_use_bf16", lambda device: True)
    assert model.choose_dtype("auto", cpu) == torch.bfloat16
    monkeypatch.setattr(model.mm, "should_use_fp16", lambda device: True)
    assert model.choose_dtype("auto", cpu) == torch.float16
    assert model.choose_dtype("fp32", cpu) == torch.float32
    with pytest.raises(ValueError, match="precision is 'fp7'"):
        model.choose_dtype("fp7", cpu)


def test_scales_of_half_precision_are_chosen_on_the_cpu_where_the_device_is_full(
    pack: Any, network_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = pack("comfyui_gpen.model")
    read, devices = module.read_network, []

    def scarce(path: Path, **how: Any) -> Any:
        devices.append(how.get("device"))
        if how.get("device") is not None:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return read(path, **how)

    device = torch.device("cuda")
    monkeypatch.setattr(module, "read_network", scarce)
    monkeypatch.setattr(module.mm, "get_torch_device", lambda: device)
    monkeypatch.setattr(module.mm, "should_use_fp16", lambda device: True)
    network = module._read_network(network_file, "auto")
    assert devices == [device, None] and next(network.parameters()).dtype == torch.float16


def test_the_host_sees_every_model(model: Any) -> None:
    assert model.patcher.model is model.network  # its cache looks for this name
    assert model.get_models() == []
    model.others["detector"] = "a patcher"
    assert model.get_models() == ["a patcher"]


def test_a_missing_parser_is_named_when_it_is_wanted(host: Any, nodes: dict[str, Any], model: Any) -> None:
    with pytest.raises(Exception, match=r"parsing_parsenet\.pth.*facedetection.*run again") as told:
        nodes["GPENRestoreFaces"].execute(torch.zeros(1, 8, 8, 3), model, bboxes=[[]], mask_kind="parse")
    assert not host.loads and "Load GPEN" not in str(told.value)  # which offers no parser to choose


@pytest.mark.parametrize("node", ["GPENRestoreFaces", "GPENDetectFaces"])
def test_no_detector_is_named_when_one_is_needed(host: Any, nodes: dict[str, Any], model: Any, node: str) -> None:
    with pytest.raises(Exception, match=r"detection_Resnet50_Final\.pth from https.*choose it in Load GPEN"):
        nodes[node].execute(torch.zeros(1, 8, 8, 3), model)
    (host.models / "facedetection" / "detection_Resnet50_Final.pth").touch()
    with pytest.raises(Exception, match=r"'none'.* Choose a detector in Load GPEN") as told:
        nodes[node].execute(torch.zeros(1, 8, 8, 3), model)
    assert "https" not in str(told.value)


def test_what_a_prompt_made_by_hand_gets_wrong_is_named(nodes: dict[str, Any]) -> None:
    loader = nodes["GPENLoader"]
    assert loader.validate_inputs() is True  # ComfyUI names what is missing
    assert loader.validate_inputs({"a": 1}, "none") == "model_name is {'a': 1}; wanted a file's name"
    assert loader.validate_inputs(None, 7) == "detector is 7; wanted a file's name"
    with pytest.raises(Exception, match="model_name is None; wanted a file's name"):
        loader.execute(None, "none")
    assert "GPEN-BFR-512.pth from https://" in loader.validate_inputs(np.str_("GPEN-BFR-512.pth"), "none")


def test_names_that_come_over_a_wire_are_looked_for_when_the_node_runs(nodes: dict[str, Any]) -> None:
    loader = nodes["GPENLoader"]
    assert loader.validate_inputs(None, None) is True
    assert "GPEN-BFR-512.pth from https://" in loader.validate_inputs("GPEN-BFR-512.pth", None)
    assert isinstance(loader.fingerprint_inputs(None, None, None), str)
