"""Training that is interrupted, by whatever and wherever, ends in the same bits."""

import json
import os
import resource
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import pytest
import torch
from benchmarks.kills import COMPARED, Victim, kill

from sotglp_core import SOTGLP, fit, load_backbone, preset
from sotglp_core.data.features import Features
from sotglp_core.learning.checkpoint import read_history
from sotglp_core.storage import WriteError, load_tensors, save_tensors

STEPS = 6  # 11 images in two batches of 4, three times
CASES = {
    "prompt dropout": dict(name="sotglp"),
    "projection": dict(name="gallop"),
    "warm-up": dict(name="plot"),
    "entropy loss": dict(name="locoop"),
    "no momentum": dict(name="coop", momentum=0.0),
    "crops": dict(name="sotglp", crops=2),
    "fresh crops": dict(name="sotglp", crops="fresh"),
    "fp16": dict(name="sotglp", precision="fp16"),
}


class Crash(Exception):
    """The process died, for all that training can tell."""


@cache
def low_precision(precision):
    return load_backbone("pocket", "random", precision=precision)


def learn(backbone, names, train, path=None, crash=None, cause=None, on_epoch=None, **changes):
    """A model and its history; the cause (a crash) comes in step ``crash``, counted from 1."""
    name, precision = changes.pop("name", "sotglp"), changes.pop("precision", "fp32")
    if precision != "fp32":
        backbone = low_precision(precision)
    config = preset(name, **{"epochs": 3, "batch_size": 4, "lr": 0.05, **changes})
    model = SOTGLP(backbone, names, config)
    steps, encode = iter(range(1, 99)), model.text_features

    def text_features(*given):
        if next(steps) == crash:
            raise cause or Crash
        return encode(*given)

    model.text_features = text_features
    return model, fit(model, train, progress=False, checkpoint=path, on_epoch=on_epoch)


