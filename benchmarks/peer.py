"""facexlib's FaceRestoreHelper, as GFPGAN, CodeFormer and ReActor use it, with its stages timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from gpen2048.cli.stages import Seconds, now
from gpen2048.detectors.retinaface import KINDS, network_kind
from gpen2048.faces import Face
from gpen2048.weight_files.state_dicts import read_state_dict
from numpy.typing import NDArray
from torch import Tensor

STAGES = ("detection", "detection at 640 px", "crops", "paste")
CPU = torch.device("cpu")
HELPER = "facexlib.utils.face_restoration_helper"


def bgr(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) RGB in [0, 1] as OpenCV has it."""
    return np.ascontiguousarray((image * 255).round().byte().permute(1, 2, 0).numpy()[:, :, ::-1])


class Facexlib:
    """Finds faces with the RetinaFace in `detector`, cuts crops of `size` px and lays them back as they are."""

    def __init__(self, detector: Path, size: int):
        network = _retinaface(detector)
        with patch(f"{HELPER}.init_detection_model", lambda *_, **__: network), patch(f"{HELPER}.init_parsing_model"):
            from facexlib.utils.face_restoration_helper import FaceRestoreHelper

            self._helper: Any = FaceRestoreHelper(1, face_size=size, device=CPU)

    def restore(self, pixels: NDArray[np.uint8], faces: list[Face]) -> tuple[dict[str, Seconds], int, int]:
        """Seconds of STAGES, and how many faces were found at full size and at 640 px; lays back the `faces` given."""
        helper, seconds, found = self._helper, {}, []
        for stage, resize in zip(STAGES, (None, 640)):
            helper.clean_all()
            helper.read_image(pixels)
            start = now(CPU)
            helper.get_face_landmarks_5(resize=resize, eye_dist_threshold=5)
            seconds[stage] = now(CPU) - start
            found.append(len(helper.all_landmarks_5))
        helper.all_landmarks_5 = [face.landmarks.copy() for face in faces]
        start = now(CPU)
        helper.align_warp_face()
        seconds["crops"] = now(CPU) - start
        for crop in helper.cropped_faces:
            helper.add_restored_face(crop)
        start = now(CPU)
        helper.get_inverse_affine()
        helper.paste_faces_to_input_image()
        seconds["paste"] = now(CPU) - start
        return seconds, found[0], found[1]


def _retinaface(path: Path) -> Any:
    """facexlib's own network, as it loads it."""
    from facexlib.detection.retinaface import RetinaFace

    state = {key.removeprefix("module."): tensor for key, tensor in read_state_dict(path).items()}
    network = RetinaFace(network_name=KINDS[network_kind(state, path)][0], device="cpu")
    network.load_state_dict(state, strict=True)
    return network.eval()
