"""Stand-ins for A1111's modules, Gradio and FastAPI, as far as the extension uses them (originals: 1.10.1)."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch


class Recorded(list):
    """Calls, as (args, kwargs)."""

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        self.append((args, kwargs))


class Component:
    """Any Gradio component: keeps what it was made with."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.__dict__.update(kwargs)
        self.kwargs = kwargs

    def __enter__(self) -> Component:
        return self

    def __exit__(self, *error: object) -> None:
        pass


class InputAccordion(Component):
    """As in modules/ui_components.py: a number for an id where it is given none."""

    global_index = 0

    def __init__(self, value: bool, **kwargs: Any):
        super().__init__(value=value, **kwargs)
        self.accordion_id = kwargs.get("elem_id")
        if self.accordion_id is None:
            self.accordion_id = f"input-accordion-{InputAccordion.global_index}"
            InputAccordion.global_index += 1


class OptionInfo:
    """As in modules/options.py, 1.10.1; the forks lack the last two arguments."""

    def __init__(
        self,
        default: Any = None,
        label: str = "",
        component: Any = None,
        component_args: Any = None,
        section: Any = None,
    ):
        self.default, self.label, self.component, self.section = default, label, component, section
        self.component_args, self.refresh, self.infotext = component_args, None, None
        self.comment_after = ""

    def info(self, info: str) -> OptionInfo:
        self.comment_after += f"<span class='info'>({info})</span>"
        return self


class Opts:
    """As in modules/options.py: unknown names are AttributeError."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {"face_restoration_model": "GPEN-2048", "face_restoration_unload": False}
        self.data_labels: dict[str, OptionInfo] = {}

    def add_option(self, key: str, info: OptionInfo) -> None:
        self.data_labels[key] = info
        self.data.setdefault(key, info.default)

    def pasted(self, infotext: dict[str, Any]) -> dict[str, Any]:
        """The settings that a picture's text brings back: get_override_settings of modules/infotext_utils.py."""
        names = {info.infotext: key for key, info in self.data_labels.items() if info.infotext}
        texts = {names[name]: str(value) for name, value in infotext.items() if name in names and value is not None}
        values = {key: type(self.data_labels[key].default)(text) for key, text in texts.items()}
        return {key: value for key, value in values.items() if value != self.data[key]}

    def __getattr__(self, name: str) -> Any:
        if name in ("data", "data_labels") or name not in self.data:
            raise AttributeError(name)
        return self.data[name]


class State(SimpleNamespace):
    """As in modules/shared_state.py."""

    def begin(self, job: str = "(unknown)") -> None:
        self.interrupted = self.skipped = False
        self.textinfo, self.job = None, job

    def end(self) -> None:
        self.job = ""


class Callbacks(ModuleType):
    """modules.script_callbacks: every on_… appends to `registered`."""

    def __init__(self) -> None:
        super().__init__("modules.script_callbacks")
        self.registered: dict[str, list[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return self.registered.setdefault(name, []).append


class HTTPException(Exception):  # noqa: N818  FastAPI's name
    def __init__(self, status_code: int, detail: Any = None, headers: Any = None):
        super().__init__(detail)
        self.status_code, self.detail, self.headers = status_code, detail, headers


def module(name: str, **names: Any) -> ModuleType:
    made = ModuleType(name)
    made.__dict__.update(names)
    return made


def host_modules(project: Path, folder: Path) -> dict[str, ModuleType]:
    """A1111's modules as far as the extension uses them."""
    shared = module(
        "modules.shared",
        opts=Opts(),
        OptionInfo=OptionInfo,
        face_restorers=[],
        state=State(interrupted=False, skipped=False, textinfo="before", job=""),
        cmd_opts=SimpleNamespace(use_cpu=["all"], gpen_models_path=str(folder / "GPEN"), api=True, api_auth=None),
    )
    devices = module(
        "modules.devices",
        get_device_for=lambda task: torch.device("cpu"),
        device=torch.device("cpu"),
        dtype=torch.float32,
        torch_gc=Recorded(),
    )
    post = module(
        "modules.scripts_postprocessing", ScriptPostprocessing=type("ScriptPostprocessing", (), {"name": None})
    )
    scripts = module(
        "modules.scripts", basedir=lambda: str(project), scripts_data=[], Script=object, AlwaysVisible=object()
    )
    hashes = module(
        "modules.hashes",
        sha256=lambda file, title: "0123456789abcdef",
        sha256_from_cache=lambda file, title: None,
    )
    return {
        "modules": module("modules", __path__=[]),
        "modules.shared": shared,
        "modules.devices": devices,
        "modules.errors": module("modules.errors", report=Recorded()),
        "modules.paths": module("modules.paths", models_path=str(folder)),
        "modules.script_callbacks": Callbacks(),
        "modules.scripts": scripts,
        "modules.scripts_postprocessing": post,
        "modules.ui_components": module("modules.ui_components", InputAccordion=InputAccordion),
        "modules.call_queue": module("modules.call_queue", queue_lock=threading.Lock()),
        "modules.hashes": hashes,
        "modules.sd_models": module(
            "modules.sd_models", model_data=SimpleNamespace(lock=threading.Lock(), sd_model=None)
        ),
    }


def web_modules() -> dict[str, ModuleType]:
    """Gradio, FastAPI and Starlette as far as the extension uses them."""

    async def run_in_threadpool(function: Any, *args: Any) -> Any:
        return function(*args)

    widgets = {name: type(name, (Component,), {}) for name in ("Slider", "Radio", "Dropdown", "Checkbox", "Accordion")}
    return {
        "gradio": module("gradio", **widgets),
        "fastapi": module(
            "fastapi", FastAPI=object, Request=object, HTTPException=HTTPException, Depends=SimpleNamespace
        ),
        "fastapi.security": module("fastapi.security", HTTPBasic=object, HTTPBasicCredentials=object),
        "starlette": module("starlette", __path__=[]),
        "starlette.concurrency": module("starlette.concurrency", run_in_threadpool=run_in_threadpool),
    }
