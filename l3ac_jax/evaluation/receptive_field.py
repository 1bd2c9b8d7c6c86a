"""What a token, and a sample of decoded audio, depend on: the exact structure of a configuration.

Everything here follows from the layers' `reach` (l3ac_jax/model/reach.py) and needs no parameters.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from l3ac_jax.config import CodecConfig
from l3ac_jax.model.network import Network
from l3ac_jax.model.reach import Span

__all__ = [
    "Field",
    "LookAheads",
    "declared_last",
    "declared_look_ahead",
    "look_aheads",
    "sample_field",
    "token_field",
]


class Field(NamedTuple):
    """The input samples `first` to `last`, both included, that something depends on.

    Seen from `own`: the samples of a token's own hop, or the one sample. Infinite where every
    sample of the clip counts; first can lie before the clip, and last after it.
    """

    first: int | float
    last: int | float
    own: Span

    @property
    def look_ahead(self) -> int | float:
        """How many samples after its own ones are needed."""
        return self.last - self.own.last

    def inside(self, samples: int) -> slice:
        """The part that lies in a clip of so many samples."""
        first = 0 if math.isinf(self.first) else max(int(self.first), 0)
        last = samples if math.isinf(self.last) else min(int(self.last) + 1, samples)
        return slice(first, last)


def token_field(config: CodecConfig, token: int) -> Field:
    """What token number `token` depends on, and with it z_q of that frame."""
    hop = config.hop_length
    span = _network(config).encoder_reach(Span(token, token))
    return Field(*span, Span(token * hop, (token + 1) * hop - 1))


def sample_field(config: CodecConfig, sample: int, local: bool = False) -> Field:
    """What sample number `sample` of the decoded audio depends on, through the tokens.

    With `local`, other than through the statistics that norms of the decoder take over the clip.
    """
    network = _network(config)
    span = network.encoder_reach(network.decoder_reach(Span(sample, sample), local))
    return Field(*span, Span(sample, sample))


class LookAheads(NamedTuple):
    """Samples after its own ones that are needed, where the position matters at the worst one.

    The transformers look at the past alone, except that the decoder's interpolates where tokens are
    compressed, so all of this is convolutions, strides, pooling and interpolation. The decoder's
    norms over the whole clip are left out: their statistics are taken as given.
    """

    encoder: int | float
    """Audio after a token's own hop, for the token."""
    decoder: int | float
    """Tokens after a sample, for the sample, in samples up to the end of the last one."""

    @property
    def codec(self) -> int | float:
        """Audio after a sample, for that sample decoded."""
        return self.encoder + self.decoder


def look_aheads(config: CodecConfig) -> LookAheads:
    """The look-ahead of a configuration's encoder and decoder."""
    hop, network = config.hop_length, _network(config)
    # One hop shows all positions: strides and factors divide it.
    tokens = {
        sample: network.decoder_reach(Span(sample, sample), local=True).last
        for sample in range(hop)
    }
    decoder = max((token + 1) * hop - 1 - sample for sample, token in tokens.items())
    return LookAheads(token_field(config, 0).look_ahead, decoder)


def declared_look_ahead(config: CodecConfig) -> int | float:
    """Samples after a token's own hop that a configuration says encoder and decoder need at most.

    Without a bound for one that is not causal.
    """
    return config.look_ahead_ms * config.sample_rate // 1000 if config.causal else math.inf


def declared_last(config: CodecConfig, own: Span) -> int | float:
    """The last input sample that a configuration lets matter to these samples.

    They are those of a token's own hop, for the token, or a decoded sample, which may be the first
    of its hop: then all of the hop comes in.
    """
    return own.first + config.hop_length - 1 + declared_look_ahead(config)


def _network(config: CodecConfig) -> Network:
    return Network(config).bind({})
