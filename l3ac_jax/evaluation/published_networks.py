"""EnCodec, DAC, Mimi and SNAC by their public PyTorch implementations, as reference codecs.

EnCodec, DAC and Mimi come with `transformers`, SNAC with the package of its authors. Weights are
the user's: a repository of the Hugging Face hub, or a folder as `save_pretrained` writes it (of
SNAC: config.json and pytorch_model.bin). Imported only where one of them is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float, Int

from l3ac_jax.errors import ReferenceCodecError
from l3ac_jax.evaluation.alignment import LEAST_CORRELATION, aligned, find_lag
from l3ac_jax.evaluation.codecs import Coded
from l3ac_jax.evaluation.report import CODEC_TITLES, Codec
from l3ac_jax.system.packages import needs_extra

if TYPE_CHECKING:
    import torch

__all__ = ["FAMILIES", "PublishedCodec", "load_published"]

Kind = Literal["encodec", "dac", "mimi", "snac"]
Audio = Float[np.ndarray, " time"]

# Lags are looked for up to here: more than the latency of any codec for live use.
LONGEST_LAG_MS = 100


class Network(Protocol):
    """A codec of one channel. Codes are of any shape; each takes `bits_per_code` bits."""

    sample_rate: int
    hop_length: int
    """Samples from one code of the first codebook to the next."""
    bits_per_code: float
    bitrates: list[float]
    """What it can be asked for, in bit/s, ascending."""
    parameters: int

    def encode(self, audio: torch.Tensor, bitrate: float) -> list[torch.Tensor]:
        """Codes of audio of shape (1, 1, time) at one of `bitrates`."""
        ...

    def decode(self, codes: list[torch.Tensor]) -> torch.Tensor:
        """Audio; its last axis is time."""
        ...


class Encodec:
    """Its bit rates are the bandwidths that it was trained for."""

    def __init__(self, weights: str):
        from transformers import EncodecModel

        self._model = _pretrained(EncodecModel, weights)
        config = self._model.config
        _mono(config.audio_channels)
        self._kilobits = {1000 * kilobits: kilobits for kilobits in config.target_bandwidths}
        self.sample_rate = config.sampling_rate
        self.hop_length = int(config.hop_length)
        self.bits_per_code = float(np.log2(config.codebook_size))
        self.bitrates = sorted(self._kilobits)
        self.parameters = _parameters(self._model)

    def encode(self, audio: torch.Tensor, bitrate: float) -> list[torch.Tensor]:
        """See Network."""
        return [self._model.encode(audio, bandwidth=self._kilobits[bitrate]).audio_codes]

    def decode(self, codes: list[torch.Tensor]) -> torch.Tensor:
        """See Network."""
        # One chunk without a scale: only the model of two channels normalizes.
        return self._model.decode(codes[0], [None]).audio_values


class Dac:
    """Any number of its codebooks, from the first on."""

    def __init__(self, weights: str):
        from transformers import DacModel

        self._model = _pretrained(DacModel, weights)
        config = self._model.config
        self.sample_rate = config.sampling_rate
        self.hop_length = int(config.hop_length)
        self.bits_per_code = float(np.log2(config.codebook_size))
        frame_rate = config.sampling_rate / config.hop_length
        self.bitrates = _by_codebook(config.n_codebooks, frame_rate * self.bits_per_code)
        self.parameters = _parameters(self._model)

    def encode(self, audio: torch.Tensor, bitrate: float) -> list[torch.Tensor]:
        """See Network."""
        # Whole hops: of the rest it would make a frame or none.
        padded = _padded(audio, self.hop_length)
        wanted = 1 + self.bitrates.index(bitrate)
        return [self._model.encode(padded, n_quantizers=wanted).audio_codes]

    def decode(self, codes: list[torch.Tensor]) -> torch.Tensor:
        """See Network."""
        return self._model.decode(audio_codes=codes[0]).audio_values


class Mimi:
    """Any number of its codebooks from the semantic ones on."""

    def __init__(self, weights: str):
        from transformers import MimiModel

        self._model = _pretrained(MimiModel, weights)
        config = self._model.config
        _mono(config.audio_channels)
        self.sample_rate = config.sampling_rate
        self.bits_per_code = float(np.log2(config.codebook_size))
        self.hop_length = round(config.sampling_rate / config.frame_rate)
        self._fewest = config.num_semantic_quantizers
        rates = _by_codebook(config.num_quantizers, config.frame_rate * self.bits_per_code)
        self.bitrates = rates[self._fewest - 1 :]
        self.parameters = _parameters(self._model)

    def encode(self, audio: torch.Tensor, bitrate: float) -> list[torch.Tensor]:
        """See Network."""
        wanted = self._fewest + self.bitrates.index(bitrate)
        return [self._model.encode(audio, num_quantizers=wanted).audio_codes]

    def decode(self, codes: list[torch.Tensor]) -> torch.Tensor:
        """See Network."""
        return self._model.decode(codes[0]).audio_values


class Snac:
    """One bit rate: all of its codebooks, which have frame rates of their own."""

    def __init__(self, weights: str):
        from snac import SNAC

        self._model = SNAC.from_pretrained(weights).eval()
        self.sample_rate = self._model.sampling_rate
        self.bits_per_code = float(np.log2(self._model.codebook_size))
        hop = int(self._model.hop_length)
        self.hop_length = hop * int(self._model.vq_strides[0])
        frame_rate = self.sample_rate / hop
        codes = sum(frame_rate / stride for stride in self._model.vq_strides)
        self.bitrates = [codes * self.bits_per_code]
        self.parameters = _parameters(self._model)

    def encode(self, audio: torch.Tensor, bitrate: float) -> list[torch.Tensor]:
        """See Network."""
        return self._model.encode(audio)

    def decode(self, codes: list[torch.Tensor]) -> torch.Tensor:
        """See Network."""
        return self._model.decode(codes)


class Family(NamedTuple):
    """Where a codec's weights are unless the user says so, and what loads them."""

    weights: str
    load: Callable[[str], Network]


