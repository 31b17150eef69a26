"""The command as a user types it: what it prints, what it writes, and one clear line for every
mistake.
"""

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from commands import printed_by, run
from PIL import Image
from typer.main import get_command

from sotglp_core import cli
from sotglp_core.cli.common import split_names
from sotglp_core.storage import load_tensors, save_tensors

REPOSITORY = Path(__file__).parents[2]
CALTECH = REPOSITORY.parent / "shared" / "data" / "caltech-101" / "101_ObjectCategories"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes that differ in colour, and a folder of something else."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, colour in {
        "photos/red_things": (200, 40, 40),
        "photos/blue_things": (40, 40, 200),
        "other": (40, 200, 40),
    }.items():
        (root / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.clip(np.array(colour) + rng.normal(0, 40, (48, 64 + i, 3)), 0, 255).astype(
                np.uint8
            )
            Image.fromarray(pixels).convert("L" if i == 0 else "RGB").save(root / name / f"{i}.jpg")
    return root


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    words = ("--data", photos / "photos", "--ood", photos / "other", "--shots", 3, "--out", out)
    return out, printed_by("train", *words, "--set", "epochs=3")


def test_train(trained):
    out, printed = trained
    *epochs, last = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    metrics = last["test"]
    assert (
        len(epochs) == 3
        and 0 <= metrics["accuracy"] <= 1
        and set(metrics["ood"]) == {"other", "mean"}
    )
    assert (
        f"{metrics['accuracy']:.1%}" in printed
        and "GL-MCM" in printed
        and "sotglp predict" in printed
    )


def test_evaluate_repeats_what_training_printed(trained, photos, monkeypatch, capsys):
    before = json.loads((trained[0] / "metrics.jsonl").read_text().splitlines()[-1])["test"]
    code, out, _ = run(
        monkeypatch,
        capsys,
        "evaluate",
        trained[0],
        "--data",
        photos / "photos",
        "--ood",
        photos / "other",
        "--json",
    )
    assert code == 0 and json.loads(out)["accuracy"] == before["accuracy"]


@pytest.mark.slow
def test_evaluate_on_shifted_photos(trained, photos, monkeypatch, capsys):
    code, out, _ = run(
        monkeypatch,
        capsys,
        "evaluate",
        trained[0],
        "--data",
        photos / "photos",
        "--shift",
        photos / "photos",
    )
    assert code == 0 and "shift photos: " in out and "% on " in out


def test_predict(trained, photos, monkeypatch, capsys, tmp_path):
    photo = photos / "photos" / "red_things" / "3.jpg"
    code, out, _ = run(
        monkeypatch, capsys, "predict", trained[0], photo, "--heatmap", tmp_path / "h.png"
    )
    assert code == 0 and "red things" in out and "%" in out and "GL-MCM" in out
    assert Image.open(tmp_path / "h.png").size[0] > 500
    code, out, _ = run(monkeypatch, capsys, "predict", trained[0], photos / "other", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 10 and all(
        set(r) == {"photo", "label", "probability", "gl_mcm", "known", "probabilities"}
        for r in rows
    )


def test_advice_is_of_options_that_the_command_has(trained, monkeypatch, capsys, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"junk")
    for words, offered in ((("predict", trained[0]), True), (("inspect", trained[0]), False)):
        code, _, err = run(monkeypatch, capsys, *words, tmp_path / "bad.jpg")
        assert code == 2 and "bad.jpg" in err and ("--skip-corrupt" in err) == offered


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "--data", "/no/such/folder"], "can't list the folder /no/such/folder: No such"),
        (
            ["train", "--data", "PHOTOS", "--shots", "9"],
            "class 'blue things' has 5 images to train on",
        ),
        (["train", "--data", "PHOTOS", "--preset", "sotgpl"], "did you mean 'sotglp'"),
        (["train", "--data", "PHOTOS", "--set", "epochz=3"], "did you mean 'epochs'"),
        (
            ["train", "--data", "PHOTOS", "--set", "epochs=many"],
            "epochs is 'many'; it needs an integer",
        ),
        (["train", "--data", "PHOTOS", "--set", "epochs"], "has no '='"),
        (
            ["train", "--data", "PHOTOS", "--set", 'top_k=["a"]'],
            "it needs an integer",
        ),
        (
            [
                "train",
                "--data",
                "PHOTOS",
                "--shots",
                "1",
                "--backbone",
                "RN50",
                "--pretrained",
                "random",
            ],
            "supported are",
        ),
        (
            [
                "train",
                "--data",
                "PHOTOS",
                "--shots",
                "1",
                "--set",
                "epochs=0",
                "--out",
                "FILE/below",
            ],
            "can't write",
        ),
        (["train", "--data", "CORRUPT", "--shots", "1"], "pass --skip-corrupt"),
        (["train", "--data", "EMPTY", "--shots", "1"], "class 'empty' has no images"),
        (
            ["train", "--data", "PHOTOS", "--shots", "1", "--device", "warp"],
            "can't use the device 'warp'",
        ),
        (["evaluate", "/no/such/run"], "there is no file"),
        (["evaluate", "PROMPTS"], "name the images with --data"),
        (["predict", "RUN", "/no/such/photo.jpg"], "can't read the image"),
        (["predict", "OTHERBACKBONE", "PHOTO"], "was trained on pocket"),
        (["predict", "RUN", "EMPTYFOLDER"], "there are no images"),
        (["predict", "EMPTYFOLDER", "PHOTO"], "holds no prompts"),
        (
            ["predict", "RUN", "PHOTO", "--out", "PHOTO"],
            "is one of the images; give another file to write",
        ),
        (
            ["predict", "RUN", "PHOTO", "--heatmap", "PHOTO"],
            "is one of the images; give another file to write",
        ),
        (["inspect", "RUN", "PHOTO", "--out", "PHOTO"], "give a name that ends in .html"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(
    arguments, message, trained, photos, monkeypatch, capsys, tmp_path
):
    (tmp_path / "file").write_text("")
    for name in ("corrupt", "empty"):
        for c in ("a", "b", "empty"):
            (tmp_path / name / c).mkdir(parents=True)
            for i in range(3):
                if (name, c) != ("empty", "empty"):
                    Image.new("RGB", (9, 9)).save(tmp_path / name / c / f"{i}.png")
    for i in range(3):
        (tmp_path / "corrupt" / "a" / f"{i}.png").write_bytes(b"junk")
    tensors, record = load_tensors(trained[0] / "prompts.safetensors")
    save_tensors(
        tmp_path / "foreign.safetensors",
        tensors,
        {**record, "backbone": {**record["backbone"], "fingerprint": "0" * 16}},
    )
    known = {
        "PHOTOS": photos / "photos",
        "RUN": trained[0],
        "PROMPTS": trained[0] / "prompts.safetensors",
        "FILE/below": tmp_path / "file" / "below",
        "CORRUPT": tmp_path / "corrupt",
        "EMPTY": tmp_path / "empty",
        "OTHERBACKBONE": tmp_path / "foreign.safetensors",
        "PHOTO": photos / "other" / "1.jpg",
        "EMPTYFOLDER": tmp_path / "empty" / "empty",
    }
    arguments = [known.get(a, a) for a in arguments]
    if arguments[0] == "train" and "--out" not in arguments:
        arguments += ["--out", tmp_path / "out"]
    code, _, err = run(monkeypatch, capsys, *arguments)
    assert code == 2 and message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_support_can_be_everything(photos, monkeypatch, capsys, tmp_path):
    arguments = (
        "--data",
        photos / "photos",
        "--shots",
        "1",
        "--set",
        "support=null",
        "--set",
        "epochs=1",
        "--out",
        tmp_path,
    )
    assert run(monkeypatch, capsys, "train", *arguments)[0] == 0
    assert json.loads((tmp_path / "config.json").read_text())["support"] is None


def test_evaluate_tests_the_runs_own_images(trained, monkeypatch, capsys):
    """Also when it is called from elsewhere, and with the OOD set that training had."""
    before = json.loads((trained[0] / "metrics.jsonl").read_text().splitlines()[-1])["test"]
    monkeypatch.chdir("/")
    code, out, _ = run(monkeypatch, capsys, "evaluate", trained[0], "--json")
    assert code == 0 and json.loads(out) == before
    assert json.loads((trained[0] / "evaluation.json").read_text()) == before


def test_evaluating_a_file_writes_nothing(trained, photos, monkeypatch, capsys, tmp_path):
    shutil.copy(trained[0] / "prompts.safetensors", tmp_path)
    words = "evaluate", tmp_path / "prompts.safetensors", "--data", photos / "photos"
    code, out, _ = run(monkeypatch, capsys, *words)
    assert code == 0 and "top-1" in out and "20 to test on" in out
    assert [path.name for path in tmp_path.iterdir()] == ["prompts.safetensors"]


def test_weights_that_have_moved(trained, photos, monkeypatch, capsys, tmp_path, tiny):
    tensors, record = load_tensors(trained[0] / "prompts.safetensors")
    gone = {**record, "backbone": {**record["backbone"], "pretrained": "/no/such/file.pt"}}
    save_tensors(tmp_path / "p.safetensors", tensors, gone)
    words = "predict", tmp_path / "p.safetensors", photos / "other" / "1.jpg"
    assert run(monkeypatch, capsys, *words)[0] == 2
    code, out, err = run(monkeypatch, capsys, *words, "--pretrained", "embedded")
    assert code == 0 and "1.jpg" in out, err
    code, _, err = run(monkeypatch, capsys, *words, "--pretrained", "random")
    assert code == 2 and "was trained on pocket" in err


@pytest.mark.parametrize(
    "given, names",
    [(["a,b", "c"], ["a", "b", "c"]), (['"b, c", d'], ["b, c", "d"]), ([], []), (None, [])],
)
def test_names_may_have_commas(given, names):
    assert split_names(given) == names


@pytest.mark.parametrize("words", [["--version"], ["--help"]])
def test_starting_imports_no_torch(words):
    code = (
        f"import sys; sys.argv = ['sotglp', {words[0]!r}]; from sotglp_core import cli\n"
        "cli.app(standalone_mode=False)\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "encoding, form, shown",
    [("cp1252", "csv", "日本ü.jpg".encode()), ("ascii", "table", rb"\u65e5\u672c\xfc.jpg")],
)
def test_names_that_the_terminal_lacks(
    trained, photos, monkeypatch, capsys, tmp_path, encoding, form, shown
):
    """CSV and JSON are UTF-8 wherever they go; a table shows escapes."""
    photo = tmp_path / "日本ü.jpg"
    photo.write_bytes((photos / "other" / "1.jpg").read_bytes())
    terminal = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", terminal)
    code, _, err = run(monkeypatch, capsys, "predict", trained[0], photo, "--format", form)
    terminal.flush()
    assert code == 0 and shown in terminal.buffer.getvalue(), err


@pytest.mark.slow
def test_no_heatmap_without_local_prompts(photos, monkeypatch, capsys, tmp_path):
    run(
        monkeypatch,
        capsys,
        "train",
        "--data",
        photos / "photos",
        "--shots",
        "1",
        "--preset",
        "zeroshot",
        "--out",
        tmp_path / "r",
    )
    code, _, err = run(
        monkeypatch,
        capsys,
        "predict",
        tmp_path / "r",
        photos / "other" / "1.jpg",
        "--heatmap",
        tmp_path / "h.png",
    )
    assert code == 2 and "no local prompts" in err and not (tmp_path / "h.png").exists()


def test_skipping_corrupt_photos(trained, photos, monkeypatch, capsys, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"junk")
    files = tmp_path / "bad.jpg", photos / "other" / "1.jpg"
    code, out, err = run(
        monkeypatch, capsys, "predict", trained[0], *files, "--skip-corrupt", "--json"
    )
    assert code == 0 and "skipped" in err and "bad.jpg" in err and len(out.splitlines()) == 1


def test_version(monkeypatch, capsys):
    assert run(monkeypatch, capsys, "--version") == (0, f"{version('sotglp-core')}\n", "")


def parsed(words):
    """Read a command line as typer does, and run nothing of it."""
    command = get_command(cli.app)
    context = command.make_context(words[0], list(words[1:]))
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(
            context, [*getattr(context, "_protected_args", ()), *context.args]
        )
        context = command.make_context(name, rest, parent=context)


def documented():
    """Every command line of README and book, without its comment."""
    for page in (
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted((REPOSITORY / "book").glob("*.md")),
    ):
        for block in re.findall(
            r"^```(?:shell|console)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
        ):
            for line in block.replace("\\\n", " ").splitlines():
                found = re.match(r"(?:\$ )?(?:.*\| )?(sotglp .*)", line)
                if found:
                    yield pytest.param(found[1], id=f"{page.stem}: {found[1][:60]}")


@pytest.mark.parametrize("line", list(documented()))
def test_documented_command_lines_are_right(line):
    parsed(shlex.split(line, comments=True))


def test_help_has_examples_that_are_right(monkeypatch, capsys):
    app = get_command(cli.app)
    commands = {
        (name,): command
        for name, command in app.commands.items()
        if not hasattr(command, "commands")
    }
    commands |= {
        (group, name): command
        for group in ("data", "cache")
        for name, command in app.commands[group].commands.items()
    }
    for names, command in commands.items():
        examples = re.findall(r"^- `(?:.*\| )?(sotglp .*)`$", command.help, re.MULTILINE)
        code, out, _ = run(monkeypatch, capsys, *names, "--help")
        out = "".join(out.split())
        assert (
            code == 0 and examples and all("".join(example.split()) in out for example in examples)
        ), names
        for example in examples:
            assert shlex.split(example)[1:][: len(names)] == list(names)
            parsed(shlex.split(example))


def test_help_lists_the_settings(monkeypatch, capsys):
    _, out, _ = run(monkeypatch, capsys, "train", "--help")
    assert {"epsilon", "top_k", "crops"} <= set(re.findall(r"\w+", out))


@pytest.mark.slow
@pytest.mark.skipif(not CALTECH.is_dir(), reason="the Caltech-101 photos are not on this machine")
def test_real_photos(monkeypatch, capsys, tmp_path):
    classes = "accordion,anchor,crab,yin_yang"
    code, out, _ = run(
        monkeypatch,
        capsys,
        "train",
        "--data",
        CALTECH,
        "--classes",
        classes,
        "--shots",
        "4",
        "--out",
        tmp_path,
        "--set",
        "epochs=5",
    )
    assert code == 0 and "4 classes" in out
    code, out, _ = run(
        monkeypatch,
        capsys,
        "predict",
        tmp_path,
        CALTECH / "crab" / "image_0001.jpg",
        "--heatmap",
        tmp_path / "h.png",
    )
    assert code == 0 and (tmp_path / "h.png").exists()


def test_a_user_without_home(monkeypatch, capsys):
    """As in a container that runs under a bare number."""

    def unknown(*_):
        raise KeyError("getpwuid(): uid not found: 12345")

    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "SOTGLP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")  # so that what the command sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    code, out, err = run(monkeypatch, capsys, "cache", "show")
    assert code == 0 and "entries" in out, err
