"""How much memory RetinaFace needs for what it is shown."""

from __future__ import annotations

# float32 values alive for each pixel of the input at the worst moment, as PyTorch's allocator counts them on the CPU:
# the input, again with its channels last (Python before 3.11 keeps the first), and where the backbone is widest a
# layer's input, its result and that normalised. In ResNet-50 that is the first shortcut, of 64 and 256 channels at a
# quarter of the size, beside the layer's own result; in MobileNet 8 and 16 channels at half of it.
VALUES_PER_PIXEL = {"retinaface_resnet50": 6 + 4 + 3 * 16, "retinaface_mobile0.25": 6 + 2 + 2 * 4}
VALUE_BYTES = 4


def activation_bytes(kind: str, pixels: int) -> int:
    """Bytes alive at once while the network called `kind` (one of retinaface.KINDS) sees views of `pixels` in total.

    Without the scratch memory of the device's own convolutions, of which a CPU needs next to none.
    """
    return VALUES_PER_PIXEL[kind] * VALUE_BYTES * pixels