FAMILIES: dict[Kind, Family] = {
    "encodec": Family("facebook/encodec_24khz", Encodec),
    "dac": Family("descript/dac_24khz", Dac),
    "mimi": Family("kyutai/mimi", Mimi),
    "snac": Family("hubertsiuzdak/snac_24khz", Snac),
}


class PublishedCodec:
    """A loaded network at one of its bit rates, in time with what went in.

    By how much its output is late is found once, by correlation on `probe` (mono speech at the
    network's rate), removed from all it decodes, and said in `info.delay_ms`. Where what comes out
    has no more than LEAST_CORRELATION with what went in, nothing is moved.
    """

    def __init__(self, kind: Kind, network: Network, bitrate: float, weights: str, probe: Audio):
        self._network = network
        self._bitrate = bitrate
        self._lag = 0
        self.hop_length = network.hop_length
        rate = network.sample_rate
        decoded = self._take(probe)[0]  # which warms up PyTorch as well
        lag = find_lag(probe, decoded, LONGEST_LAG_MS * rate // 1000)
        if lag.correlation > LEAST_CORRELATION:
            self._lag = lag.samples
        self.info = Codec(
            name=f"{CODEC_TITLES[kind]} {rate / 1000:g} kHz {bitrate / 1000:.4g}k",
            kind=kind,
            bitrate=bitrate,
            sample_rate=rate,
            token_rate=bitrate / network.bits_per_code,
            parameters=network.parameters,
            delay_ms=1000 * self._lag / rate,
        )
        self.identity = f"{kind} {weights} {bitrate:g} bit/s delay {self._lag}"

    def code(self, audio: Audio) -> Coded:
        """Encode and decode audio at `info.sample_rate`; the result is as long."""
        decoded, bits, encode_seconds, decode_seconds = self._take(audio)
        result = aligned(decoded, self._lag, len(audio))
        return Coded(np.clip(result, -1, 1), bits, None, encode_seconds, decode_seconds)

    def first_codes(self, audio: Audio) -> Int[np.ndarray, " n"]:
        """The codes of the first codebook, one every `hop_length` samples."""
        import torch

        with torch.inference_mode():
            codes = self._network.encode(torch.from_numpy(audio)[None, None], self._bitrate)
        return codes[0].reshape(-1, codes[0].shape[-1])[0].numpy()

    def _take(self, audio: Audio) -> tuple[Audio, float, float, float]:
        """What the network makes of audio, in bits, and its seconds for both ways."""
        import torch

        with torch.inference_mode():
            start = time.perf_counter()
            codes = self._network.encode(torch.from_numpy(audio)[None, None], self._bitrate)
            middle = time.perf_counter()
            decoded = self._network.decode(codes).reshape(-1).numpy()
            end = time.perf_counter()
        bits = sum(code.numel() for code in codes) * self._network.bits_per_code
        return decoded, bits, middle - start, end - middle


def load_published(word: str, kind: Kind, weights: str | None) -> tuple[str, Network]:
    """The weights' name, and the network with them; `word` is what the user wrote.

    Raises MissingPackageError, and ReferenceCodecError for weights that cannot be had.
    """
    family = FAMILIES[kind]
    name = weights or family.weights
    with needs_extra("references", CODEC_TITLES[kind]):
        try:
            return name, family.load(name)
        except ImportError:
            raise
        # Whatever these packages raise: a network that is not there, a folder of another model.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ReferenceCodecError(
                f"{word}: the weights {name} cannot be loaded: {reason} "
                f"({kind}@FOLDER takes them from a folder)"
            ) from error


def _pretrained(model: Any, weights: str) -> Any:
    """A model of `transformers`, which itself takes random numbers for what weights lack."""
    loaded, info = model.from_pretrained(weights, output_loading_info=True)
    if lacking := sorted(info["missing_keys"]) + sorted(info["mismatched_keys"]):
        raise ReferenceCodecError(
            f"{len(lacking)} arrays are missing or of another shape: {lacking[0]}"
        )
    return loaded.eval()


def _padded(audio: torch.Tensor, hop: int) -> torch.Tensor:
    import torch

    return torch.nn.functional.pad(audio, (0, -audio.shape[-1] % hop))


def _by_codebook(codebooks: int, bitrate: float) -> list[float]:
    return [count * bitrate for count in range(1, codebooks + 1)]


def _parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _mono(channels: int) -> None:
    if channels != 1:
        raise ReferenceCodecError(f"a model of one channel is needed, it has {channels}")
