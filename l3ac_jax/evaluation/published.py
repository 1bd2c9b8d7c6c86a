"""Published figures of codecs, from published_codecs.toml: each with its source and test set."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal, NamedTuple

__all__ = ["PublishedPoint", "published_gmac_per_second", "published_points"]

DATA_FILE = "published_codecs.toml"
# The sources count the multiply-accumulates of this much audio.
SECONDS = 10


class PublishedPoint(NamedTuple):
    """One codec at one rate, as published."""

    codec: str
    bitrate: float
    """bit/s"""
    tokens_per_second: float | None
    """Of all quantizers."""
    latency_ms: float | None
    """Infinite where the whole clip matters; None where it is not known."""
    pesq: float | None
    stoi: float | None
    gmac_per_second: float | None
    """As published: thousands of millions of multiply-accumulates for a second of audio."""
    quantizers: Literal["one", "several"] | None
    """Tokens a frame; None where the source does not say."""
    test_set: str
    source: str
    config: str | None
    """The configuration of this package that it is, if it is one."""


@cache
def published_points() -> tuple[PublishedPoint, ...]:
    """All published figures, codec by codec."""
    tables = tomllib.loads((files("l3ac_jax.evaluation") / DATA_FILE).read_text("utf-8"))
    return tuple(
        PublishedPoint(
            codec=codec["name"],
            bitrate=point["bitrate"],
            tokens_per_second=point["bitrate"] / codec["token_bits"]
            if "token_bits" in codec
            else None,
            latency_ms=codec.get("latency_ms"),
            pesq=point.get("pesq"),
            stoi=point.get("stoi"),
            gmac_per_second=point["gmac_10s"] / SECONDS if "gmac_10s" in point else None,
            quantizers=codec.get("quantizers"),
            test_set=source["test_set"],
            source=f"{source['title']} ({source['where']})",
            config=point.get("config"),
        )
        for codec in tables["codecs"]
        for source in [tables["sources"][codec["source"]]]
        for point in codec["points"]
    )


def published_gmac_per_second(config_name: str) -> float | None:
    """What was published for one of this package's configurations, in GMAC a second of audio."""
    found = (p.gmac_per_second for p in published_points() if p.config == config_name)
    return next(found, None)
