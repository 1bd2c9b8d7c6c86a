"""What a wheel must hold, and must do once it is installed without extras: see .ci/wheels."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

NAMES = ("base", "small", "stream", "music")
NEEDED = [
    *(f"l3ac_jax/weights/bundled/{name}.safetensors" for name in NAMES),
    *(f"l3ac_jax/configs/{name}.toml" for name in (*NAMES, "0k75bps", "1kbps", "1k5bps", "3kbps")),
    "l3ac_jax/assets/cmu_arctic_a0007.wav",
    "l3ac_jax/assets/LICENSE.cmu_arctic.txt",
    "l3ac_jax/assets/LICENSE.festvox-ru.txt",
    "l3ac_jax/assets/LICENSE.sonic-pi-samples.txt",
    "l3ac_jax/evaluation/pages/listening.html",
    "l3ac_jax/exports/page/index.html",
]
# What extras are for, and the extra that the message must name.
NEEDS_EXTRA = {
    "tokens": "l3ac_jax.open_tokens('.')",
}


def contents(paths: list[Path]) -> None:
    """The files in a wheel and in a source distribution."""
    for path in paths:
        if path.suffix == ".whl":
            names = zipfile.ZipFile(path).namelist()
            require([name for name in NEEDED if name not in names], f"{path.name} lacks")
            ours = ("l3ac_jax", "l3ac_jax-")
            require(
                [name for name in names if not PurePosixPath(name).parts[0].startswith(ours)],
                f"{path.name} has beside the package",
            )
            if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
                raise SystemExit(f"{path.name} lacks its licence")
            unwanted = [n for n in names if "test" in PurePosixPath(n).parts[1] or ".pyc" in n]
            require(unwanted, f"{path.name} should not have")
        else:
            with tarfile.open(path) as archive:
                names = [name.partition("/")[2] for name in archive.getnames()]
            needed = ["LICENSE", "README.md", "pyproject.toml", "configs/base.toml", *NEEDED[:3]]
            require([name for name in needed if name not in names], f"{path.name} lacks")
        print(f"        {path.name}: {len(names)} files, {path.stat().st_size / 1e6:.1f} MB")


def installed() -> None:
    """The commands, a demo clip to tokens and back, and what is said where an extra is missing."""
    import l3ac_jax

    package = Path(l3ac_jax.__file__).parent
    if Path(sys.prefix) not in package.parents:
        raise SystemExit(f"{package} is not the installed one")
    command = str(Path(sys.executable).parent / "l3ac-jax")
    clip = package / "assets" / "cmu_arctic_a0007.wav"
    said = output(command, "--version")
    if said.split() != ["l3ac-jax", l3ac_jax.__version__]:
        raise SystemExit(f"--version says {said!r}")
    listed = output(command, "models")
    require([name for name in NAMES if name not in listed], "l3ac-jax models does not list")
    output(command, "encode", str(clip), "clip.l3ac", "--model", "small")
    output(command, "decode", "clip.l3ac", "clip.wav")

    import numpy as np
    import soundfile

    before, after = soundfile.read(clip)[0], soundfile.read("clip.wav")[0]
    if before.shape != after.shape:
        raise SystemExit(f"{clip.name} has the shape {before.shape}, decoded {after.shape}")
    envelopes = [np.abs(audio[: len(audio) // 800 * 800].reshape(-1, 800)).mean(1)
                 for audio in (before, after)]  # fmt: skip
    likeness = np.corrcoef(*envelopes)[0, 1]
    if likeness < 0.9:
        raise SystemExit(f"the decoded clip is not the recording: envelopes correlate {likeness}")
    for extra, words in NEEDS_EXTRA.items():
        try:
            exec(f"import l3ac_jax; {words}", {})
        except ImportError as error:
            if f"pip install 'l3ac-jax[{extra}]'" not in str(error):
                raise SystemExit(f"{words} does not name the extra: {error}") from error
        else:
            raise SystemExit(f"{words} did without the extra {extra}")
    live = subprocess.run([command, "live"], capture_output=True, text=True, check=False)
    if live.returncode != 2 or "l3ac-jax[live]" not in live.stderr:
        raise SystemExit(f"l3ac-jax live said {live.stderr!r} and exited with {live.returncode}")


def output(*words: str) -> str:
    """What a command prints, which must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def require(problems: list[str], what: str) -> None:
    if problems:
        raise SystemExit(f"{what} {', '.join(problems[:5])}")


if __name__ == "__main__":
    if sys.argv[1] == "contents":
        contents([Path(word) for word in sys.argv[2:]])
    else:
        installed()
