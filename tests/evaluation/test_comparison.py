"""Measured and published codecs side by side, and never mistaken for each other."""

import csv
import math

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba

from l3ac_jax.codec.pretrained import get_model
from l3ac_jax.codec.streaming.loopback import Loopback
from l3ac_jax.config import PUBLISHED, published_config
from l3ac_jax.errors import ComparisonError, OutputError, ReportError
from l3ac_jax.evaluation.comparison import (
    formula_gmac_per_second,
    measured_rows,
    published_rows,
    write_rows,
)
from l3ac_jax.evaluation.comparison_figure import AREA, MEASURED, draw_comparison
from l3ac_jax.evaluation.report import Codec, Interval, Report, Summary, write_report
from l3ac_jax.plots.figures import figure_image
from tests.small_configs import SMALL_CONFIGS

DOMAIN = "speech"


def l3ac(name, config) -> Codec:
    return Codec(
        name=name,
        kind="l3ac",
        bitrate=config.bitrate,
        sample_rate=config.sample_rate,
        frame_rate=config.frame_rate,
        token_rate=config.frame_rate,
        codebook_size=config.codebook_size,
    )


def opus(bitrate) -> Codec:
    return Codec(name=f"opus {bitrate}", kind="opus", bitrate=bitrate, sample_rate=16000)


@pytest.fixture
def evaluate(tmp_path):
    """Writes an evaluation with these codecs, whose scores are made up; returns its folder."""

    def evaluate(*codecs, name="eval", domain=DOMAIN):
        summaries = [
            Summary(
                codec=codec.name,
                domain=domain,
                clips=3,
                seconds=9,
                scores={
                    "pesq": Interval(mean=2.0, low=1.5, high=2.25, clips=3),
                    "stoi": Interval(mean=0.75, low=0.5, high=1, clips=3),
                    "wer": Interval(mean=5, low=4, high=6, clips=3),
                },
            )
            for codec in codecs
        ]
        folder = tmp_path / name
        folder.mkdir()
        report = Report(data="clips", seed=0, codecs=codecs, clips=(), summaries=tuple(summaries))
        write_report(folder, report)
        return folder

    return evaluate


def test_measured_codecs_have_their_scores_and_the_complexity_of_their_network(
    evaluate, model_folder
):
    small = SMALL_CONFIGS["baseline"]
    folder = evaluate(
        l3ac("3kbps", published_config("3kbps").model), l3ac(str(model_folder), small)
    )
    first, second = sorted(measured_rows([folder], DOMAIN), key=lambda row: row.point != "3kbps")
    assert (first.codec, first.point, first.quantizers) == ("L3AC", "3kbps", "one")
    assert first.gmac == pytest.approx(3.640, abs=1e-3)  # what complexity.py counts
    assert first.scores["pesq"] == Interval(mean=2.0, low=1.5, high=2.25, clips=3)
    assert set(first.scores) == {"pesq", "stoi"}
    assert second.gmac == formula_gmac_per_second(small)
    assert second.bitrate == small.bitrate
    assert all(row.measured and row.test_set == "clips, speech" for row in (first, second))
    assert measured_rows([folder / "evaluation.json"], DOMAIN)[0].scores == first.scores


def test_complexity_is_unknown_where_the_network_is(evaluate, model_folder):
    codec = l3ac(str(model_folder), SMALL_CONFIGS["baseline"])
    folder = evaluate(
        opus(6000),
        codec.model_copy(update={"name": "no/such/model"}),
        codec.model_copy(update={"codebook_size": 7}),  # another model is in the folder now
    )
    assert [row.gmac for row in measured_rows([folder], DOMAIN)] == [None] * 3


def test_a_row_says_how_many_tokens_there_are_and_what_they_wait_for(evaluate):
    published = published_config("3kbps").model
    bundled = get_model("stream")
    folder = evaluate(
        l3ac("3kbps", published),
        l3ac("stream", bundled.config),
        opus(6000).model_copy(update={"kind": "encodec", "token_rate": 600.0}),
    )
    rows = {row.point: row for row in measured_rows([folder], DOMAIN)}
    whole, stream, other = rows["3kbps"], rows["stream"], rows["opus 6000"]
    assert (whole.tokens, whole.latency_ms) == (published.frame_rate, math.inf)
    # What a stream really waits for.
    assert stream.latency_ms == 1000 * Loopback(bundled).latency / 16000
    assert (other.tokens, other.latency_ms) == (600, None)
    for row in published_rows():
        if row.codec in ("DAC", "EnCodec"):  # 1,024 codes each
            assert row.tokens == row.bitrate / 10


def test_noise_is_no_codec_to_compare(evaluate):
    noise = Codec(name="Noise at -20 dB", kind="noise", bitrate=384000, sample_rate=24000)
    assert [row.codec for row in measured_rows([evaluate(opus(6000), noise)], DOMAIN)] == ["Opus"]


def test_one_name_in_two_evaluations_is_told_apart(evaluate):
    one, two = evaluate(opus(6000), opus(9000), name="one"), evaluate(opus(6000), name="two")
    points = [row.point for row in measured_rows([one, two], DOMAIN)]
    assert sorted(points) == [f"opus 6000 in {one}", f"opus 6000 in {two}", "opus 9000"]


