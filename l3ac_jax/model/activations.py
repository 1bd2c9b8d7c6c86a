"""Activations with parameters of their own."""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn

from l3ac_jax.model.layer import Kind, Layer
from l3ac_jax.model.ops import Frames, Lengths
from l3ac_jax.model.ops.snake import snake


class Snake(Layer):
    """Snake activation with one frequency per channel."""

    kinds: ClassVar[Mapping[str, Kind]] = {"alpha": Kind.FREQUENCY}

    @nn.compact
    def __call__(self, x: Frames, lengths: Lengths = None) -> Frames:
        return snake(x, self.param("alpha", nn.initializers.ones, x.shape[-1:]))
