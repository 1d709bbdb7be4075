"""Writing films through PyAV: pictures encoded anew, sound and subtitles copied as they are."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import InvalidOptionError, UnsupportedFilmError
from ..replacing import put_in_place, unfinished_name
from .coding import colour_tags, is_odd, is_subsampled, storable
from .frames import encoded, opened, pyav
from .reading import Film
from .stream_copy import StreamCopy, named

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
CODECS = {"h264": "libx264", "h265": "libx265", "ffv1": "ffv1"}  # ffv1 has no loss, and needs .mkv
SILENT = {"h265": ("log-level=error",)}
QUALITY = 16  # constant rate factor; x264's default of 23 smooths away the grain that a restored face brings
WORST = 51
FRAME_DURATION = 1 << 8  # AV_CODEC_FLAG_FRAME_DURATION (libavcodec/avcodec.h): else encoders forget how long a frame is
NOT_KEPT = ("major_brand", "minor_version", "compatible_brands", "encoder", "rotate")  # said of the file that was read


class FilmWriter:
    """Writes a film like `film`, with its times, colours, sound and subtitles, under another name until it is whole.

    Leaving its `with` statement finishes the file and gives it its name; leaving by an error removes it. `codec` is one
    of CODECS, `quality` from 0, without loss, to 51. Depth and chroma sampling are the film's as far as the codec has
    them: for their sake pictures enlarged to odd sides lose their last row or column, if the film's own sides are even.
    Raises UnsupportedFilmError when the container cannot hold it all, InvalidOptionError for other arguments.
    """

    def __init__(self, path: str | PathLike[str], film: Film, *, codec: str = "h264", quality: int = QUALITY):
        self.path, self.film, self.codec, self.quality = Path(path), film, codec, quality
        check_coding(self.path, codec, quality)
        self._unfinished = unfinished_name(self.path)
        self._container: Any = None
        self._video: Any = None
        self._copied = StreamCopy(film)
        self._coding = film.coding
        self._begin = round(film.begin / film.time_base)
        self._evens = is_subsampled(film.coding.pixel_format) and not is_odd(*film.size)
        self._end = 0
        self._delay: int | None = None  # from when a packet is to be decoded to when it is shown, of the first

    def __enter__(self) -> FilmWriter:
        return self

    def write(self, pixels: Tensor, pts: int, duration: int = 0) -> None:
        """Adds `pixels` (3, H, W) in [0, 1], on any device, shown at the film's time `pts`; all must have one size."""
        if self._evens:
            pixels = pixels[:, : pixels.shape[1] // 2 * 2, : pixels.shape[2] // 2 * 2]
        with self._errors():
            if self._container is None:
                self._open(pixels.shape[1], pixels.shape[2])
            frame = encoded(pixels, self._coding, pts - self._begin, duration, self.film.time_base)
            self._mux(self._encode(frame))

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._copied.close()
            if self._container is not None:
                with suppress(OSError, ValueError, pyav().error.FFmpegError):  # closed already, or of no use any more
                    self._container.close()
            self._unfinished.unlink(missing_ok=True)

    def _open(self, height: int, width: int) -> None:
        to_front = {} if self._kind == "matroska" else {"movflags": "+faststart"}  # so that it plays while it is loaded
        self._container = opened(self._unfinished, "w", format=self._kind, container_options=to_front)
        kept = {key: value for key, value in self.film.metadata.items() if key not in NOT_KEPT}
        self._container.metadata.update(kept)
        self._copy_chapters()
        self._coding = storable(self.film.coding, CODECS[self.codec], height, width)
        self._add_video(height, width)
        self._begin_copying()

    def _copy_chapters(self) -> None:
        """Those of the film, whose time begins at 0 here; older PyAV knows none, and none of it reads all titles."""
        try:
            chapters: list[Any] = self.film.container.chapters()
        except (AttributeError, UnicodeDecodeError) as error:
            if isinstance(error, UnicodeDecodeError):
                self.film.problems.append("chapters whose titles are not UTF-8 were left out")
            return
        for chapter in chapters:
            begin = round(self.film.begin / chapter["time_base"])
            chapter["start"], chapter["end"] = (max(0, chapter[edge] - begin) for edge in ("start", "end"))
        self._container.set_chapters(chapters)

    @property
    def _kind(self) -> str:
        return CONTAINERS[self.path.suffix.lower()]

    def _add_video(self, height: int, width: int) -> None:
        options = {} if self.codec == "ffv1" else {"crf": str(self.quality)}
        told = [*SILENT.get(self.codec, ()), *self.film.light.parameters(CODECS[self.codec])]
        if told:
            options[f"{CODECS[self.codec].removeprefix('lib')}-params"] = ":".join(told)
        self._video = self._container.add_stream(CODECS[self.codec], rate=self.film.rate, options=options)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, self._coding.pixel_format
        self._video.metadata.update(named(self.film.stream))
        context = self._video.codec_context
        context.time_base = self.film.time_base
        context.flags |= FRAME_DURATION
        context.sample_aspect_ratio = self.film.sample_aspect
        context.color_range = self._coding.range
        for name, value in colour_tags(self._coding).items():
            setattr(context, name, value)
        if self.codec == "h265" and self._kind != "matroska":
            context.codec_tag = "hvc1"  # the only one that Apple's players take

    def _begin_copying(self) -> None:
        self._copied.begin(self._container)

    def _encode(self, frame: Any) -> list[Any]:
        """The next packets of the encoder, or, without a frame, the last.

        An MP4 counts its length by when packets are to be decoded. The last of them may be shown before others, so it
        is told to last as long as all.
        """
        packets: list[Any] = self._video.encode(frame)
        if frame is None and self._delay is None and self.codec == "h265":
            _time_decoding(packets)
        if packets and self._delay is None:
            self._delay = packets[0].pts - packets[0].dts
        self._end = max([self._end, *(packet.pts + int(packet.duration or 0) for packet in packets)])
        if frame is None and packets and self._kind != "matroska":
            packets[-1].duration = self._end - (self._delay or 0) - packets[-1].dts
        return packets

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.dts is not None:
                self._copied.copy_until(float(packet.dts * packet.time_base))
            self._container.mux(packet)

    def _finish(self) -> None:
        if self._container is None:
            raise UnsupportedFilmError(f"{self.path}: no frames to write")
        with self._errors():
            self._mux(self._encode(None))
            self._copied.copy_until(float("inf"))
            self._container.close()
            put_in_place(self._unfinished, self.path)

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        except (pyav().error.FFmpegError, ValueError) as error:
            sound = f" and {self._copied.sound} sound" if self._copied.sound else ""
            what = f"{self.codec} video{sound} in {self.path.suffix}"
            holder = ".mov" if "amr" in self._copied.sound else ".mkv"  # AMR is the sound of old phones
            hint = "" if self._kind == CONTAINERS[holder] else f"; {holder} holds all"
            reason = getattr(error, "strerror", None) or error  # the whole of it names a file that nobody knows
            raise UnsupportedFilmError(f"{self.path}: cannot be written ({what}: {reason}){hint}") from error


def _time_decoding(packets: Sequence[Any]) -> None:
    """Sets when the packets of a whole film are decoded: x265 leaves that to chance in one of a frame or two."""
    times = sorted(packet.pts for packet in packets)
    delay = max((time - packet.pts for time, packet in zip(times, packets)), default=0)
    for time, packet in zip(times, packets):
        packet.dts = time - delay


def check_coding(path: Path, codec: str, quality: int) -> None:
    """Raises UnsupportedFilmError or InvalidOptionError unless FilmWriter takes the arguments."""
    if path.suffix.lower() not in CONTAINERS:
        raise UnsupportedFilmError(f"{path}: wanted a name ending in {', '.join(CONTAINERS)}")
    if codec not in CODECS:
        raise InvalidOptionError(f"codec is {codec!r}; wanted one of {', '.join(CODECS)}")
    if not 0 <= quality <= WORST:
        raise InvalidOptionError(f"quality (crf) of a film is {quality}; wanted 0 (without loss) to {WORST}")
    if codec == "ffv1" and CONTAINERS[path.suffix.lower()] != "matroska":
        raise UnsupportedFilmError(f"{path}: ffv1 wants a name ending in .mkv")
