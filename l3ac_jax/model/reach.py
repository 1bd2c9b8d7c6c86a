"""Which input frames an output frame depends on, layer by layer.

Every layer that looks beyond its own frame has a method `reach(span)`: the span of its input
frames on which the span of its output frames depends. Chained from the last layer to the first
(see layer.py) they give the exact receptive field and look-ahead of the codec, and say what a
streaming layer has to remember (past) and to wait for (future).
"""

import math
from typing import NamedTuple


class Span(NamedTuple):
    """Frames `first` to `last`, both included; -inf and inf where there is no bound."""

    first: int | float
    last: int | float

    @property
    def bounded(self) -> bool:
        """Whether it ends on both sides."""
        return not (math.isinf(self.first) or math.isinf(self.last))

    def widen(self, past: int, future: int) -> "Span":
        return Span(self.first - past, self.last + future)

    def move(self, frames: int) -> "Span":
        return Span(self.first + frames, self.last + frames)

    def before_stride(self, stride: int) -> "Span":
        """The input frames that `stride`-wide groups make these frames of."""
        return Span(self.first * stride, self.last * stride + stride - 1)

    def before_linear_upsample(self, factor: int) -> "Span":
        """The input frames between which these frames are interpolated."""
        first, last = ((frame + 0.5) / factor - 0.5 for frame in self)
        return Span(
            first if math.isinf(first) else math.floor(first),
            last if math.isinf(last) else math.ceil(last),
        )

    def before_repeat(self, factor: int) -> "Span":
        """The input frames of which these frames are copies or parts, `factor` of each."""
        return Span(*(edge if math.isinf(edge) else edge // factor for edge in self))


WHOLE_CLIP = Span(-math.inf, math.inf)


class Context(NamedTuple):
    """How many frames before and after its own one an output frame depends on."""

    past: int
    future: int

    @classmethod
    def around(cls, width: int, dilation: int = 1, look_ahead: int | float = math.inf) -> "Context":
        """Of `width` (odd) frames, `dilation` apart: half of them the future, if it may be seen."""
        total = (width - 1) * dilation
        future = int(min(total // 2, look_ahead))
        return cls(total - future, future)

    @property
    def total(self) -> int:
        return self.past + self.future

    def __add__(self, other: "Context") -> "Context":  # pyright: ignore[reportIncompatibleMethodOverride]
        return Context(self.past + other.past, self.future + other.future)


NO_CONTEXT = Context(0, 0)
