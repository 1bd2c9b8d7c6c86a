r"""Write a model to share it: as one file, as a folder with a card, or for other software.

    python experiments/export.py runs/mine mine.safetensors
    l3ac-jax reconstruct IN OUT --model mine.safetensors

    python experiments/export.py runs/mine mine --card --evaluation runs/evaluation \
        --about about.md --licence mit --push OWNER/NAME
    l3ac-jax reconstruct IN OUT --model hf://OWNER/NAME

MODEL is a training run (its best checkpoint), a model folder or a name. The file holds the
network's configuration and its parameters, and none of the training's state. Parameters are written
in half precision, and what that costs is measured and said.

With --card, OUT is a folder: model.safetensors, config.toml, README.md (the card, as the hub shows
it), and evaluation.json where an evaluation is given (of `evaluate.py MODEL ...`).

    python experiments/export.py stream stream_onnx --format onnx

With --format stablehlo or onnx, OUT is a folder of programs that need none of this package:
encoder, decoder, and the steps of what streams exactly (docs/exports.md).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from l3ac_jax.cli.run import run_command
from l3ac_jax.config import (
    NAMED,
    ExperimentConfig,
    dump_config,
    load_config,
    named_config,
    without_places,
)
from l3ac_jax.errors import ArgumentError
from l3ac_jax.evaluation.report import Report, read_report
from l3ac_jax.model.params import parameter_count
from l3ac_jax.weights.repositories import MODEL_FILE, PREFIX, check_repository

if TYPE_CHECKING:
    from l3ac_jax.exports.writing import ExportFormat

PROGRAM = "export.py"
CARD, CONFIG, FIGURES = "README.md", "config.toml", "evaluation.json"
BLOCK = 4  # tokens of a step
FILES = frozenset({MODEL_FILE, CARD, CONFIG, FIGURES})


@dataclass(frozen=True)
class Options:
    """What to write, and where."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Training run, model folder or name."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The file, NAME.safetensors; with --card or another --format, the folder."""
    format: Literal["safetensors", "stablehlo", "onnx"] = "safetensors"
    """Parameters, or programs with their parameters in float32."""
    block: Annotated[int | None, tyro.conf.arg(metavar="TOKENS")] = None
    """Of programs: how many tokens a step of a stream takes; 4 unless given."""
    precision: Literal["float16", "float32"] = "float16"
    """Of the parameters in the file; computing is in float32 either way."""
    overwrite: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace an existing file, or a folder that holds nothing but what this writes."""
    card: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write a folder with a model card."""
    title: str | None = None
    """Of the card; unless given, the folder's name."""
    about: Annotated[Path | None, tyro.conf.arg(metavar="FILE.md")] = None
    """Markdown for the card: what the model is for, what it learned from, what it can't do."""
    licence: str | None = None
    """Of the weights, as the hub calls it (mit, cc-by-4.0...)."""
    evaluation: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Figures for the card: the folder that evaluate.py wrote."""
    push: Annotated[str | None, tyro.conf.arg(metavar="OWNER/NAME")] = None
    """Put the folder into this repository of the hub, made where it is new."""
    private: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """A new repository is not for everyone."""


def export(options: Options) -> None:
    """Write the file or the folder."""
    _check(options)
    if options.format != "safetensors":
        _export_programs(options, options.format)
    elif options.card:
        _export_folder(options)
    else:
        _export_file(options, options.out)


def _check(options: Options) -> None:
    """What can be wrong, before anything takes long."""
    from l3ac_jax.system.folders import check_target
    from l3ac_jax.weights.file import check_model_file

    if options.push is not None:
        check_repository(options.push)
    elif options.private:
        raise ArgumentError("--private is for the repository that --push makes: give OWNER/NAME")
    if options.format != "safetensors":
        _check_programs(options)
        return
    if options.block is not None:
        raise ArgumentError("--block is for --format stablehlo and onnx: parameters have no steps")
    of_card = (options.title, options.about, options.licence, options.evaluation, options.push)
    if not options.card:
        if any(value is not None for value in of_card):
            raise ArgumentError(
                "--title, --about, --licence, --evaluation and --push need --card, which writes "
                "the folder that they are for"
            )
        check_model_file(options.out, options.overwrite)
        return
    check_target(options.out, options.overwrite, FILES)
    if options.about is not None and not options.about.is_file():
        raise ArgumentError(f"{options.about}: no such file")


def _check_programs(options: Options) -> None:
    from l3ac_jax.exports.writing import FILES as PROGRAMS
    from l3ac_jax.exports.writing import check_packages
    from l3ac_jax.system.folders import check_target

    if options.card or options.push is not None:
        raise ArgumentError("--card and --push are for parameters: leave --format away")
    if options.precision != "float16":
        raise ArgumentError("--precision is for parameters: those of programs are in float32")
    check_packages(options.format)  # pyright: ignore[reportArgumentType]
    check_target(options.out, options.overwrite, PROGRAMS)


def _export_programs(options: Options, format: ExportFormat) -> None:
    import l3ac_jax
    from l3ac_jax.exports.writing import FILES as PROGRAMS
    from l3ac_jax.exports.writing import write_programs
    from l3ac_jax.system.folders import complete_folder

    codec = l3ac_jax.get_model(options.model)
    block = BLOCK if options.block is None else options.block
    with complete_folder(options.out, options.overwrite, PROGRAMS) as folder:
        for line in write_programs(codec, folder, format, block):
            print(line)
    print(f"{options.out}: {', '.join(sorted(path.name for path in options.out.iterdir()))}")


def _export_file(options: Options, path: Path) -> str:
    """Write it, tell what it costs, and say the latter."""
    from l3ac_jax.evaluation.rounding import rounding_cost
    from l3ac_jax.weights.file import save_model_file
    from l3ac_jax.weights.sources import load_params

    config, params = load_params(options.model)
    save_model_file(path, config, params, options.precision, options.overwrite)
    shown = path if path == options.out else options.out / path.name
    cost = "in float32"
    if options.precision == "float16":
        cost = f"in half precision ({rounding_cost(config, params)})"
    print(f"{shown}: {path.stat().st_size / 1e6:.1f} MB, {cost}")
    return cost


def _export_folder(options: Options) -> None:
    from l3ac_jax.evaluation.model_card import Card, model_card
    from l3ac_jax.system.folders import complete_folder
    from l3ac_jax.weights.repositories import push_folder

    report = None if options.evaluation is None else read_report(options.evaluation)
    experiment = without_places(_experiment(options.model))
    if report is not None:
        _check_report(report, experiment, options.evaluation)
    about = "" if options.about is None else options.about.read_text(encoding="utf-8")
    source = str(options.out) if options.push is None else f"{PREFIX}{options.push}"
    with complete_folder(options.out, options.overwrite, FILES) as folder:
        cost = _export_file(options, folder / MODEL_FILE)
        (folder / CONFIG).write_text(dump_config(experiment), encoding="utf-8")
        if report is not None:
            (folder / FIGURES).write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
        card = Card(
            options.title or options.out.resolve().name,
            source,
            experiment,
            (folder / MODEL_FILE).stat().st_size / 1e6,
            cost,
            report,
            about,
            options.licence,
        )
        (folder / CARD).write_text(model_card(card), encoding="utf-8")
    print(f"{options.out}: {', '.join(sorted(path.name for path in options.out.iterdir()))}")
    if options.push is not None:
        print(push_folder(options.out, options.push, options.private))


def _check_report(report: Report, experiment: ExperimentConfig, path: Path | None) -> None:
    """Figures of other models alone would be taken for this one's."""
    levels = experiment.model.quantizer.levels
    if not any(
        codec.levels == levels and codec.parameters == parameter_count(experiment.model)
        for codec in report.codecs
    ):
        names = ", ".join(codec.name for codec in report.codecs)
        raise ArgumentError(f"{path}: evaluates {names}, of which none is a model like this one")


def _experiment(model: str) -> ExperimentConfig:
    """The whole configuration of what `load_params` takes, as far as it is known."""
    from l3ac_jax.weights.folder import CONFIG_FILE
    from l3ac_jax.weights.sources import load_params

    if model in NAMED:
        return named_config(model)
    if (path := Path(model) / CONFIG_FILE).is_file():
        return load_config(path)
    return ExperimentConfig(model=load_params(model)[0])


def main(argv: list[str] | None = None) -> int:
    """Returns 0, 2 for mistakes, 130 when interrupted."""
    return run_command(
        PROGRAM, lambda: export(tyro.cli(Options, prog=PROGRAM, description=__doc__, args=argv))
    )


if __name__ == "__main__":
    sys.exit(main())
