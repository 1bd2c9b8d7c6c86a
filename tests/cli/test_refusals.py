"""What the system refuses, for real: full disks, closed streams, names, folders; one line each."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from l3ac_jax.cli.main import main

ROOT = Path(__file__).parents[2]
L3AC = f"{sys.executable} -m l3ac_jax.cli"
CURVES = f"{sys.executable} experiments/curves.py"
LONG = "x" * 300  # names have at most 255 bytes
# Even root can make no files there.
READ_ONLY = "/proc/self/fdinfo"

pytestmark = pytest.mark.skipif(
    not (Path("/dev/full").exists() and Path("/proc/self").exists()), reason="needs Linux"
)


def shell(line: str, **environment: str) -> tuple[int, list[str]]:
    """Exit code, and the lines on standard error, of a line of bash."""
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=ROOT,
        # as a shell has it: with PYTHONUNBUFFERED, a failed write leaves nothing to be flushed
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("command", [f"{L3AC} models", f"{CURVES} --help"])
def test_a_full_standard_output_is_one_line(command):
    code, lines = shell(f"{command} > /dev/full")
    assert code == 2
    (line,) = lines
    assert line.endswith("error: standard output: No space left on device")


def test_a_closed_standard_output_is_one_line():
    code, lines = shell(f"{L3AC} models >&-")
    assert code == 2
    (line,) = lines
    assert line.endswith("error: standard output: Bad file descriptor")


def test_a_reader_that_has_gone_is_one_line():
    code, lines = shell(f"{L3AC} models | sleep 0; exit ${{PIPESTATUS[0]}}")
    assert code == 2
    (line,) = lines
    assert line.startswith("l3ac-jax: error: ") and line.endswith("Broken pipe")


@pytest.mark.parametrize("end", [">&-", "> /dev/full"])
def test_tokens_that_cannot_be_written_to_standard_output(end, model_folder, compiled, speech):
    command = f"{L3AC} encode {speech} - --model {model_folder}"
    code, lines = shell(f"{command} {end}", L3AC_JAX_CACHE=str(compiled))
    assert code == 2
    last = lines[-1]
    assert last.startswith("l3ac-jax: error: standard output: cannot be written: ")
    assert not any("Traceback" in line or "Exception" in line for line in lines)


def test_a_closed_standard_input_is_one_line(tmp_path):
    code, lines = shell(f"{L3AC} encode - {tmp_path}/out.l3ac <&-")
    assert code == 2
    (line,) = lines
    assert line.startswith("l3ac-jax: error: standard input: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["2>&-", "2> /dev/full"])
def test_without_standard_error_the_exit_code_still_tells_and_standard_output_is_clean(end):
    said = subprocess.run(
        ["bash", "-c", f"{L3AC} encode nowhere.wav out.l3ac {end}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert (said.returncode, said.stdout) == (2, b"")


def script(path: str):
    """The main function of a script."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # its options are a dataclass, which asks for the module's name
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run a command that must end with exit code 2, and give its one line of explanation."""
    monkeypatch.chdir(tmp_path)

    def run(command: str) -> str:
        program, *words = command.format(LONG=LONG, READ_ONLY=READ_ONLY, ROOT=ROOT).split()
        run_main = main if program == "l3ac-jax" else script(program)
        assert run_main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{Path(program).name}: error: ")
        return line

    yield run
    assert list(tmp_path.iterdir()) == []


SPEECH = "{ROOT}/tests/fixtures/librivox_sense_0870.wav"


@pytest.mark.parametrize(
    "command",
    [
        "l3ac-jax encode {LONG}.wav out.l3ac",
        f"l3ac-jax encode {SPEECH} {{LONG}}.l3ac",
        f"l3ac-jax reconstruct {SPEECH} {{LONG}}/out.wav",
        "l3ac-jax encode {ROOT}/tests/fixtures {LONG}",
        f"l3ac-jax reconstruct {SPEECH} out.wav --model {{LONG}}",
        "l3ac-jax decode {LONG}.l3ac out.wav",
        "l3ac-jax tokens {ROOT}/tests/fixtures {LONG}",
        "l3ac-jax demo --out {LONG}",
        "convert_torch_weights.py {LONG} out",
        "convert_torch_weights.py 3kbps {LONG}",
        "experiments/train.py {LONG}.toml --run-dir run",
        "experiments/prepare_data.py folder {LONG} out",
        "experiments/prepare_data.py folder {ROOT}/tests/fixtures {LONG}",
        "experiments/curves.py {LONG} --figure figure.png",
    ],
)
def test_names_that_are_too_long_are_one_line(command, refused):
    assert LONG in refused(command)


@pytest.mark.parametrize(
    "command",
    [
        "l3ac-jax tokens {ROOT}/tests/fixtures {READ_ONLY}/out",
        "l3ac-jax reconstruct {READ_ONLY} out",
        "experiments/prepare_data.py folder {ROOT}/tests/fixtures {READ_ONLY}/out",
    ],
)
def test_folders_that_cannot_be_written_or_hold_nothing_are_one_line(command, refused):
    assert READ_ONLY in refused(command)


def test_a_file_that_cannot_be_made_after_all_is_one_line(run, model_folder, speech, capsys):
    # The system says beforehand that root may write there.
    words = ["encode", speech, f"{READ_ONLY}/out.l3ac", "--model", model_folder]
    assert main([str(word) for word in words]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"l3ac-jax: error: {READ_ONLY}/out.l3ac: cannot be written: No such file or directory"
    )


@pytest.mark.parametrize("command", ["encode", "decode", "reconstruct"])
def test_a_disk_that_is_full_during_the_work_is_one_line(
    command, model_folder, compiled, speech, tmp_path, tmp_path_factory
):
    # What a file may not grow beyond is what the system refuses then, as with a full disk. It is
    # so for compiled programs too: those of the other tests are out of reach.
    own = str(tmp_path_factory.mktemp("programs"))
    ending = "l3ac" if command == "encode" else "wav"
    source = speech
    if command == "decode":
        source = tmp_path / "in.l3ac"
        encode = f"{L3AC} encode {speech} {source} --model {model_folder}"
        assert shell(encode, L3AC_JAX_CACHE=str(compiled))[0] == 0
    before = sorted(tmp_path.iterdir())
    line = f"ulimit -f 0; {L3AC} {command} {source} {tmp_path}/out.{ending} --model {model_folder}"
    code, lines = shell(line, JAX_COMPILATION_CACHE_DIR=own)
    assert code == 2
    assert lines[-1].startswith(f"l3ac-jax: error: {tmp_path}/out.{ending}: ")
    assert not any("Traceback" in line for line in lines)
    assert sorted(tmp_path.iterdir()) == before


def test_a_bug_ends_in_a_traceback():
    script = (
        "import sys, l3ac_jax.cli.main as main\n"
        "main.missing_weights = lambda name: int('a bug')\n"
        "sys.exit(main.main(['models']))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].startswith("ValueError: invalid literal")
