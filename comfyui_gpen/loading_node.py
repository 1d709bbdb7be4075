"""Load GPEN."""

from __future__ import annotations

from collections.abc import Mapping

from comfy_api.latest import io

from ..shared.gpen2048 import InvalidOptionError
from . import folders
from .schema import CATEGORY, GpenModelType, mark_advanced, node_schema


class GPENLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        networks = folders.network_files() or ["GPEN-BFR-2048.pth"]
        detectors = [*folders.detector_files(), folders.NO_DETECTOR]
        precision = io.Combo.Input(
            "precision",
            options=["auto", "fp32", "fp16", "bf16"],
            default="auto",
            optional=True,
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
    def validate_inputs(cls, model_name: str | None = None, detector: str | None = None) -> bool | str:
        """Names what to fetch and where to put it, where ComfyUI would only say that the value is not in its list.

        ComfyUI gives None for what comes over a wire; that is looked for when the node runs. What is missing it names
        itself, and of a prompt made by hand a value may be anything.
        """
        given = {"model_name": model_name, "detector": detector}
        if wrong := wrong_name({widget: name for widget, name in given.items() if name is not None}):
            return wrong
        widget = "model_name"  # which is named, as ComfyUI blames every widget that is asked about here
        try:
            if model_name is not None:
                folders.require_network(model_name)
            widget = "detector"
            if detector not in (None, folders.NO_DETECTOR):
                folders.require_detector(detector)
        except folders.WeightsNotFoundError as error:
            return f"{widget}: {error}"
        return True

    @classmethod
    def fingerprint_inputs(
        cls, model_name: str | None = None, detector: str | None = None, precision: str | None = "auto"
    ) -> str:
        from .model import fingerprint

        return fingerprint(model_name, detector)

    @classmethod
    def execute(cls, model_name: str, detector: str, precision: str = "auto") -> io.NodeOutput:
        from .model import load_model

        if wrong := wrong_name({"model_name": model_name, "detector": detector}):  # over a wire
            raise InvalidOptionError(wrong)
        return io.NodeOutput(load_model(model_name, detector, precision))


def wrong_name(names: Mapping[str, object]) -> str | None:
    """What is wrong with the first widget that has no text for a name; None where all have."""
    wrong = ((widget, name) for widget, name in names.items() if not isinstance(name, str))
    return next((f"{widget} is {name!r}; wanted a file's name" for widget, name in wrong), None)
