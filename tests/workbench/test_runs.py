"""The folder of a run, going on with it, and files of settings."""

import inspect
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import printed_by, run
from PIL import Image

from sotglp_core import SOTGLP, load_task
from sotglp_core.cli import settings
from sotglp_core.cli.settings import CALL, known_settings
from sotglp_core.cli.train import train as train_command
from sotglp_core.config import Config
from sotglp_core.data import task as tasks
from sotglp_core.storage import load_tensors
from sotglp_core.workbench import learn, runs
from sotglp_core.workbench.runs import Run, revision

FILES = {
    ".lock",
    "config.json",
    "environment.json",
    "log.txt",
    "metrics.jsonl",
    "prompts.safetensors",
    "report.html",
}
EPOCHS = ("--set", "epochs=3", "--set", "batch_size=2")  # of four images: two steps each


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes that differ in colour."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, colour in {"red_things": (200, 40, 40), "blue_things": (40, 40, 200)}.items():
        (root / name).mkdir()
        for i in range(8):
            pixels = np.clip(np.array(colour) + rng.normal(0, 40, (48, 64 + i, 3)), 0, 255).astype(
                np.uint8
            )
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture
def train(monkeypatch, capsys, photos):
    """The command, with an empty report."""
    monkeypatch.setattr(learn, "write_report", lambda path, *_: path.write_text("<html>"))

    def call(*arguments, data=True):
        words = ("--data", photos, "--shots", "2", *EPOCHS) if data else ()
        return run(monkeypatch, capsys, "train", *words, *arguments)

    return call


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory):
    """A run's folder as it is at the end; not to be written to."""
    out = tmp_path_factory.mktemp("finished") / "run"
    return out, printed_by("train", "--data", photos, "--shots", 2, *EPOCHS, "--out", out)


@pytest.fixture
def stop_at(monkeypatch):
    """Let a signal come in a step (counted from 1) of the next training; 0: in none."""
    encode = SOTGLP.text_features

    def call(step, number=signal.SIGINT):
        steps = iter(range(1, 99))

        def text_features(self, share=None):
            if self.training and next(steps) == step:
                signal.raise_signal(number)
            return encode(self, share)

        monkeypatch.setattr(SOTGLP, "text_features", text_features)

    return call


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_finished_folder(finished, photos):
    out, printed = finished
    assert {path.name for path in out.iterdir()} == FILES
    config = json.loads((out / "config.json").read_text())
    assert set(config) == set(known_settings()) - {"out"} | {"sources"} and (
        config["seed"],
        config["shots"],
        config["data"],
    ) == (1, 2, str(photos))
    assert "given: epochs=3 batch_size=2\n" in printed and 'preset="sotglp"' in printed
    given = [name for name, source in config["sources"].items() if source == "given"]
    assert given == ["epochs", "batch_size"] and config["sources"]["lr"] in printed
    *epochs, last = lines(out)
    assert [line["epoch"] for line in epochs] == [1, 2, 3] and set(epochs[0]) == {
        "epoch",
        "loss",
        "accuracy",
        "lr",
    }
    assert set(last) == {"test"} and f"{last['test']['accuracy']:.1%}" in printed
    log = (out / "log.txt").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d ", line) for line in log)
    assert (
        " sotglp train --data" in log[0]
        and sum(" epoch " in line for line in log) == 3
        and log[-1].endswith(" finished")
    )
    record = load_tensors(out / "prompts.safetensors")[1]
    assert (
        record["class_names"] == ["blue things", "red things"] and record["backbone"]["fingerprint"]
    )
    assert record["threshold"]["source"] == "val" and record["threshold"]["images"] == 2
    assert "<html" in (out / "report.html").read_text()


def test_the_machine_is_described(finished, monkeypatch, tmp_path):
    found = json.loads((finished[0] / "environment.json").read_text())
    assert (
        found["command"].startswith("sotglp train --data")
        and found["device"] == "cpu"
        and found["threads"] >= 1
    )
    assert all(
        found[name]
        for name in ("python", "sotglp-core", "torch", "open_clip_torch", "numpy", "platform")
    )
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / "a").write_text("")
    git = ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b"]
    monkeypatch.chdir(tmp_path)
    assert revision(Path()) is None, "no commit yet"
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    first = revision(Path())
    assert re.fullmatch("[0-9a-f]{40}", first)
    (tmp_path / "a").write_text("b")
    assert revision(Path()) == first + "-dirty"
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert revision(Path()) is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert revision(Path()) is None


