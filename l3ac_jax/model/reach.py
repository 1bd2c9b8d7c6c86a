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

    def before_stride(self, stride: int) -> "Span":
        """The input frames that `stride`-wide groups make these frames of."""
        return Span(self.first * stride, self.last * stride + stride - 1)

    def before_linear_upsample(self, factor: int) -> "Span":
        """The input frames between which these frames are interpolated."""
        if not self.bounded:
            return WHOLE_CLIP
        first = math.floor((self.first + 0.5) / factor - 0.5)
        last = math.ceil((self.last + 0.5) / factor - 0.5)
        return Span(first, last)


WHOLE_CLIP = Span(-math.inf, math.inf)
