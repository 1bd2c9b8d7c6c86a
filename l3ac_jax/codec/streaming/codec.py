"""What a codec offers for streams: the part of L3AC that works step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from l3ac_jax.codec.checks import checked_tokens, require_range
from l3ac_jax.codec.identity import CodecModel
from l3ac_jax.codec.streaming.streams import (
    StepPrograms,
    StreamingDecoder,
    StreamingEncoder,
    step_programs,
)
from l3ac_jax.errors import StreamingError
from l3ac_jax.model.decoder import ByStage
from l3ac_jax.model.streams import State

__all__ = ["StreamingCodec"]


class StreamingCodec(CodecModel):
    """Encoding and decoding step by step: on the host, and as pure functions.

    A step takes k tokens, or their samples, further; k is what the shapes say, and each k is
    compiled once.
    """

    on_compile: Callable[[str], None] | None = None
    """when set, called with a line of text before a new shape is compiled"""

    @property
    def folded_params(self) -> dict[str, Any]:
        """The parameters as inference takes them: what `params` come to, multiplied out."""
        raise NotImplementedError

    def streaming_encoder(self, batch: int = 1, block: int = 1) -> StreamingEncoder:
        """Tokens while the audio comes: see StreamingEncoder.

        Raises StreamingError (a ValueError) for models that see the whole clip or all of its past.
        """
        return StreamingEncoder(self._step_programs, self.folded_params, self._say, batch, block)

    def streaming_decoder(
        self,
        batch: int = 1,
        block: int = 1,
        statistics: ByStage | Literal["running"] | None = None,
    ) -> StreamingDecoder:
        """Audio while the tokens come: see StreamingDecoder.

        The published decoders norm by statistics over the whole clip, which a stream does not know:
        for these, `statistics` has to say what stands for them, those of another clip (from
        `decoder_statistics`) or "running", over what came so far. Either is an approximation.
        Raises StreamingError (a ValueError) without, and for models that see all of the past.
        """
        of_clip = self.config.decoder.norm_statistics == "clip"
        if statistics is not None and not of_clip:
            raise StreamingError(
                "the decoder of this model streams as it is: it takes no statistics of clips "
                f"(decoder.norm_statistics = {self.config.decoder.norm_statistics!r})"
            )
        if statistics == "running":
            return StreamingDecoder(
                self._running_programs, self.folded_params, self._say, batch, block
            )
        if statistics is None and of_clip:
            raise StreamingError(
                "the decoder of this model norms by statistics over the whole clip, which a stream "
                "does not know: give statistics='running' (over what came so far) or those of "
                "another clip, from decoder_statistics(tokens); either is an approximation"
            )
        return StreamingDecoder(
            self._step_programs, self.folded_params, self._say, batch, block, statistics
        )

    def decoder_statistics(self, tokens: Int[ArrayLike, "B N"]) -> ByStage:
        """Means and variances over each clip that the decoder's norms take, by stage."""
        values = checked_tokens(tokens)
        require_range(values, self.config.codebook_size, "tokens")
        statistics = self._step_programs.statistics
        return jax.device_get(statistics(self.folded_params, values.astype(np.int32)))

    # Pure functions.

    @property
    def encoder_lag(self) -> int:
        """Tokens by which those of `encoder_step` are late: the first so many are none."""
        return self._step_programs.steps.encoder_lag

    @property
    def decoder_lag(self) -> int:
        """Samples by which the audio of `decoder_step` is late: the first so many are none."""
        return self._step_programs.steps.decoder_lag

    def encoder_state(self, batch: int = 1) -> State:
        """What `encoder_step` takes before the first samples: a pytree of arrays."""
        return self._step_programs.steps.encoder_state(batch)

    def decoder_state(self, batch: int = 1, statistics: ByStage | None = None) -> State:
        """What `decoder_step` takes before the first tokens: a pytree of arrays."""
        return self._step_programs.steps.decoder_state(batch, statistics)

    def encoder_step(
        self,
        params: Mapping[str, Any],
        state: State,
        audio: Float[Array, "B k*hop"],
        real: Bool[Array, "B k*hop"] | None = None,
    ) -> tuple[State, Int[Array, "B k"]]:
        """The next state, and the tokens that become known, `encoder_lag` late.

        Pure, for use in other compiled code (`jax.lax.scan`). `params` are `folded_params`, or
        those of training, which take longer. `real` is False for samples after the end of a clip.
        """
        return self._step_programs.steps.encoder_step(params, state, audio, real)

    def decoder_step(
        self,
        params: Mapping[str, Any],
        state: State,
        tokens: Int[Array, "B k"] | Float[Array, "B k F"],
        real: Bool[Array, "B k"] | None = None,
    ) -> tuple[State, Float[Array, "B k*hop"]]:
        """The next state, and the audio that becomes known, `decoder_lag` late.

        Pure, as `encoder_step`. Takes tokens or quantized features; tokens are not checked.
        """
        return self._step_programs.steps.decoder_step(params, state, tokens, real)

    def _say(self, line: str) -> None:
        if self.on_compile is not None:
            self.on_compile(line)

    @property
    def _step_programs(self) -> StepPrograms:
        return step_programs(self.config, self.precision)

    @property
    def _running_programs(self) -> StepPrograms:
        decoder = self.config.decoder.model_copy(update={"norm_statistics": "running"})
        config = self.config.model_copy(update={"decoder": decoder})
        return step_programs(config, self.precision)
