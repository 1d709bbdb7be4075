"""The nodes: what they offer, and the few lines that do it."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import ComfyExtension, io

from ..shared.gpen2048 import InvalidOptionError, RestoreOptions
from . import folders
from .schema import (
    CATEGORY,
    BoundingBoxType,
    GpenModelType,
    boxes_input,
    mark_advanced,
    node_schema,
    option_widgets,
    read_options,
)


class GPENLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        networks = folders.network_files() or ["GPEN-BFR-2048.pth"]
        detectors = [*folders.detector_files(), folders.NO_DETECTOR]
        precision = io.Combo.Input(
            "precision",
            options=["auto", "fp32", "fp16", "bf16"],
            default="auto",
            tooltip="How precisely to compute. auto: as ComfyUI advises for your device.",
        )
        mark_advanced(precision)
        return node_schema(
            node_id="GPENLoader",
            display_name="Load GPEN",
            category=CATEGORY,
            description="Loads a GPEN face restoration network and the detector that finds the faces for it.",
            search_aliases=["gpen", "face restore model", "GPEN-BFR-2048", "load face restoration model"],
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=networks,
                    default=networks[0],
                    tooltip="A GPEN network from models/facerestore_models, such as GPEN-BFR-2048.",
                ),
                io.Combo.Input(
                    "detector",
                    options=detectors,
                    default=detectors[0],
                    tooltip="A RetinaFace detector from models/facedetection or models/facerestore_models. "
                    "none: for Restore Face Crop only.",
                ),
                precision,
            ],
            outputs=[GpenModelType.Output(display_name="GPEN_MODEL", tooltip="For Restore Faces and its companions.")],
        )

    @classmethod
    def validate_inputs(cls, model_name: str, detector: str) -> bool | str:
        """Names what to fetch and where to put it, where ComfyUI would only say that the value is not in its list."""
        try:
            folders.require_network(model_name)
            if detector != folders.NO_DETECTOR:
                folders.require_detector(detector)
        except folders.WeightsNotFoundError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(cls, model_name: str, detector: str, precision: str = "auto") -> str:
        from .model import fingerprint

        return fingerprint(model_name, detector)

    @classmethod
    def execute(cls, model_name: str, detector: str, precision: str = "auto") -> io.NodeOutput:
        from .model import load_model

        return io.NodeOutput(load_model(model_name, detector, precision))


class GPENRestoreFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return node_schema(
            node_id="GPENRestoreFaces",
            display_name="Restore Faces",
            category=CATEGORY,
            description="Finds the faces of a photo, restores each with GPEN, and lays them back.",
            search_aliases=["gpen", "face restore", "restore face", "face fix", "fix faces", "facerestore", "enhance"],
            inputs=[
                io.Image.Input("image", tooltip="Photos or frames; a batch of any length."),
                GpenModelType.Input("gpen_model", tooltip="From Load GPEN."),
                *option_widgets(),
                io.Mask.Input("mask", optional=True, tooltip="Restores only faces whose centre lies in it."),
                io.UpscaleModel.Input(
                    "upscale_model", optional=True, tooltip="Enlarges the picture behind the faces when scale is not 1."
                ),
                boxes_input("bboxes", "Restores only faces whose centre lies in one of these boxes."),
            ],
            outputs=[
                io.Image.Output(id="restored_image", display_name="image", tooltip="The photos with restored faces."),
                io.Mask.Output(id="restored_mask", display_name="mask", tooltip="Where they were changed."),
                io.Image.Output(
                    id="faces",
                    display_name="faces",
                    is_output_list=True,
                    tooltip="The restored crops, one by one: the first max_crops of them.",
                ),
                io.String.Output(id="report", display_name="report", tooltip="JSON: what was done to every face."),
            ],
        )

    @classmethod
    def validate_inputs(cls, select: str | None = None) -> bool | str:
        try:
            RestoreOptions(**({} if select is None else {"select": select}))
        except InvalidOptionError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        gpen_model: Any,
        mask: torch.Tensor | None = None,
        upscale_model: Any = None,
        bboxes: Any = None,
        **widgets: Any,
    ) -> io.NodeOutput:
        from .choosing import Choice
        from .frames import Frames
        from .restoring import Restoring
        from .upscaling import ModelBackground

        frames, options = Frames(image), read_options(widgets)
        background = ModelBackground(upscale_model) if upscale_model is not None and options.scale != 1 else None
        choice = Choice(frames, mask, bboxes)
        done = Restoring(gpen_model, options, frames, choice, background).run()
        return io.NodeOutput(done.image, done.mask, done.crops or nothing(), done.report)


class GPENDetectFaces(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return node_schema(
            node_id="GPENDetectFaces",
            display_name="Detect Faces (GPEN)",
            category=CATEGORY,
            description="Finds the faces of a photo as Restore Faces does, and numbers them.",
            search_aliases=["face detection", "retinaface", "find faces", "face boxes", "face bbox"],
            inputs=[
                io.Image.Input("image", tooltip="Photos or frames; a batch of any length."),
                GpenModelType.Input("gpen_model", tooltip="From Load GPEN; its detector is used."),
                *option_widgets("threshold"),
            ],
            outputs=[
                BoundingBoxType.Output(
                    id="bboxes", display_name="bboxes", tooltip="A list of boxes for each frame, with landmarks."
                ),
                io.Image.Output(id="preview", display_name="preview", tooltip="The photos with numbered boxes."),
                io.Mask.Output(id="face_mask", display_name="mask", tooltip="The insides of the boxes."),
            ],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, gpen_model: Any, **widgets: Any) -> io.NodeOutput:
        from .detecting import detect
        from .frames import Frames

        return io.NodeOutput(*detect(gpen_model, Frames(image), read_options(widgets).threshold))


class GPENRestoreCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return node_schema(
            node_id="GPENRestoreCrop",
            display_name="Restore Face Crop (GPEN)",
            category=CATEGORY,
            description="Restores pictures that already show one upright face each, framed as GPEN wants it.",
            search_aliases=["gpen crop", "aligned face", "restore crop"],
            inputs=[
                io.Image.Input("image", tooltip="Aligned faces; resized to the network's size."),
                GpenModelType.Input("gpen_model", tooltip="From Load GPEN."),
                *option_widgets("strength"),
            ],
            outputs=[io.Image.Output(id="restored_crop", display_name="image", tooltip="At the network's size.")],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, gpen_model: Any, **widgets: Any) -> io.NodeOutput:
        from .cropping import restore_crops
        from .frames import Frames

        return io.NodeOutput(restore_crops(gpen_model, Frames(image), read_options(widgets).strength))


class GpenExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [GPENLoader, GPENRestoreFaces, GPENDetectFaces, GPENRestoreCrop]


def nothing() -> Any:
    """For an output that has nothing to give: what hangs on it is skipped."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(None)
