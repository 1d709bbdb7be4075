"""GPEN's generator as published: the readable truth that the folded network of `inference.py` is tested against.

Yang et al., "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021; parameter names are those
of the released files. An encoder halves the face down to 4x4; its last feature becomes the latent code of a StyleGAN2
decoder, and its features replace the decoder's noise: they are concatenated to every convolution's output.

Axes: N batch, O output channels, I input channels, k kernel, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STYLE_SIZE = 512  # length of the latent code (face_gan.py of the authors' code)
MAPPING_LAYERS = 8
MAPPING_LR = 0.01  # the mapping network stores its weights divided by this learning-rate factor
SMALLEST = 4  # resolution in pixels at which the decoder starts
LEAKY_SLOPE = 0.2
ACTIVATION_GAIN = math.sqrt(2)  # keeps the variance through a leaky ReLU (StyleGAN2)
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)  # binomial anti-aliasing filter of every change of resolution (StyleGAN2)
EPSILON = 1e-8


@dataclass(frozen=True)
class NetworkConfig:
    """What distinguishes one GPEN network from another: `size` in pixels and two factors of the channel count."""

    size: int
    channel_multiplier: int = 2
    narrow: float = 1.0

    def channels(self, resolution: int) -> int:
        """Channels of the feature maps at `resolution` pixels."""
        full = 512 if resolution <= 32 else 16384 * self.channel_multiplier // resolution
        return int(full * self.narrow)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, … `size`."""
        return tuple(2**level for level in range(2, self.size.bit_length()))


def fir_kernel(gain: float = 1.0) -> Tensor:
    """The (4, 4) float32 FIR filter, summing to `gain`."""
    taps = torch.tensor(FIR_TAPS, dtype=torch.float32, device="cpu")
    return torch.outer(taps, taps) * (gain / sum(FIR_TAPS) ** 2)


class Blur(nn.Module):
    """FIR filter per channel after padding with `pad` zeros (before, after) on both axes."""

    kernel: Tensor

    def __init__(self, pad: tuple[int, int], gain: float = 1.0):
        super().__init__()
        self.pad = pad
        self.register_buffer("kernel", fir_kernel(gain))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.to(x).expand(channels, 1, 4, 4)
        return F.conv2d(F.pad(x, (*self.pad, *self.pad)), kernel, groups=channels)


class Upsample(nn.Module):
    """Doubles an image: zeros between the pixels, then the FIR filter with gain 4."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(gain=4))

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.to(x).expand(channels, 1, 4, 4)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate: stored weights are unit normal, scaled by 1/sqrt(fan-in) at use."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))  # [OIkk]
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / math.sqrt(self.weight[0].numel())
        return F.conv2d(x, weight.to(x), stride=self.stride)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate; `activate` adds the scaled leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, lr: float = 1.0, activate: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))
        self.lr = lr
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        scale = self.lr / math.sqrt(self.weight.shape[1])
        y = F.linear(x, (self.weight * scale).to(x), (self.bias * self.lr).to(x))
        return F.leaky_relu(y, LEAKY_SLOPE) * ACTIVATION_GAIN if self.activate else y


class FusedLeakyReLU(nn.Module):
    """Bias per channel, leaky ReLU, gain sqrt(2)."""

    def __init__(self, channels: int):
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias.to(x)[:, None, None], LEAKY_SLOPE) * ACTIVATION_GAIN


class PixelNorm(nn.Module):
    """Scales each latent code to unit mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + EPSILON)


