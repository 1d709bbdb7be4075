"""Run by the hosts at their start. In the AUTOMATIC1111 family it installs what is missing, which is normally nothing.

Packages come without their dependencies, so that torch, NumPy, OpenCV and Pillow stay as the host has them. In ComfyUI
requirements.txt has been installed before, and there is nothing to do.
"""

from __future__ import annotations

from typing import Any

NEEDED = {"cv2": "opencv-python-headless>=4.8", "facexlib": "facexlib>=0.3.0", "safetensors": "safetensors>=0.4.2"}


def install_missing(launch: Any) -> None:
    """Installs those of NEEDED that the host lacks; offline it says so and goes on."""
    for name, requirement in NEEDED.items():
        if launch.is_installed(name):
            continue
        try:
            launch.run_pip(f'install --no-deps "{requirement}"', f"{name} for GPEN-2048")
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            print(
                f'GPEN-2048 needs {name}, which could not be installed ({reason}). Later: pip install "{requirement}"'
            )


if __name__ == "__main__":
    try:
        import launch
    except ImportError:  # not in the AUTOMATIC1111 family
        pass
    else:
        install_missing(launch)