def test_the_settings_repeat_the_run(finished, train, tmp_path):
    code, _, err = train(
        "--config", finished[0] / "config.json", "--out", tmp_path / "again", data=False
    )
    assert code == 0, err
    for name in ("prompts.safetensors", "metrics.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (finished[0] / name).read_bytes(), name
    first, again = (
        json.loads((folder / "config.json").read_text())
        for folder in (finished[0], tmp_path / "again")
    )
    sources = first.pop("sources"), again.pop("sources")
    assert [source["support"] for source in sources] == ["preset sotglp", "given"]
    assert again == first


@pytest.mark.slow
@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_and_resumed(finished, train, stop_at, monkeypatch, capsys, tmp_path, number, code):
    out = tmp_path / "my run"
    for step, option, reached in (
        (1, (), "before the first epoch ended"),
        (3, ("--resume",), "after 1 of 3 epochs"),
        (3, ("--resume",), "after 2 of 3 epochs"),
    ):
        stop_at(step, number)
        found, _, err = train("--out", out, *option, data=not option)
        last = err.splitlines()[-1]
        assert (
            found == code
            and f"sotglp: stopped {reached}; go on with: sotglp train --resume --out '{out}'"
            in last
        )
        assert (
            "Traceback" not in err
            and (out / "checkpoint.safetensors").exists()
            and not (out / "prompts.safetensors").exists()
        )
        assert (
            len(lines(out)) == (int(reached[6]) if "of" in reached else 0)
            and f"stopped: {reached}" in (out / "log.txt").read_text()
        )
    code, _, err = run(monkeypatch, capsys, "predict", out, tmp_path / "photo.png")
    assert (
        code == 2
        and "an interrupted run (2 of 3 epochs); finish it with: "
        f"sotglp train --resume --out '{out}'"
        in err
    )
    stop_at(0)
    assert train("--out", out, "--resume", data=False)[0] == 0
    assert {path.name for path in out.iterdir()} == FILES
    for name in ("prompts.safetensors", "metrics.jsonl", "config.json"):
        assert (out / name).read_bytes() == (finished[0] / name).read_bytes(), name


@pytest.mark.slow
def test_stopped_before_training(train, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(learn, "fit", interrupt)
        code, _, err = train("--out", tmp_path)
        assert code == 130 and "sotglp: stopped before the first epoch ended; go on with" in err
    code, _, err = train("--out", tmp_path, "--resume", data=False)
    assert code == 0 and len(lines(tmp_path)) == 4, err


def test_ctrl_c_anywhere_else_is_one_line(train, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tasks, "load_task", interrupt)
    code, _, err = train("--out", tmp_path / "run")
    assert (
        code == 130
        and err.splitlines()[-1] == "sotglp: stopped by a signal"
        and not (tmp_path / "run").exists()
    )


@pytest.mark.parametrize(
    "error, line",
    [
        (OSError(28, "No space left on device"), "sotglp: No space left on device"),
        (PermissionError(13, "Permission denied", "a\nb"), "sotglp: Permission denied: a\\nb"),
        (
            MemoryError(),
            "sotglp: there is not enough memory; fewer prompts or a smaller batch_size need less, "
            "and so does `sotglp train --text-chunk 64`, also with --resume",
        ),
    ],
)
def test_what_the_system_refuses_is_one_line(train, monkeypatch, error, line):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(tasks, "load_task", refuse)
    assert train() == (2, "", line + "\n")


def test_a_fault_of_the_program_is_not_called_one_of_the_user(train, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(tasks, "load_task", fail)
    with pytest.raises(RuntimeError, match="mat1"):
        train()


def test_more_prompts_than_memory(train, tmp_path):
    code, _, err = train("--out", tmp_path / "run", "--set", "global_prompts=999999999")
    assert code == 2 and "there is not enough memory" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["before the line", "after the line", "before the test", "before the end"]
)
def test_no_line_is_lost_or_doubled(finished, train, monkeypatch, tmp_path, moment):
    class Death(BaseException):
        pass

    def die(*_, **__):
        raise Death

    place, name = {
        "before the line": (Run, "epoch"),
        "after the line": (Run, "epoch"),
        "before the test": (learn, "evaluate"),
        "before the end": (Run, "finish"),
    }[moment]
    epoch = Run.epoch
    with monkeypatch.context() as patch:
        patch.setattr(
            place,
            name,
            (lambda self, one: (epoch(self, one), die())) if moment == "after the line" else die,
        )
        with pytest.raises(Death):
            train("--out", tmp_path / "run")
    code, _, err = train("--out", tmp_path / "run", "--resume", data=False)
    assert code == 0, err
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (
        finished[0] / "metrics.jsonl"
    ).read_bytes()
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


@pytest.mark.slow
def test_what_a_killed_save_leaves_is_cleared(train, stop_at, tmp_path):
    stop_at(3)
    train("--out", tmp_path)
    for name in (".checkpoint.safetensors.abc.tmp", ".metrics.jsonl.abc.tmp", ".mine.tmp"):
        (tmp_path / name).write_text("")
    stop_at(0)
    assert train("--out", tmp_path, "--resume", data=False)[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES | {".mine.tmp"}


@pytest.mark.slow
def test_fresh_crops_say_their_cost_before_they_are_made(train, tmp_path):
    code, out, err = train("--out", tmp_path, "--set", "crops=fresh")
    assert code == 0, err
    cost = "a new crop of every image in each of 3 epochs: 16 images to encode and 6 steps, about "
    assert cost in out, "three times four crops, and four images to test on"


def test_resuming_a_finished_run_says_so(finished, train):
    content = {path: path.read_bytes() for path in finished[0].iterdir()}
    code, out, _ = train("--out", finished[0], "--resume", data=False)
    assert code == 0 and "is finished: nothing to resume" in out
    code, out, _ = train("--out", finished[0], "--resume", "--json")
    assert code == 0 and json.loads(out) == lines(finished[0])[-1]["test"]
    assert {path: path.read_bytes() for path in finished[0].iterdir()} == content


@pytest.mark.slow
def test_resuming_with_other_settings(train, stop_at, tmp_path):
    stop_at(3)
    train("--out", tmp_path)
    content = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for given, message in [
        (
            ("--shots", "3", "--set", "lr=0.1"),
            "--resume goes on with that; leave out shots=3 lr=0.1, or start anew with --overwrite",
        ),
        (("--preset", "gallop"), 'leave out preset="gallop"'),
        (("--ood", "x"), 'leave out ood=["x"]'),
    ]:
        code, _, err = train("--out", tmp_path, "--resume", *given, data=False)
        assert code == 2 and message in err, err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == content
    stop_at(0)
    code, _, err = train(
        *("--out", tmp_path, "--resume", "--device", "cpu", "--seed", "1", "--text-chunk", "1")
    )  # the same, and the device is free
    assert code == 0, err


@pytest.mark.slow
def test_resumed_from_another_folder_amid_what_another_job_left(
    train, photos, stop_at, monkeypatch, tmp_path
):
    """Relative places are those of the start; WORLD_SIZE without torchrun means nothing."""
    monkeypatch.chdir(photos.parent)
    stop_at(3)
    assert train("--data", photos.name, "--shots", 2, *EPOCHS, "--out", tmp_path, data=False)[0]
    monkeypatch.chdir("/")
    for name, value in {"WORLD_SIZE": "x", "RANK": "1", "MASTER_ADDR": "nowhere"}.items():
        monkeypatch.setenv(name, value)
    stop_at(0)
    code, _, err = train("--resume", "--out", tmp_path, data=False)
    assert code == 0, err


def test_nothing_to_resume(train, tmp_path):
    code, _, err = train("--out", tmp_path / "run", "--resume", data=False)
    assert code == 2 and "there is no run to resume in" in err and not (tmp_path / "run").exists()


def test_edited_settings_are_not_gone_on_with(train, stop_at, tmp_path):
    stop_at(3)
    train("--out", tmp_path)
    file = tmp_path / "config.json"
    file.write_text(file.read_text().replace('"epochs": 3', '"epochs": 9'))
    code, _, err = train("--out", tmp_path, "--resume", data=False)
    assert code == 2 and "belongs to another training: epochs was 3 and is 9" in err
    assert "stopped: " in (tmp_path / "log.txt").read_text()


def test_runs_are_not_replaced_by_accident(finished, train, stop_at, tmp_path, monkeypatch):
    stop_at(3)
    train("--out", tmp_path)
    code, _, err = train("--out", tmp_path)
    assert (
        code == 2
        and f"{tmp_path} holds an interrupted run (1 of 3 epochs); go on with --resume, "
        "replace it with --overwrite"
        in err
    )
    code, _, err = train("--out", finished[0])
    assert (
        code == 2
        and "holds a finished run; replace it with --overwrite, or give another folder with --out"
        in err
    )
    for name in ("evaluation.json", "mine.txt"):
        (tmp_path / name).write_text("")
    stop_at(0)
    code, _, err = train("--out", tmp_path, "--overwrite", "--seed", "2")
    assert code == 0 and {path.name for path in tmp_path.iterdir()} == FILES | {"mine.txt"}, err
    assert (tmp_path / "log.txt").read_text().count("sotglp train") == 1


def test_a_mistake_replaces_nothing(finished, train):
    content = {path: path.read_bytes() for path in finished[0].iterdir()}
    assert train("--out", finished[0], "--overwrite", "--shots", "9")[0] == 2
    assert {path: path.read_bytes() for path in finished[0].iterdir()} == content


@pytest.mark.slow
def test_the_default_folder_takes_the_latest_run(train, stop_at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train("--seed", "1")[0] == train("--seed", "2")[0] == 0
    assert json.loads((tmp_path / "runs" / "latest" / "config.json").read_text())["seed"] == 2
    code, _, err = train("--set", "lr=1e38")
    assert code == 2 and "lower lr" in err
    stop_at(3)
    assert train()[0] == 130, "where nothing was learned, nothing is lost"
    code, _, err = train()
    assert code == 2 and "runs/latest holds an interrupted run (1 of 3 epochs)" in err


def test_zero_shot_runs_too(train, tmp_path):
    assert train("--out", tmp_path, "--preset", "zeroshot", "--set", "epochs=0")[0] == 0
    assert len(lines(tmp_path)) == 1 and Run(tmp_path).finished


@pytest.mark.slow
def test_two_processes_do_not_share_a_folder(train, tmp_path):
    hold = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); "
        "lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, tmp_path / ".lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        code, _, err = train("--out", tmp_path)
        assert code == 2 and "another process is training in" in err
        other.kill()
    assert train("--out", tmp_path)[0] == 0


@pytest.mark.slow
def test_two_processes_of_torchrun_share_a_run(finished, photos, tmp_path):
    pytest.importorskip("accelerate", reason="accelerate is not installed")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "sotglp_core.cli",
        "train",
        "--data",
        photos,
        "--shots",
        "2",
        *EPOCHS,
        "--device",
        "cpu",
        "--out",
        tmp_path,
        "--json",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in tmp_path.iterdir()} == FILES
    ours = [
        line for line in done.stdout.splitlines() if not line.startswith("[Gloo]")
    ]  # torch 2.10
    assert json.loads("".join(ours)) == lines(tmp_path)[-1]["test"], "one process prints"
    for ours, alone in zip(lines(tmp_path)[:-1], lines(finished[0])[:-1], strict=True):
        assert ours == pytest.approx(alone, abs=1e-4)


def test_a_file_system_without_locks(train, tmp_path, monkeypatch):
    def unsupported(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(runs.FileLock, "acquire", unsupported)
    assert train("--out", tmp_path)[0] == 0


@pytest.mark.slow
def test_no_place_and_no_room(train, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = train("--out", tmp_path / "file" / "run")
    assert code == 2 and "can't write" in err and len(err.strip().splitlines()) == 1
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

    def full(run, epoch):
        first(run, epoch)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))

    first = Run.epoch
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Run, "epoch", full)
            code, _, err = train("--out", tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    assert code == 2 and "Traceback" not in err
    assert re.search("sotglp: can't write .*checkpoint.safetensors: File too large", err)
    assert train("--out", tmp_path / "run", "--resume", data=False)[0] == 0
    assert len(lines(tmp_path / "run")) == 4


def test_a_record_of_the_machine_that_is_no_record_says_nothing(tmp_path):
    for text in ("", "[1]", "{", "3"):
        (tmp_path / "environment.json").write_text(text)
        assert Run(tmp_path).read_json("environment.json") == {}


@pytest.mark.slow
def test_resumed_on_a_changed_machine(train, stop_at, tmp_path):
    stop_at(3)
    train("--out", tmp_path)
    file = tmp_path / "environment.json"
    began = json.loads(file.read_text())
    file.write_text(json.dumps({**began, "threads": 999}))
    stop_at(0)
    code, _, err = train("--out", tmp_path, "--resume", data=False)
    changed = f"threads was 999 and is {torch.get_num_threads()}\n"
    assert code == 0 and f"its figures may come out differently: {changed}" in err
    assert "come out differently: threads was 999" in (tmp_path / "log.txt").read_text()


@pytest.mark.slow
def test_resumed_with_other_test_images(train, stop_at, photos, tmp_path):
    """The training images are the checkpoint's concern; these only change the metrics."""
    moved = shutil.copytree(photos, tmp_path / "photos")
    shown = load_task(moved, shots=2).test.names[0]
    for replaced in (False, True):
        out = tmp_path / f"run-{replaced}"
        stop_at(3)
        assert train("--out", out, "--data", moved)[0] == 130
        if replaced:
            Image.new("RGB", (60, 60), "white").save(shown)
        stop_at(0)
        code, _, err = train("--out", out, "--resume", data=False)
        assert code == 0, err
        assert ("differently: test images was" in err) == replaced


@pytest.mark.slow
def test_evaluated_on_other_classes(train, photos, tmp_path, monkeypatch, capsys):
    """Shared contexts take other names; the run's own data give the halves."""
    both = shutil.copytree(photos, tmp_path / "photos")
    for name, new in (("blue_things", "red things of glass"), ("red_things", "yellow things")):
        shutil.copytree(photos / name, both / new)
    given = ("--data", both, "--preset", "coop", "--classes", "base", "--out", tmp_path / "run")
    assert train(*given)[0] == 0
    for classes, names in (
        ("new", "red_things, yellow things"),
        ("base", "blue_things, red things of glass"),
        ("yellow things,blue_things", "yellow things, blue_things"),
    ):
        given = ("evaluate", tmp_path / "run", "--classes", classes)
        code, out, err = run(monkeypatch, capsys, *given)
        assert code == 0, err
        assert f"2 classes ({names.replace('_', ' ')})" in out
        assert f"accuracy {accuracy_of(tmp_path / 'run'):.1%} on 4 test images" in out


def accuracy_of(folder):
    return json.loads((folder / "evaluation.json").read_text())["accuracy"]


TOML = """
data = "PHOTOS"
shots = 2
allow-fewer = true
classes = "red_things, blue_things"
epochs = 3
lr = 1
support = "null"
top_k = [5, 10]
"""
JSON = {
    "data": "PHOTOS",
    "shots": 2,
    "allow_fewer": True,
    "classes": ["red_things", "blue_things"],
    "epochs": 3,
    "lr": 1,
    "support": None,
    "top_k": [5, 10],
}


@pytest.mark.parametrize(
    "suffix, text",
    [(".toml", TOML), (".json", json.dumps(JSON))],
)
def test_files_of_settings(tmp_path, suffix, text):
    file = tmp_path / f"settings{suffix}"
    file.write_text(text)
    assert settings.read_settings(file) == {
        "data": "PHOTOS",
        "shots": 2,
        "allow_fewer": True,
        "classes": ["red_things", "blue_things"],
        "epochs": 3,
        "lr": 1.0,
        "support": None,
        "top_k": (5, 10),
    }


def test_the_command_line_goes_before_the_file_and_the_file_before_the_preset(
    train, photos, tmp_path
):
    file = tmp_path / "settings.toml"
    file.write_text(
        f'data = "{photos}"\nout = "{tmp_path}/filed"\n'
        'shots = 2\npreset = "gallop"\nseed = 5\nepochs = 3\nsupport = 7\nlr = 0.25\n'
    )
    code, _, err = train("--config", file, "--shots", "1", "--set", "epochs=1", data=False)
    assert code == 0, err
    found = json.loads((tmp_path / "filed" / "config.json").read_text())
    assert found["shots"] == 1 and found["epochs"] == 1, "command line"
    assert (found["seed"], found["support"], found["lr"], found["preset"]) == (
        5,
        7,
        0.25,
        "gallop",
    ), "file"
    assert found["allocation"] == "topk" and found["global_prompts"] == 4, "preset"
    assert found["batch_size"] == 64, "the embedded CLIP's own"


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.toml", "epochz = 3", "unknown setting 'epochz'; did you mean 'epochs'?"),
        ("a.json", '{"shot": 3}', "did you mean 'shots'?"),
        ("a.json", '{"resume": true}', "unknown setting 'resume'"),
        ("a.toml", "[train]\nepochs = 3", "unknown setting 'train'"),
        (
            "a.toml",
            'epochs = "many"',
            "epochs is 'many'; it needs an integer from 0 to 999,999,999",
        ),
        ("a.toml", "epochs = 2.5", "epochs is 2.5; it needs an integer"),
        ("a.toml", "lr = nan", "lr is nan; it needs a number"),
        ("a.toml", "lr = true", "lr is True; it needs a number"),
        ("a.toml", "data = 3", "data is 3; it needs a string"),
        ("a.json", '{"ood": {"a": 1}}', "ood is {'a': 1}; it needs a string"),
        ("a.toml", "template = {a = 1}", "it needs a string"),
        ("a.toml", "seed = 99999999999", "seed is 99999999999; it needs an integer"),
        ("a.toml", "skip_corrupt = 1", "true or false"),
        ("a.toml", "epochs =", "can't read the settings in"),
        ("a.json", "[1]", "does not hold names and values"),
        ("a.json", "[" * 100_000, "can't read the settings in"),
        ("a.yaml", "epochs: 3", "can't read the settings in"),
        ("none.toml", None, "there is no such file"),
        ("a.toml", "epsilon = -1", "epsilon is -1; it needs a number from 0"),
        ("a.toml", 'preset = "sotgpl"', "did you mean 'sotglp'?"),
        ("a.json", b"\xff", "is not UTF-8 text"),
    ],
)
def test_mistakes_in_a_file(train, tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    code, _, err = train("--config", tmp_path / name, "--out", tmp_path / "run")
    assert (
        code == 2 and message in err and name in err + name and len(err.strip().splitlines()) == 1
    ), err
    assert not (tmp_path / "run").exists()


def test_a_preset_is_not_undone_by_the_file_of_another(finished, train, tmp_path):
    code, _, err = train(
        "--config",
        finished[0] / "config.json",
        "--preset",
        "gallop",
        "--out",
        tmp_path / "run",
        data=False,
    )
    assert (
        code == 2
        and "has settings of the preset 'sotglp'" in err
        and "which would undo --preset gallop" in err
    )
    (tmp_path / "a.toml").write_text('preset = "sotglp"\nlr = 0.25\n')
    assert (
        train("--config", tmp_path / "a.toml", "--preset", "coop", "--out", tmp_path / "run")[0]
        == 0
    )


@pytest.mark.parametrize(
    "key, value, wanted",
    [
        ("epochs", "20", 20),
        ("lr", "1e-3", 0.001),
        ("lr", 1, 1.0),
        ("top_k", "[5, 10]", (5, 10)),
        ("top_k", 3, (3,)),
        ("support", "null", None),
        ("projection", "true", True),
        ("template", "5 {}", "5 {}"),
        ("ood", "a,b", ["a,b"]),
        ("classes", "a, b", ["a", "b"]),
        ("root", None, None),
    ],
)
def test_values_are_read_as_what_they_should_be(key, value, wanted):
    found = settings.checked_settings({key: value}, known_settings(), "here")[key]
    assert found == wanted and type(found) is type(wanted)


def test_every_option_has_a_kind():
    """An option that is added to the command can be given in a file, too."""
    options = set(inspect.signature(train_command).parameters) - CALL
    assert set(known_settings()) == options | set(Config().to_dict())
    assert options & set(Config().to_dict()) == {"preset", "seed"}