class ModulatedConv2d(nn.Module):
    """StyleGAN2's convolution: the style scales the weights per input channel, demodulation restores unit variance."""

    def __init__(self, inputs: int, outputs: int, kernel: int, demodulate: bool = True, up: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, outputs, inputs, kernel, kernel))  # [1OIkk]
        self.modulation = EqualLinear(STYLE_SIZE, inputs)
        self.demodulate = demodulate
        if up:
            self.blur = Blur(pad=(1, 1), gain=4)
        self.up = up

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        n, i = x.shape[:2]
        weight = self.weight.to(x) / math.sqrt(self.weight[0, 0].numel())
        weight = weight * self.modulation(style).view(n, 1, i, 1, 1)  # [NOIkk]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + EPSILON)
        if self.up:
            y = _grouped(F.conv_transpose2d, x, weight.transpose(1, 2), stride=2)  # transposed weights are [IOkk]
            return self.blur(y)
        return _grouped(F.conv2d, x, weight, padding=weight.shape[-1] // 2)


def _grouped(convolution: Callable[..., Tensor], x: Tensor, weight: Tensor, **options: int) -> Tensor:
    """Each image of the batch by its own weights [N..kk], as one convolution with N groups."""
    n, _, h, w = x.shape
    y = convolution(x.reshape(1, -1, h, w), weight.flatten(0, 1), groups=n, **options)
    return y.view(n, -1, *y.shape[-2:])


class FeatureInjection(nn.Module):
    """GPEN's change to StyleGAN2: instead of adding noise, concatenate the weighted encoder feature."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1))

    def forward(self, x: Tensor, feature: Tensor) -> Tensor:
        return torch.cat((x, self.weight.to(x) * feature), dim=1)


class StyledConv(nn.Module):
    """Modulated 3x3 convolution, encoder feature concatenated, bias and activation over both halves."""

    def __init__(self, inputs: int, outputs: int, up: bool = False):
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, up=up)
        self.noise = FeatureInjection()  # named as in the released files
        self.activate = FusedLeakyReLU(2 * outputs)

    def forward(self, x: Tensor, style: Tensor, feature: Tensor) -> Tensor:
        return self.activate(self.noise(self.conv(x, style), feature))


class ToRGB(nn.Module):
    """Adds this resolution's contribution to the image, which was doubled from the resolution below."""

    def __init__(self, inputs: int, up: bool = True):
        super().__init__()
        if up:
            self.upsample = Upsample()
        self.conv = ModulatedConv2d(inputs, 3, 1, demodulate=False)
        self.bias = nn.Parameter(torch.empty(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, image: Tensor | None = None) -> Tensor:
        rgb = self.conv(x, style) + self.bias.to(x)
        return rgb if image is None else rgb + self.upsample(image)


class ConstantInput(nn.Module):
    """The learned 4x4 feature map the decoder starts from."""

    def __init__(self, channels: int):
        super().__init__()
        self.input = nn.Parameter(torch.empty(1, channels, SMALLEST, SMALLEST))


class Decoder(nn.Module):
    """StyleGAN2's synthesis network with the mapping network in front of it."""

    def __init__(self, config: NetworkConfig):
        super().__init__()
        mapping = [EqualLinear(STYLE_SIZE, STYLE_SIZE, lr=MAPPING_LR, activate=True) for _ in range(MAPPING_LAYERS)]
        self.style = nn.Sequential(PixelNorm(), *mapping)
        channels = config.channels(SMALLEST)
        self.input = ConstantInput(channels)
        self.conv1 = StyledConv(channels, channels)
        self.to_rgb1 = ToRGB(2 * channels, up=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        for below, resolution in zip(config.resolutions, config.resolutions[1:]):
            inputs, outputs = 2 * config.channels(below), config.channels(resolution)
            self.convs.extend([StyledConv(inputs, outputs, up=True), StyledConv(2 * outputs, outputs)])
            self.to_rgbs.append(ToRGB(2 * outputs))

    def forward(self, code: Tensor, features: list[Tensor]) -> Tensor:
        """`code` (N, 512), `features` from 4x4 up to the full size."""
        style = self.style(code)
        constant = self.input.input.to(code).expand(len(code), -1, -1, -1)
        x = self.conv1(constant, style, features[0])
        image: Tensor = self.to_rgb1(x, style)
        for up, conv, to_rgb, feature in zip(self.convs[::2], self.convs[1::2], self.to_rgbs, features[1:]):
            x = conv(up(x, style, feature), style, feature)
            image = to_rgb(x, style, image)
        return image


def _encoder_layer(inputs: int, outputs: int, down: bool) -> nn.Sequential:
    if not down:
        return nn.Sequential(EqualConv2d(inputs, outputs, kernel=1, stride=1), FusedLeakyReLU(outputs))
    return nn.Sequential(Blur(pad=(2, 2)), EqualConv2d(inputs, outputs, kernel=3, stride=2), FusedLeakyReLU(outputs))


class FullGenerator(nn.Module):
    """The whole network. Parameters are uninitialised until a state dict is loaded.

    Takes and gives (N, 3, size, size) RGB in [-1, 1] in any floating dtype, on the parameters' device.
    """

    def __init__(self, config: NetworkConfig):
        super().__init__()
        self.config = config
        self.generator = Decoder(config)
        inputs = 3
        for number, resolution in enumerate(reversed(config.resolutions)):
            outputs = config.channels(resolution)
            layer = _encoder_layer(inputs, outputs, down=number > 0)
            self.add_module(f"ecd{number}", nn.Sequential(layer))
            inputs = outputs
        features = config.channels(SMALLEST) * SMALLEST**2
        self.final_linear = nn.Sequential(EqualLinear(features, STYLE_SIZE, activate=True))

    def forward(self, x: Tensor) -> Tensor:
        features: list[Tensor] = []
        for number in range(len(self.config.resolutions)):
            x = self.get_submodule(f"ecd{number}")(x)
            features.insert(0, x)
        code = self.final_linear(x.flatten(1))
        return self.generator(code, features)


def parameter_shapes(config: NetworkConfig) -> dict[str, torch.Size]:
    """The shape of everything in a state dict of the released layout, by key.

    Memory is reserved for a moment, not touched; the meta device would import nine hundred modules of torch.
    """
    with torch.device("cpu"):
        return {key: tensor.shape for key, tensor in FullGenerator(config).state_dict().items()}