def equal(first, second):
    (a, history), (b, other) = first, second
    a, b = a.state_dict(), b.state_dict()
    return (
        history == other and a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "checkpoint.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("cause", [KeyboardInterrupt, Crash])
def test_goes_on_to_the_same_bits_from_any_step(tiny, names, features, images, path, case, cause):
    train = images.subset(range(11)) if "crops" in case else features
    whole = learn(tiny, names, train, **CASES[case])
    for step in (2, 5) if case == "fp16" else range(1, STEPS + 1, 2):
        path.unlink(missing_ok=True)
        with pytest.raises(cause):
            learn(tiny, names, train, path, step, cause, **CASES[case])
        done, epochs = read_history(path)
        assert (len(done), epochs) == ((step - 1) // 2, 3), "a step costs at most its epoch"
        assert equal(learn(tiny, names, train, path, **CASES[case]), whole), step
        assert read_history(path) == (whole[1], 3)


@pytest.mark.parametrize("steps", [(2, 2, 4), (1, 3, 3, 1), (6, 2)])
def test_interrupted_again_and_again(tiny, names, features, path, steps):
    whole = learn(tiny, names, features)
    for step in steps:
        with pytest.raises(Crash):
            learn(tiny, names, features, path, step)
    assert equal(learn(tiny, names, features, path), whole)


def test_written_before_the_first_step_and_before_an_epoch_is_reported(tiny, names, features, path):
    with pytest.raises(Crash):
        learn(tiny, names, features, path, crash=1)
    assert read_history(path) == ([], 3)
    seen = []

    def on_epoch(epoch):
        seen.append((epoch.epoch, len(read_history(path)[0])))

    learn(tiny, names, features, path, on_epoch=on_epoch)
    assert seen == [(1, 1), (2, 2), (3, 3)]


def test_nothing_is_left_to_do(tiny, names, features, path):
    first = learn(tiny, names, features, path)
    written = path.stat().st_mtime_ns
    assert equal(learn(tiny, names, features, path, crash=1), first)
    assert path.stat().st_mtime_ns == written
    assert not learn(tiny, names, features, path)[0].training


def test_a_checkpoint_changes_nothing(tiny, names, features, path):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert equal(learn(tiny, names, features, path), learn(tiny, names, features))
    assert torch.rand(1) == expected


def test_in_another_thread(tiny, names, features, path):
    found = []
    thread = threading.Thread(target=lambda: found.append(learn(tiny, names, features, path)))
    thread.start()
    thread.join()
    assert equal(found[0], learn(tiny, names, features))


def test_another_training_is_refused(tiny, pocket, names, features, path):
    learn(tiny, names, features, path)
    content = path.read_bytes()
    other = Features(features.image + 1, features.patches, features.labels, features.grid)
    relabelled = Features(features.image, features.patches, features.labels.flip(0), features.grid)
    for message, arguments, changes in [
        ("lr was 0.05 and is 0.1", (tiny, names, features), {"lr": 0.1}),
        ("epochs was 3 and is 9", (tiny, names, features), {"epochs": 9}),
        (r"classes was \['red finch', .* and is \['black.*", (tiny, names[::-1], features), {}),
        ("training images was .*", (tiny, names, other), {}),
        ("training images was .*", (tiny, names, relabelled), {}),
        ("backbone was .*", (pocket, names, features), {}),
        ("backbone was .*", (tiny, names, features), {"precision": "bf16"}),
    ]:
        wanted = f"belongs to another training: .*{message}; give another file, or remove it"
        with pytest.raises(ValueError, match=wanted) as error:
            learn(*arguments, path, **changes)
        assert len(str(error.value).splitlines()) == 1
    assert path.read_bytes() == content


def test_other_photos_are_other_images(tiny, names, images, photos, path):
    learn(tiny, names, images, path)
    learn(tiny, names, images, path)
    first, second = sorted(photos.iterdir())[:2]
    first.write_bytes(second.read_bytes())
    with pytest.raises(ValueError, match="training images was"):
        learn(tiny, names, images, path)


def test_damaged_checkpoints(tiny, names, features, path):
    learn(tiny, names, features, path)
    content, (tensors, record) = path.read_bytes(), load_tensors(path)
    for junk in (b"", b"junk", content[:100], content[:-100]):
        path.write_bytes(junk)
        with pytest.raises(ValueError, match="checkpoint.safetensors"):
            learn(tiny, names, features, path)
    damaged = [
        ({"x": torch.zeros(1)}, {"format": 1}),
        ({**tensors, "local_prompts.context": torch.zeros(2, 3)}, record),
        ({**tensors, "history": torch.zeros(2)}, record),
        ({**tensors, "random": torch.zeros(3)}, record),
    ]
    for missing in ("random", "history", "local_prompts.context"):
        damaged.append(({k: v for k, v in tensors.items() if k != missing}, record))
    for missing in ("training", "scaler"):
        damaged.append((tensors, {k: v for k, v in record.items() if k != missing}))
    for given in damaged:
        save_tensors(path, *given)
        with pytest.raises(
            ValueError, match="is damaged, or of another version .*; give another file"
        ):
            learn(tiny, names, features, path)


def test_no_place_to_write_is_known_before_the_first_step(tiny, names, features, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="can't write .*file"):
        learn(tiny, names, features, tmp_path / "file" / "checkpoint", crash=1)


def room(size):
    """As if the disk were full beyond so many bytes of a file."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def test_a_full_disk(tiny, names, features, path):
    whole = learn(tiny, names, features)
    full = r"can't write .*checkpoint.safetensors: File too large"
    try:
        room(10_000)
        with pytest.raises(WriteError, match=full):
            learn(tiny, names, features, path, crash=1)
        assert list(path.parent.iterdir()) == []
        room(resource.RLIM_INFINITY)
        with pytest.raises(WriteError, match=full):
            learn(tiny, names, features, path, on_epoch=lambda epoch: room(10_000))
    finally:
        room(resource.RLIM_INFINITY)
    assert len(read_history(path)[0]) == 1, "the checkpoint of the epoch before is whole"
    assert equal(learn(tiny, names, features, path), whole)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with a task and a run that nobody disturbed, and what came of kills."""
    folder = tmp_path_factory.mktemp("killed")
    return folder, *kill(2, seed=3, folder=folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments(killed):
    _, moments, runs, wrong = killed
    assert not wrong and moments.total() == 2 and runs >= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_signals_to_the_command(killed):
    folder, *_ = killed
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        victim = Victim(folder, folder / "signalled")
        victim.wait_for_epoch()
        victim.process.send_signal(number)
        assert victim.process.wait() == code
    assert Victim(folder, folder / "signalled").process.wait() == 0
    for name in COMPARED:
        there = (folder / "whole" / name).read_bytes()
        assert (folder / "signalled" / name).read_bytes() == there, name


@pytest.mark.slow
def test_several_processes_go_on_together(tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    environment["PYTHONPATH"] = os.pathsep.join([root, f"{root}/tests"])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", __file__, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert seen[0] == seen[1] == {"epochs before": 1, "equal": True, "equal from one file": True}


def together(folder):
    """Crash in the fourth step and go on; again where only the first process has the file."""
    from accelerate import Accelerator

    torch.set_num_threads(1)
    one, backbone = Accelerator(cpu=True), load_backbone("pocket", "random")
    g = torch.Generator().manual_seed(0)
    image = torch.randn(11, 128, generator=g)
    patches = torch.randn(11, 196, 192, generator=g).half()
    features = Features(image, patches, torch.arange(11) % 5, backbone.grid)
    config = preset("sotglp-proj", epochs=3, batch_size=4, lr=0.05)

    def run(path=None, crash=None):
        model = SOTGLP(backbone, ("a", "b", "c", "d", "e"), config)
        steps, encode = iter(range(1, 99)), model.text_features

        def text_features(*given):
            if next(steps) == crash:
                raise Crash
            return encode(*given)

        model.text_features = text_features
        return model, fit(model, features, progress=False, checkpoint=path, accelerator=one)

    whole, path = run(), folder / "checkpoint.safetensors"
    found = {}
    try:
        run(path, crash=4)
    except Crash:
        one.wait_for_everyone()
        found["epochs before"] = len(read_history(path)[0])
        one.wait_for_everyone()
    found["equal"] = equal(run(path), whole)
    elsewhere = path if one.process_index == 0 else folder / "elsewhere.safetensors"
    found["equal from one file"] = equal(run(elsewhere), whole)
    (folder / f"{one.process_index}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    together(Path(sys.argv[1]))
