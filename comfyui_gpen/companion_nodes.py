"""Parts of Restore Faces as nodes of their own, to compose other graphs with."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from .schema import (
    CATEGORY,
    PHOTOS,
    BoundingBoxType,
    image_input,
    model_input,
    node_schema,
    option_widgets,
    read_options,
)


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
                image_input(PHOTOS),
                model_input("From Load GPEN; its detector is used."),
                *option_widgets("threshold", "order", "max_tilt"),
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
        from .model import wired

        return io.NodeOutput(*detect(wired(gpen_model), Frames(image), read_options(widgets)))


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
                image_input("Aligned faces; resized to the network's size."),
                model_input(),
                *option_widgets("strength"),
            ],
            outputs=[io.Image.Output(id="restored_crop", display_name="image", tooltip="At the network's size.")],
        )

    @classmethod
    def execute(cls, image: torch.Tensor, gpen_model: Any, **widgets: Any) -> io.NodeOutput:
        from .cropping import restore_crops
        from .frames import Frames
        from .model import wired

        return io.NodeOutput(restore_crops(wired(gpen_model), Frames(image), read_options(widgets).strength))
