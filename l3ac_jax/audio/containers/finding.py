"""Which container a file is, by its content, and where its audio lies."""

from __future__ import annotations

import os
from typing import BinaryIO

from l3ac_jax.audio.containers.chunks import lay_out_aiff, lay_out_au, lay_out_caf
from l3ac_jax.audio.containers.flac import lay_out_flac
from l3ac_jax.audio.containers.layout import Layout, Part
from l3ac_jax.audio.containers.mat4 import lay_out_mat4
from l3ac_jax.audio.containers.mpeg import lay_out_mpeg
from l3ac_jax.audio.containers.mpeg_frames import parse_frame, tag_size
from l3ac_jax.audio.containers.ogg import lay_out_ogg
from l3ac_jax.audio.containers.riff import lay_out_riff, lay_out_w64
from l3ac_jax.audio.containers.sds import lay_out_sds
from l3ac_jax.audio.containers.window import Window

__all__ = ["lay_out", "lay_out_headless"]

MAGIC = {
    b"RIFF": lay_out_riff,
    b"RIFX": lay_out_riff,
    b"RF64": lay_out_riff,
    b"riff": lay_out_w64,
    b"FORM": lay_out_aiff,
    b"caff": lay_out_caf,
    b".snd": lay_out_au,
    b"dns.": lay_out_au,
    b"OggS": lay_out_ogg,
    b"fLaC": lay_out_flac,
    b"\xf0\x7e\x00\x01": lay_out_sds,
    b"\0\0\0\0": lay_out_mat4,
    b"\0\0\x03\xe8": lay_out_mat4,
}


def lay_out(source: BinaryIO) -> Layout:
    """The layout of a file. What nobody here knows is left to libsndfile as it is."""
    end = source.seek(0, os.SEEK_END)
    window = Window(source, 0, end)
    start = 0
    while (size := tag_size(window.at(start, 10))) and start + size < end:
        start += size
    layout = None
    if (look := MAGIC.get(window.at(start, 4))) is not None:
        layout = look(source, start, end)
    elif parse_frame(window.at(start, 4)) is not None:
        layout = lay_out_mpeg(source, 0, end)
    return layout or Layout([Part([(0, end)])])


def lay_out_headless(source: BinaryIO) -> Layout | None:
    """The layout of a file of which the beginning is not what it should be, None for no audio."""
    end = source.seek(0, os.SEEK_END)
    return lay_out_mpeg(source, 0, end) or lay_out_ogg(source, 0, end)
