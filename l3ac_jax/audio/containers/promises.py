"""How long older formats say they are: libsndfile takes what there is, and its log says so."""

from __future__ import annotations

import re

__all__ = ["promised_samples"]

# Of the formats that say it in samples: libsndfile's log repeats the header.
SAMPLES = {
    "AVR": re.compile(r"Frames +: (\d+)"),
    "MPC2K": re.compile(r"Frames +: (\d+)"),
    "MAT5": re.compile(r"Cols +: (\d+)"),
}
# Of those that say it in bytes: what the header has, and what it should have.
BYTES = re.compile(r"(?:BODY : |Data length )(\d+) \(?should be (\d+)")
VOC_BLOCK = re.compile(r"(?:Sound Data|Extended II) : (\d+)")
LENGTH = re.compile(r"Length : (\d+)")
NIST_COUNT = re.compile(rb"sample_count -i (\d+)")


def promised_samples(format: str, log: str, head: bytes, frames: int) -> int | None:
    """Samples a channel by the header; None where it says nothing or what there is.

    `log` is soundfile's extra_info, `head` how the file begins, `frames` what libsndfile expects.
    """
    if format == "NIST" and (count := NIST_COUNT.search(head)):
        return int(count[1])
    if format in SAMPLES and (counts := SAMPLES[format].findall(log)):
        return int(counts[-1])
    if format == "VOC" and "truncated" in log:
        block, length = VOC_BLOCK.search(log), LENGTH.search(log)
        if block and length:
            return round(frames * int(block[1]) / max(1, int(length[1])))
    if found := BYTES.search(log):
        said, is_there = sorted(int(number) for number in found.groups())[::-1]
        return round(frames * said / max(1, is_there))
    return None
