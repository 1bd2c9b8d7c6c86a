"""The display of training: true figures on a terminal, few and plain lines elsewhere."""

import io
import re

import pytest
from rich.console import Console

from l3ac_jax.training.progress import TrainingProgress

VALUES = {"loss": 12.3456, "learning_rate": 5e-4, "stft": 1.0}


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when the test says so."""

    class Clock:
        now = 1000.0

        def __call__(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr("l3ac_jax.training.progress.monotonic", clock)
    return clock


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, force_interactive=True, width=80)


def lines(console: Console) -> list[str]:
    """What was written, without the codes that move the cursor and choose colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", text)
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def take_steps(progress, clock, first, last, seconds, values=VALUES):
    for step in range(first, last + 1):
        clock.now += seconds
        progress.update(step, values)


def test_speed_and_time_left_are_of_steps_that_do_not_compile(clock):
    console = plain()
    with TrainingProgress(1000, 100, 12.0, console) as progress:
        take_steps(progress, clock, 101, 101, 60)
        take_steps(progress, clock, 102, 109, 0.5)
        take_steps(progress, clock, 110, 110, 45)  # one of another kind
        take_steps(progress, clock, 111, 120, 0.5)
    assert lines(console) == [
        "step 101/1000  loss 12.35  learning rate 5.0e-04",
        "step 110/1000  0:07:25 left  2.00 steps/s  24 s of audio/s  loss 12.35"
        "  learning rate 5.0e-04",
        "step 120/1000  0:07:20 left  2.00 steps/s  24 s of audio/s  loss 12.35"
        "  learning rate 5.0e-04",
    ]


def test_speed_is_of_the_last_steps(clock):
    console = plain()
    with TrainingProgress(1000, 0, 12.0, console) as progress:
        take_steps(progress, clock, 1, 50, 1.0)
        take_steps(progress, clock, 51, 70, 3.0)
    assert "3.00 s/step  4 s of audio/s" in lines(console)[-1]


def test_steps_that_are_reported_together_count_each(clock):
    console = plain()
    with TrainingProgress(30, 0, 12.0, console) as progress:
        for step in (10, 20, 30):
            clock.now += 5
            progress.update(step, VALUES)
    assert "2.00 steps/s" in lines(console)[-1]


def test_pauses_do_not_count(clock):
    console = plain()
    with TrainingProgress(6, 0, 12.0, console) as progress:
        take_steps(progress, clock, 1, 3, 0.25)
        for seconds in (0.5, 1.0):  # so short that it could be a step
            with progress.pause():
                clock.now += seconds
        take_steps(progress, clock, 4, 6, 0.25)
    assert lines(console)[-1].startswith("step 6/6  0:00:00 left  4.00 steps/s")


def test_elsewhere_there_is_a_line_each_half_minute_and_one_at_either_end(clock):
    console = plain()
    with TrainingProgress(40, 0, 12.0, console) as progress:
        take_steps(progress, clock, 1, 40, 2.0)
    shown = [line.split()[1] for line in lines(console)]
    assert shown == ["1/40", "16/40", "31/40", "40/40"]
    assert re.fullmatch(r"[ -~\n]*", console.file.getvalue())


def test_a_run_that_ends_early_says_where_it_got_to(clock):
    console = plain()
    with TrainingProgress(40, 0, 12.0, console) as progress:
        take_steps(progress, clock, 1, 7, 2.0)
    assert [line.split()[1] for line in lines(console)] == ["1/40", "7/40"]


def test_a_terminal_shows_where_training_is(clock):
    console = terminal()
    with TrainingProgress(262_500, 129_980, 162.0, console) as progress:
        take_steps(progress, clock, 129_981, 130_000, 1.6)
        with progress.pause("evaluation"):
            clock.now += 500
    shown = lines(console)
    assert "evaluation" in shown
    assert re.fullmatch(r"step 130000/262500 [━╸]{24}  50% 2 days, 10:53:20 left", shown[-2])
    assert shown[-1] == "1.60 s/step  101 s of audio/s  loss 12.35  learning rate 5.0e-04"


def test_a_terminal_shows_what_is_compiled_and_for_how_long(clock):
    console = terminal()
    with TrainingProgress(40, 0, 12.0, console) as progress:
        progress.compiling("train_generator", clock.now)
        clock.now += 75.4
        progress._display.refresh()
        shown = lines(console)
        progress.compiled("train_generator", 80.2)
        take_steps(progress, clock, 1, 3, 2.0)
    assert shown[-1] == "compiling train_generator, 0:01:15"
    after = lines(console)[len(shown) :]
    assert "compiled train_generator in 0:01:20" in after
    assert not any(line.startswith("compiling") for line in after)


def test_elsewhere_and_before_the_display_there_is_a_line_when_it_begins_and_when_it_ends(clock):
    for console in (plain(), terminal()):
        progress = TrainingProgress(40, 0, 12.0, console)
        progress.compiling("init", clock.now)
        progress.compiled("init", 5.0)
        assert lines(console) == ["compiling init", "compiled init in 0:00:05"]


@pytest.mark.parametrize("make", [plain, terminal])
def test_a_note_stands_above_as_it_is(clock, make):
    console = make()
    note = "checkpoint [bold]5[/bold] written: " + 8 * "a long line, "
    with TrainingProgress(40, 0, 12.0, console) as progress:
        take_steps(progress, clock, 1, 3, 2.0)
        progress.note(note)
        take_steps(progress, clock, 4, 40, 2.0)
    shown = lines(console)
    assert shown.count(note.rstrip()) == 1
    assert shown[-1].startswith("step 40/40" if make is plain else "2.00 s/step")


def test_a_loss_that_is_not_finite_is_shown(clock):
    console = plain()
    with TrainingProgress(40, 0, 12.0, console) as progress:
        progress.update(1, {"loss": float("nan")})
    assert lines(console) == ["step 1/40  loss nan"]


def test_a_file_gets_no_bar_though_colours_are_forced(clock, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with TrainingProgress(2, 0, 12.0) as progress:
        take_steps(progress, clock, 1, 2, 2.0)
    out, errors = capsys.readouterr()
    assert out == ""
    assert [line.split()[1] for line in errors.splitlines()] == ["1/2", "2/2"]
    assert "\x1b" not in errors
