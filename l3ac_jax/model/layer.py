"""What every layer says of itself, and what follows of it for layers one after the other.

Each layer takes `(x, lengths)`: frames (b, t, c) and the count of real frames of each clip (or None
for all of them), and gives the same real frames whatever the padding holds. An order of layers is
written in one list: what is computed, how lengths change and what depends on what come from it.
"""

from collections.abc import Iterable, Sequence

import flax.linen as nn
from jaxtyping import Array

from l3ac_jax.model.ops import Lengths
from l3ac_jax.model.reach import Span


class Layer(nn.Module):
    """Frames to frames; if it doesn't say otherwise, to as many, and each by itself."""

    def reach(self, span: Span) -> Span:
        """The input frames on which these output frames depend."""
        return span

    def local_reach(self, span: Span) -> Span:
        """The reach of everything but the norms' statistics over the whole clip."""
        return self.reach(span)

    def lengths_after(self, lengths: Lengths) -> Lengths:
        """The lengths of clips behind this layer."""
        return lengths


def run(layers: Iterable[Layer], x: Array, lengths: Lengths) -> tuple[Array, Lengths]:
    """The frames and lengths behind layers that are applied one after the other."""
    for layer in layers:
        x, lengths = layer(x, lengths), layer.lengths_after(lengths)
    return x, lengths


def chain(layers: Sequence[Layer], span: Span, local: bool = False) -> Span:
    """The reach of layers that are applied one after the other.

    With `local`, that of everything but the norms' statistics over the whole clip.
    """
    for layer in reversed(layers):
        span = layer.local_reach(span) if local else layer.reach(span)
    return span


class Chain(Layer):
    """A layer that is nothing but others in order, all written in `layers`."""

    @property
    def layers(self) -> list[Layer]:
        """From the first to the last."""
        raise NotImplementedError

    def __call__(self, x: Array, lengths: Lengths = None) -> Array:
        return run(self.layers, x, lengths)[0]

    def reach(self, span: Span) -> Span:
        return chain(self.layers, span)

    def local_reach(self, span: Span) -> Span:
        return chain(self.layers, span, local=True)

    def lengths_after(self, lengths: Lengths) -> Lengths:
        for layer in self.layers:
            lengths = layer.lengths_after(lengths)
        return lengths
