"""Restore Faces."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..shared.gpen2048 import InvalidOptionError, RestoreOptions
from .schema import CATEGORY, PHOTOS, boxes_input, image_input, model_input, node_schema, option_widgets, read_options

SEQUENCE = "The images are frames of one film: faces are followed, so that they stay steady from frame to frame."


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
                image_input(PHOTOS),
                model_input(),
                # Before the options, which may become more: saved workflows know widgets by their place.
                io.Boolean.Input("sequence", default=False, optional=True, tooltip=SEQUENCE),
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
        sequence: bool = False,
        **widgets: Any,
    ) -> io.NodeOutput:
        from .choosing import Choice
        from .frames import Frames
        from .model import wired
        from .restoring import Restoring
        from .upscaling import ModelBackground

        frames, options = Frames(image), read_options(widgets)
        background = ModelBackground(upscale_model) if upscale_model is not None and options.scale != 1 else None
        choice = Choice(frames, mask, bboxes)
        done = Restoring(wired(gpen_model), options, frames, choice, background, sequence).run()
        return io.NodeOutput(done.image, done.mask, done.crops or nothing(), done.report)


def nothing() -> Any:
    """For an output that has nothing to give: what hangs on it is skipped."""
    from comfy_execution.graph_utils import ExecutionBlocker

    return ExecutionBlocker(None)