def test_what_is_no_evaluation_or_lacks_the_domain_is_named(evaluate, tmp_path):
    folder = evaluate(opus(6000), domain="music")
    with pytest.raises(ComparisonError, match=r"eval: has no domain 'speech'; there are music"):
        measured_rows([folder], DOMAIN)
    with pytest.raises(ReportError, match=r"missing/evaluation\.json|missing: cannot be read"):
        measured_rows([tmp_path / "missing"], DOMAIN)


def test_published_rows_say_where_they_are_from():
    rows = published_rows()
    assert not any(row.measured for row in rows)
    assert all("arXiv 2504.04949" in row.source for row in rows)
    assert {row.test_set for row in rows} == {"Codec-SUPERB speech"}
    assert {row.quantizers for row in rows} == {"one", "several", None}
    bounds = {"pesq": (1, 4.64), "stoi": (0, 1)}
    for row in rows:
        for metric, (low, high) in bounds.items():
            assert low < row.scores[metric].mean < high
        assert 300 < row.bitrate < 3100
    assert len({(row.codec, row.bitrate) for row in rows}) == len(rows)


def test_published_rows_of_l3ac_have_both_complexities():
    rows = [row for row in published_rows() if row.codec == "L3AC"]
    scores = [(row.scores["pesq"].mean, row.scores["stoi"].mean) for row in rows]
    # As in the design.
    assert scores == [(1.68, 0.82), (1.77, 0.84), (1.91, 0.86), (2.31, 0.90)]
    for name, row in zip(PUBLISHED, rows, strict=True):
        assert row.bitrate == pytest.approx(published_config(name).model.bitrate, rel=0.01)
        assert row.gmac == formula_gmac_per_second(published_config(name).model)
        assert 17 < row.gmac / row.gmac_published < 24
    others = [row for row in published_rows() if row.codec != "L3AC"]
    assert all(row.gmac == row.gmac_published for row in others)


def test_the_csv_file_has_every_row(evaluate, tmp_path):
    rows = measured_rows([evaluate(opus(6000))], DOMAIN) + published_rows()
    write_rows(tmp_path / "rows.csv", rows)
    with (tmp_path / "rows.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == len(rows)
    assert read[0] | {"source": ""} == {
        "scores": "measured", "codec": "Opus", "model": "opus 6000", "bits_per_second": "6000.0",
        "tokens_per_second": "", "latency_ms": "",
        **dict.fromkeys(
            (f"{score}{end}" for score in ("visqol", "mel") for end in ("", "_low", "_high")), ""
        ),
        "pesq": "2.0", "pesq_low": "1.5", "pesq_high": "2.25",
        "stoi": "0.75", "stoi_low": "0.5", "stoi_high": "1.0", "clips": "3",
        "gmac_per_second": "", "gmac_per_second_published": "", "quantizers": "",
        "test_set": "clips, speech", "source": "",
    }  # fmt: skip
    assert {row["scores"] for row in read[1:]} == {"published"}
    with pytest.raises(OutputError, match="already exists"):
        write_rows(tmp_path / "rows.csv", rows)


def test_bubbles_show_what_is_measured_and_how_much_is_computed(evaluate):
    folder = evaluate(l3ac("3kbps", published_config("3kbps").model), opus(6000))
    measured, published = measured_rows([folder], DOMAIN), published_rows()
    figure = draw_comparison(measured + published, ["pesq", "stoi"])
    assert len(figure.axes) == 2
    assert figure.axes[0].get_ylabel() == "PESQ-WB (MOS), higher is better"
    assert figure.axes[0].get_xlabel() == "rate (bit/s)"
    bubbles = {
        tuple(bubble.get_offsets()[0]): bubble
        for bubble in figure.axes[0].collections
        if isinstance(bubble, PathCollection) and len(bubble.get_offsets())
    }
    for row in measured + published:
        bubble = bubbles[row.bitrate, row.scores["pesq"].mean]
        if row.gmac is not None:
            assert bubble.get_sizes() == pytest.approx(AREA * row.gmac)
        filled = row.measured and row.gmac is not None
        assert filled == (
            len(bubble.get_facecolor()) > 0
            and tuple(bubble.get_facecolor()[0]) == to_rgba(MEASURED["facecolor"])
        )
        broken = bubble.get_linestyle()[0][1] is not None
        assert broken == (not row.measured)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[0] == "measured here: clips, speech"
    assert words[1] == "published, one quantizer: Codec-SUPERB speech"
    assert "complexity not known" in words


def test_figures_are_drawn_of_published_rows_alone():
    figure = draw_comparison(published_rows(), ["stoi"])
    assert figure.axes[0].get_ylabel() == "STOI, higher is better"
    names = {text.get_text() for text in figure.axes[0].texts}
    np.testing.assert_array_equal(
        figure_image(figure), figure_image(draw_comparison(published_rows(), ["stoi"]))
    )
    assert names == {"DAC", "EnCodec", "WavTokenizer", "TAAE", "UniCodec", "L3AC"}
