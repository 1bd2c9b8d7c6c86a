"""A model card: what a model is, what it costs, what it was measured to do, how to use it.

Markdown with the block of metadata that the hub reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from l3ac_jax.config import ExperimentConfig
from l3ac_jax.evaluation.comparison import formula_gmac_per_second
from l3ac_jax.evaluation.report import ALL, METRICS, Interval, Report
from l3ac_jax.model.network import Network
from l3ac_jax.model.params import parameter_count

__all__ = ["Card", "model_card"]

_METADATA = """\
---
library_name: l3ac-jax
pipeline_tag: audio-to-audio
tags: [audio, neural-audio-codec, tokenizer, l3ac, jax]
{licence}---
"""
_CITED = "[L3AC](https://arxiv.org/abs/2504.04949)"


@dataclass(frozen=True)
class Card:
    """What a card is made of; `source` is what `get_model` takes."""

    title: str
    source: str
    experiment: ExperimentConfig
    megabytes: float
    precision: str
    """of the parameters in the file, and, if it was measured, what that costs"""
    report: Report | None = None
    about: str = ""
    """Markdown: what it is for, what it learned from, what it is not good at"""
    licence: str | None = None
    """an identifier of the hub's, as "mit" """


def model_card(card: Card) -> str:
    """The text. Figures are those of the report, all codecs of it side by side."""
    parts = [
        _METADATA.format(licence=f"license: {card.licence}\n" if card.licence else ""),
        f"# {card.title}\n\n{_sentence(card.experiment)}\n",
        card.about.strip() + "\n" if card.about.strip() else "",
        _facts(card),
        _use(card),
        _figures(card.report) if card.report else "",
        _training(card.experiment),
    ]
    return "\n".join(part for part in parts if part)


def _sentence(experiment: ExperimentConfig) -> str:
    model = experiment.model
    return (
        f"A neural audio codec, {_CITED} in JAX: {model.sample_rate / 1000:g} kHz mono audio in, "
        f"one stream of tokens out, and back, at {model.bitrate:.0f} bit/s."
    )


def _facts(card: Card) -> str:
    model = card.experiment.model
    network = Network(model).bind({})
    millions = parameter_count(model) / 1e6
    levels = " · ".join(map(str, model.quantizer.levels))
    after_token = 1000 * float(network.encoder_look_ahead) / model.sample_rate
    after_decoding = 1000 * float(network.decoder_look_ahead) / model.sample_rate
    whole = ", and the whole clip for its norms" if model.decoder.norm_statistics == "clip" else ""
    rows = {
        "tokens a second": f"{model.frame_rate:.2f}",
        "codebook": f"{model.codebook_size:,} = {levels}",
        "parameters": f"{millions:.1f} million; {card.megabytes:.1f} MB, {card.precision}",
        "arithmetic": f"{formula_gmac_per_second(model):.2f} GMAC for a second of audio",
        "a token looks ahead": f"{after_token:.1f} ms after its hop of "
        f"{1000 * model.hop_length / model.sample_rate:.1f} ms",
        "a decoded sample needs": f"tokens up to {after_decoding:.1f} ms after it{whole}",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {key} | {text} |\n" for key, text in rows.items())


def _use(card: Card) -> str:
    return (
        "```python\n"
        "import l3ac_jax\n\n"
        f'codec = l3ac_jax.get_model("{card.source}")\n'
        "tokens = codec.encode(audio)    # float32 (batch, samples) -> int32 (batch, tokens)\n"
        "audio = codec.decode(tokens)\n"
        "```\n\n"
        f"or `l3ac-jax reconstruct IN OUT --model {card.source}`.\n"
    )


def _figures(report: Report) -> str:
    """A table for each domain, or one for all clips where there is but one."""
    domains = [part.domain for part in report.summaries if part.domain != ALL]
    tables = [_table(report, domain) for domain in dict.fromkeys(domains)] or [_table(report, ALL)]
    heading = "## Figures\n\nMeans and half of their 95 % confidence intervals.\n\n"
    return heading + "\n".join(tables)


def _table(report: Report, domain: str) -> str:
    parts = [part for part in report.summaries if part.domain == domain]
    lines = [_row([domain, *(part.codec for part in parts)]), "|" + "---|" * (len(parts) + 1)]
    lines.append(_row(["bit/s", *(f"{report.codec(part.codec).bitrate:.0f}" for part in parts)]))
    for name, metric in METRICS.items():
        if any(name in part.scores for part in parts):
            title = f"{metric.title} ({metric.unit})" if metric.unit else metric.title
            lines.append(_row([title, *(_cell(name, part.scores.get(name)) for part in parts)]))
    clips, seconds = parts[0].clips, parts[0].seconds
    return "\n".join([*lines, "", f"{clips} clips, {seconds:.0f} s.", ""])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(name: str, interval: Interval | None) -> str:
    if interval is None:
        return ""
    decimals = METRICS[name].decimals
    half = (interval.high - interval.low) / 2
    return f"{interval.mean:.{decimals}f} ± {half:.{decimals}f}"


def _training(experiment: ExperimentConfig) -> str:
    if experiment.training is None:
        return "## Configuration\n\n`config.toml` is that of the network.\n"
    steps = experiment.stages[-1].end if experiment.data else None
    count = f", {steps:,} steps" if steps else ""
    return (
        f"## Training\n\n`config.toml` has all of it{count}: "
        "`python experiments/train.py config.toml --run-dir RUN`.\n"
    )
