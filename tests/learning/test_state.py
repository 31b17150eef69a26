"""Training that is interrupted, by whatever and wherever, ends in the same bits."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path

import pytest
import torch
from benchmarks.kills import COMPARED, Victim, draw_task, kill

from sotglp_core import SOTGLP, fit, load_backbone, preset
from sotglp_core.data.features import Features
from sotglp_core.learning.state import Stopped, read
from sotglp_core.storage import WriteError, load_tensors, save_tensors

STEPS = 9  # 11 images in batches of 4, 4 and 3, three times
CASES = {
    "prompt dropout": dict(name="sotglp"),
    "both dropouts": dict(name="gallop"),
    "projection": dict(name="sotglp-proj"),
    "entropy loss": dict(name="locoop"),
    "views": dict(name="sotglp", views=3),
    "fp16": dict(name="sotglp", precision="fp16"),
}


class Crash(Exception):
    """The process died, for all that training can tell."""


def blow(cause):
    if isinstance(cause, int):
        signal.raise_signal(cause)
    elif cause is not None:
        raise cause


def learn(
    backbone,
    names,
    train,
    state=None,
    at=None,
    cause=signal.SIGINT,
    on_epoch=None,
    name="sotglp",
    precision="fp32",
    **changes,
):
    """A model and its history; ``cause`` comes in step ``at`` (from 1) of this process."""
    if precision != "fp32":
        backbone = low_precision(precision)
    model = SOTGLP(
        backbone, names, preset(name, **{"epochs": 3, "batch_size": 4, "lr": 0.05, **changes})
    )
    steps, encode = iter(range(1, 99)), model.text_features
    model.text_features = lambda *given: (
        blow(cause) if next(steps) == at else None,
        encode(*given),
    )[1]
    return model, fit(model, train, progress=False, state=state, on_epoch=on_epoch)


@cache
def low_precision(precision):
    return load_backbone("pocket", "random", precision=precision)


def equal(first, second):
    (a, history), (b, other) = first, second
    a, b = a.state_dict(), b.state_dict()
    return (
        history == other and a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    )


@pytest.fixture
def state(tmp_path):
    return tmp_path / "run" / "state.safetensors"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cause", [signal.SIGINT, Crash()], ids=["signal", "crash"])
def test_goes_on_to_the_same_bits_from_any_step(tiny, names, features, images, state, case, cause):
    train = images if case == "views" else features
    whole = learn(tiny, names, train, **CASES[case])
    for step in (2, 6) if case == "fp16" else range(1, STEPS + 1):
        state.unlink(missing_ok=True)
        with pytest.raises((Stopped, Crash)):
            learn(tiny, names, train, state, step, cause, **CASES[case])
        assert equal(learn(tiny, names, train, state, **CASES[case]), whole), step
        done = read(state)[1]
        assert len(done["history"]) == 3 and done["step"] == 0


@pytest.mark.parametrize("steps", [(2, 2, 2), (1, 1, 1, 1, 1, 1, 1, 1), (3, 3), (4, 1, 3)])
def test_interrupted_again_and_again(tiny, names, features, state, steps):
    whole = learn(tiny, names, features)
    for step in steps:
        with pytest.raises(Stopped):
            learn(tiny, names, features, state, step)
    assert equal(learn(tiny, names, features, state), whole)


def test_a_crash_costs_at_most_an_epoch_and_a_signal_nothing(tiny, names, features, state):
    with pytest.raises(Crash):
        learn(tiny, names, features, state, 6, Crash())
    assert (len(read(state)[1]["history"]), read(state)[1]["step"]) == (1, 0)
    with pytest.raises(
        Stopped, match="after 1 epochs and 2 steps; .*state.safetensors holds its state"
    ):
        learn(tiny, names, features, state, 2)
    assert read(state)[1]["step"] == 2


def test_saved_before_the_first_step_and_before_each_epoch_is_told(tiny, names, features, state):
    with pytest.raises(Crash):
        learn(tiny, names, features, state, 1, Crash())
    assert read(state)[1]["history"] == []
    seen = []
    learn(
        tiny,
        names,
        features,
        state,
        on_epoch=lambda epoch: seen.append((epoch.epoch, len(read(state)[1]["history"]))),
    )
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_nothing_is_left_to_do(tiny, names, features, state):
    first = learn(tiny, names, features, state)
    written = state.stat().st_mtime_ns
    assert (
        equal(learn(tiny, names, features, state, 1, Crash()), first)
        and state.stat().st_mtime_ns == written
    )
    assert not learn(tiny, names, features, state)[0].training


def test_state_changes_nothing(tiny, names, features, state):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert equal(learn(tiny, names, features, state), learn(tiny, names, features))
    assert torch.rand(1) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_wait_for_the_step_and_their_handlers_come_back(
    tiny, names, features, state, number
):
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with pytest.raises(Stopped) as stop:
        learn(tiny, names, features, state, 5, number)
    assert stop.value.number == number and read(state)[1]["step"] == 2
    assert {n: signal.getsignal(n) for n in handlers} == handlers


def test_a_second_signal_does_not_wait(tiny, names, features, state):
    class Twice(Exception):
        pass

    def twice(*_):
        raise Twice

    before = signal.signal(signal.SIGTERM, twice)
    try:
        model = SOTGLP(tiny, names, preset("sotglp", epochs=3))
        encode = model.text_features
        model.text_features = lambda *given: (
            signal.raise_signal(signal.SIGTERM),
            signal.raise_signal(signal.SIGTERM),
            encode(*given),
        )[2]
        with pytest.raises(Twice):
            fit(model, features, progress=False, state=state)
        assert signal.getsignal(signal.SIGTERM) is twice and read(state)[1]["step"] == 0
    finally:
        signal.signal(signal.SIGTERM, before)


def test_ignored_signals_stay_ignored(tiny, names, features, state):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert len(learn(tiny, names, features, state, 5, signal.SIGHUP)[1]) == 3
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_without_a_state_signals_act_at_once(tiny, names, features):
    with pytest.raises(KeyboardInterrupt) as stop:
        learn(tiny, names, features, None, 5)
    assert not isinstance(stop.value, Stopped)


def test_in_another_thread(tiny, names, features, state):
    found = []
    thread = threading.Thread(target=lambda: found.append(learn(tiny, names, features, state)))
    thread.start()
    thread.join()
    assert equal(found[0], learn(tiny, names, features))


def test_another_training_is_refused(tiny, pocket, names, features, state):
    learn(tiny, names, features, state)
    content = state.read_bytes()
    other = Features(features.image + 1, features.patches, features.labels, features.grid)
    relabelled = Features(features.image, features.patches, features.labels.flip(0), features.grid)
    for message, arguments, changes in [
        ("lr was 0.05 and is 0.1", (tiny, names, features), {"lr": 0.1}),
        ("epochs was 3 and is 9", (tiny, names, features), {"epochs": 9}),
        ("other class names", (tiny, names[::-1], features), {}),
        ("other training images", (tiny, names, other), {}),
        ("other training images", (tiny, names, relabelled), {}),
        ("other backbone", (pocket, names, features), {}),
        ("other backbone", (tiny, names, features), {"precision": "bf16"}),
    ]:
        with pytest.raises(
            ValueError,
            match=f"state of another training: .*{message}; give another file, or remove it",
        ):
            learn(*arguments, state, **changes)
    assert state.read_bytes() == content


def test_other_photos_are_other_images(tiny, names, images, photos, state):
    learn(tiny, names, images, state)
    learn(tiny, names, images, state)
    first = sorted(photos.iterdir())[0]
    first.write_bytes(sorted(photos.iterdir())[1].read_bytes())
    with pytest.raises(ValueError, match="other training images"):
        learn(tiny, names, images, state)


def test_damaged_states(tiny, names, features, state):
    learn(tiny, names, features, state)
    content, (tensors, record) = state.read_bytes(), load_tensors(state)
    for junk in (b"", b"junk", content[:100], content[:-100]):
        state.write_bytes(junk)
        with pytest.raises(ValueError, match="state.safetensors"):
            learn(tiny, names, features, state)
    save_tensors(state, {"x": torch.zeros(1)}, {"format": 1})
    with pytest.raises(ValueError, match="no training state that this version reads"):
        learn(tiny, names, features, state)
    damaged = [
        ({**tensors, "model.local_prompts.context": torch.zeros(2, 3)}, record),
        *(
            ({k: v for k, v in tensors.items() if k != key}, record)
            for key in ("order", "model.local_prompts.context")
        ),
        *(
            (tensors, {k: v for k, v in record.items() if k != key})
            for key in ("history", "groups", "schedule")
        ),
    ]
    for given in damaged:
        save_tensors(state, *given)
        with pytest.raises(ValueError, match="state.safetensors is .*; remove it to start anew"):
            learn(tiny, names, features, state)


def test_no_place_to_write_is_known_before_the_first_step(tiny, names, features, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="can't write to .*file"):
        learn(tiny, names, features, tmp_path / "file" / "state", 1, AssertionError("trained"))


def room(size):
    """As if the disk were full beyond so many bytes of a file."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def test_a_full_disk(tiny, names, features, state):
    whole = learn(tiny, names, features)
    try:
        room(10_000)
        with pytest.raises(WriteError, match="can't write .*state.safetensors: File too large"):
            learn(tiny, names, features, state, 1, AssertionError("trained"))
        assert list(state.parent.iterdir()) == []
        room(resource.RLIM_INFINITY)
        with pytest.raises(WriteError, match="can't write .*state.safetensors: File too large"):
            learn(tiny, names, features, state, on_epoch=lambda epoch: room(10_000))
        room(resource.RLIM_INFINITY)
        assert len(read(state)[1]["history"]) == 1 and list(state.parent.iterdir()) == [state]
        assert equal(learn(tiny, names, features, state), whole)
    finally:
        room(resource.RLIM_INFINITY)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments(tmp_path):
    moments, runs, wrong = kill(5, seed=3, folder=tmp_path)
    assert not wrong and moments.total() == 5 and runs >= 1


