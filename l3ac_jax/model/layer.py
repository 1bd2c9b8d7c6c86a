"""What every layer says of itself, and what follows of it for layers one after the other.

Each layer takes `(x, lengths)`: frames (b, t, c) and the count of real frames of each clip (or None
for all of them), and gives the same real frames whatever the padding holds. An order of layers is
written in one list: what is computed, how lengths change and what depends on what come from it.

What training, inference and other formats need to know of a layer is said here too, by the layer:
`kinds` of its parameters, and `fold`. Which layers a configuration has: params.layers_of.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, ClassVar

import flax.linen as nn
from jaxtyping import Array

from l3ac_jax.model.ops import Lengths
from l3ac_jax.model.reach import Span


class Kind(Enum):
    """What an array of parameters is."""

    MIXING = auto()
    """kernel, the last axis the outputs, each of which sees all inputs"""
    FILTERS = auto()
    """kernel (width, channels), a filter for each channel"""
    GAIN = auto()
    """norm of each output's kernel: weight norm"""
    SCALE = auto()
    """factor of each channel; initially 1"""
    RESPONSE = auto()
    """factor of each channel, less 1; initially 0"""
    OFFSET = auto()
    """added to each channel"""
    FREQUENCY = auto()
    """of each channel's Snake"""


class Role(Enum):
    """What becomes of a kernel's output."""

    NORMALIZED = auto()
    """goes to the norm of its block, where norms are on"""
    RESIDUAL = auto()
    """is added to what its block was given"""
    OTHER = auto()


class Layer(nn.Module):
    """Frames to frames; if it doesn't say otherwise, to as many, and each by itself."""

    kinds: ClassVar[Mapping[str, Kind]] = {}
    """of the parameters that are trained, by name; layers inside of this one have their own"""

    def fold(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters of inference for those of training, where `folded` makes a difference.

        Those of layers inside of this one are folded already. Arrays are NumPy's or JAX's.
        """
        return params

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
