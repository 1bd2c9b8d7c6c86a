"""Which files of a folder are audio: by the ending of their names, since opening all takes long."""

from __future__ import annotations

from collections import Counter

from l3ac_jax.system.trees import in_words

__all__ = ["AUDIO_ENDINGS", "left_alone"]

# What libsndfile reads, by the usual endings. Not .mat: MATLAB's files seldom hold audio. Nor what
# has no header (.raw, .vox, .gsm), or a name of its own (SD2).
AUDIO_ENDINGS = frozenset(
    [
        ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3",
        ".mp2", ".mp1", ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".sph",
        ".nist", ".voc", ".iff", ".svx", ".8svx", ".16svx", ".sf", ".ircam", ".paf", ".fap",
        ".pvf", ".avr", ".sds", ".wve", ".htk", ".xi",
    ]
)  # fmt: skip

# What it does not read, and ffmpeg does.
CONVERTIBLE = frozenset(
    [
        ".m4a", ".m4b", ".m4r", ".aac", ".mp4", ".m4v", ".mov", ".3gp", ".webm", ".weba",
        ".mkv", ".mka", ".wma", ".asf", ".wmv", ".amr", ".ac3", ".eac3", ".dts", ".ape", ".wv",
        ".mpc", ".tta", ".ra", ".rm", ".avi", ".flv", ".mpeg", ".mpg",
    ]
)  # fmt: skip


def left_alone(others: Counter[str]) -> list[str]:
    """What to tell of a folder's files with these endings, which are not read: some lines."""
    lines = [f"left alone: {in_words(others)}"] if others else []
    media = sorted(ending for ending in others if ending in CONVERTIBLE)
    if media:
        lines.append(
            f"{', '.join(media)}: cannot be read, but converted: ffmpeg -i NAME{media[0]} NAME.flac"
        )
    return lines
