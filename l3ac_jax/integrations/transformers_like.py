"""The codec with the interface of the audio codecs in Hugging Face `transformers`.

    codec = L3ACModel.from_pretrained("base")
    codes = codec.encode(input_values).audio_codes
    audio = codec.decode(codes).audio_values

What was written for EncodecModel, DacModel or MimiModel finds the names and shapes it knows: audio
of shape (batch, 1, samples), codes of shape (batch, quantizers, frames), of which there is 1
quantizer. Tensors of PyTorch go in and come out as such, on their device and without gradients;
NumPy arrays as NumPy arrays. Neither transformers nor torch is needed.
"""

from __future__ import annotations

import operator
import os
import sys
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from l3ac_jax.codec.l3ac import L3AC
from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.errors import ArgumentError

__all__ = [
    "L3ACConfig",
    "L3ACDecoderOutput",
    "L3ACEncoderOutput",
    "L3ACModel",
    "L3ACOutput",
]


class _Output:
    """As ModelOutput of transformers: by attribute, by name, by number, and as a tuple."""

    def __getitem__(self, key: int | str | slice) -> Any:
        if isinstance(key, str):
            if key not in self.keys():
                raise KeyError(key)
            return getattr(self, key)
        return self.to_tuple()[key]

    def __iter__(self) -> Any:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """The names of what there is."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]  # pyright: ignore

    def to_tuple(self) -> tuple[Any, ...]:
        """The values, in the order of their names."""
        return tuple(getattr(self, name) for name in self.keys())


@dataclass(eq=False)
class L3ACEncoderOutput(_Output):
    """`audio_codes`: integers (int64) of shape (batch, 1, frames)."""

    audio_codes: Any = None


@dataclass(eq=False)
class L3ACDecoderOutput(_Output):
    """`audio_values`: audio of shape (batch, 1, samples), float32."""

    audio_values: Any = None


@dataclass(eq=False)
class L3ACOutput(_Output):
    """Codes, and what they were decoded to, as long as the input."""

    audio_codes: Any = None
    audio_values: Any = None


class L3ACConfig(NamedTuple):
    """What the configurations of the codecs in transformers say, under the same names."""

    sampling_rate: int
    hop_length: int
    frame_rate: float
    codebook_size: int
    num_quantizers: int = 1
    audio_channels: int = 1
    model_type: str = "l3ac"


class L3ACModel:
    """A codec (`codec`) as `EncodecModel` and the others in transformers are one."""

    def __init__(self, codec: L3AC):
        self.codec = codec
        self.config = L3ACConfig(
            codec.sample_rate, codec.hop_length, codec.frame_rate, codec.codebook_size
        )

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **options: Any) -> L3ACModel:
        """A model by what `l3ac_jax.get_model` takes, with its options; raises what it raises.

        A repository of the hub is "hf://OWNER/NAME" here.
        """
        return cls(get_model(name, **options))

    @property
    def sampling_rate(self) -> int:
        """Of the audio that goes in and comes out, in Hz."""
        return self.config.sampling_rate

    def eval(self) -> L3ACModel:
        """The model itself: it is never trained through this interface."""
        return self

    def encode(
        self,
        input_values: Any,
        padding_mask: Any = None,
        num_quantizers: int | None = None,
        return_dict: bool = True,
    ) -> L3ACEncoderOutput | tuple[Any, ...]:
        """Codes of audio of shape (batch, 1, samples) or (batch, samples).

        `padding_mask`, as feature extractors make it, is 1 where there is audio and 0 after it; it
        has the shape of the audio, with or without the axis of channels. Codes past a clip's end
        are 0. Raises ArgumentError (a ValueError).
        """
        if num_quantizers not in (None, 1):
            raise ArgumentError(f"num_quantizers must be 1, got {num_quantizers}")
        audio = _without_channels(_array(input_values), "input_values", "samples")
        lengths = None if padding_mask is None else _lengths(padding_mask, audio.shape)
        codes = np.asarray(self.codec.encode(audio, lengths))[:, None].astype(np.int64)
        output = L3ACEncoderOutput(_like(codes, input_values))
        return output if return_dict else output.to_tuple()

    def decode(
        self, audio_codes: Any, padding_mask: Any = None, return_dict: bool = True
    ) -> L3ACDecoderOutput | tuple[Any, ...]:
        """Audio of codes of shape (batch, 1, frames).

        With the `padding_mask` of the audio that was encoded, it is as long as that, and 0 after
        each clip's end. Raises ArgumentError (a ValueError).
        """
        codes = _without_channels(_array(audio_codes), "audio_codes", "frames")
        if padding_mask is None:
            audio = np.asarray(self.codec.decode(codes))
        else:
            hop = self.codec.hop_length
            shape = (len(codes), min(np.shape(_array(padding_mask))[-1], codes.shape[1] * hop))
            lengths = _lengths(padding_mask, shape)
            audio = np.asarray(self.codec.decode(codes, -(-lengths // hop)))[:, : shape[1]]
            audio = np.where(np.arange(shape[1]) < lengths[:, None], audio, np.float32(0))
        output = L3ACDecoderOutput(_like(audio[:, None], audio_codes))
        return output if return_dict else output.to_tuple()

    def __call__(
        self, input_values: Any, padding_mask: Any = None, return_dict: bool = True
    ) -> L3ACOutput | tuple[Any, ...]:
        """Codes, and what they are decoded to, of the input's length. Raises ArgumentError."""
        codes = self.encode(input_values, padding_mask)[0]
        values = self.decode(codes, padding_mask)[0][..., : np.shape(_array(input_values))[-1]]
        output = L3ACOutput(codes, values)
        return output if return_dict else output.to_tuple()


def _tensor_type() -> Any:
    """torch.Tensor, where this program has imported torch: else nothing can be one."""
    return getattr(sys.modules.get("torch"), "Tensor", ())


def _array(values: Any) -> np.ndarray:
    if isinstance(values, _tensor_type()):
        tensor = values.detach().cpu()
        # of which NumPy knows nothing
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return np.asarray(values)


def _like(array: np.ndarray, given: Any) -> Any:
    if isinstance(given, _tensor_type()):
        return sys.modules["torch"].from_numpy(np.array(array)).to(given.device)
    return array


def _without_channels(array: np.ndarray, what: str, axis: str) -> np.ndarray:
    if array.ndim == 3 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim == 2:
        return array
    hint = ""
    if array.ndim == 3:
        hint = ": channels are coded one by one, as clips of a batch"
    raise ArgumentError(f"{what} must have shape (batch, 1, {axis}), got {array.shape}{hint}")


def _lengths(padding_mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    mask = _array(padding_mask)
    if mask.ndim == 3:
        mask = mask[:, 0]
    if mask.ndim != 2 or mask.shape[0] != shape[0] or mask.shape[1] < shape[1]:
        raise ArgumentError(f"padding_mask must have shape {tuple(shape)}, got {mask.shape}")
    mask = mask[:, : operator.index(shape[1])].astype(bool)
    lengths = mask.sum(axis=1)
    if not np.array_equal(mask, np.arange(mask.shape[1]) < lengths[:, None]):
        raise ArgumentError("padding_mask must be 1 up to a clip's end and 0 after it")
    return lengths