@pytest.mark.slow
def test_signals_to_the_command(tmp_path):
    draw_task(tmp_path / "task")
    whole = Victim(tmp_path, tmp_path / "whole")
    assert whole.process.wait() == 0
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        victim = Victim(tmp_path, tmp_path / "run")
        before = (
            (tmp_path / "run" / "metrics.jsonl").read_text().count("\n")
            if (tmp_path / "run" / "metrics.jsonl").exists()
            else 0
        )
        while victim.process.poll() is None and not (
            (tmp_path / "run" / "metrics.jsonl").exists()
            and (tmp_path / "run" / "metrics.jsonl").read_text().count("\n") > before
        ):
            time.sleep(0.005)
        victim.process.send_signal(number)
        assert victim.process.wait() == code
    assert Victim(tmp_path, tmp_path / "run").process.wait() == 0
    for name in COMPARED:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), (
            name
        )


@pytest.mark.slow
def test_several_processes_stop_and_go_on_together(tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        ),
    }
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        __file__,
        str(tmp_path),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert (
        seen[0]
        == seen[1]
        == {"stopped": [1, 2], "equal": True, "alone": "is not there for every process"}
    )


def together(folder):
    """Stop in the fifth step by a signal to the second process alone, then go on; and a state that only one process sees."""
    from accelerate import Accelerator

    torch.set_num_threads(1)
    one, backbone, g = (
        Accelerator(cpu=True),
        load_backbone("pocket", "random"),
        torch.Generator().manual_seed(0),
    )
    image, patches = (
        torch.randn(11, 128, generator=g),
        torch.randn(11, 196, 192, generator=g).half(),
    )
    features = Features(image, patches, torch.arange(11) % 5, backbone.grid)
    config, state, found = (
        preset("sotglp", epochs=3, batch_size=4, lr=0.05),
        folder / "state.safetensors",
        {},
    )

    def run(path, at=None):
        model = SOTGLP(backbone, ("a", "b", "c", "d", "e"), config)
        steps, encode = iter(range(1, 99)), model.text_features
        model.text_features = lambda *given: (
            blow(signal.SIGTERM) if next(steps) == at and one.process_index == 1 else None,
            encode(*given),
        )[1]
        return model, fit(model, features, progress=False, state=path, accelerator=one)

    whole = run(None)
    try:
        run(state, at=5)
    except Stopped:
        found["stopped"] = [len(read(state)[1]["history"]), read(state)[1]["step"]]
    found["equal"] = equal(run(state), whole)
    try:
        run(state if one.process_index == 0 else folder / "elsewhere.safetensors")
    except ValueError as error:
        found["alone"] = str(error).split("tensors ")[1].split(";")[0]
    (folder / f"{one.process_index}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    together(Path(sys.argv[1]))
