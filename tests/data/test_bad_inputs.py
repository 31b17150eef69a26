"""More than two hundred generated bad inputs: each one clear line, or a counted skip; nothing else
is lost, and nothing hangs.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from bad_inputs import FORMATS, GOOD, Case, folder_cases, image_cases, with_file
from bad_lists import list_cases, split_cases
from PIL import Image
from test_cli import run

from sotglp_core import load_task
from sotglp_core.data import read_image

pytestmark = pytest.mark.timeout(60)
NOBODY = 65534


CASES = [
    *(
        Case(name, with_file(file, content), skippable=True)
        for name, file, content in image_cases()
    ),
    *folder_cases(),
    *list_cases(),
    *split_cases(),
]


def outcome(arguments, skip=False):
    """How many images were read, or the error's text."""
    try:
        task = load_task(**{"shots": 99, "allow_fewer": True, **arguments}, skip_corrupt=skip)
        sets = (task.train, task.val, task.test, *task.ood.values())
        for images in sets:
            images.fingerprint()
            for i in range(len(images)):
                assert images[i].mode == images.draft(i, 8).mode == "RGB"
        return sum(map(len, sets))
    except ValueError as error:
        return str(error)


def unprivileged(arguments):
    """The outcome in a process that is not root; in this one if it is not root itself."""
    if os.getuid():
        return outcome(arguments)
    code = (
        "import json, os, sys; from test_bad_inputs import outcome; "
        f"os.setuid({NOBODY}); print(json.dumps(outcome(json.loads(sys.argv[1]))))"
    )
    here = Path(__file__).parents[1]
    paths = (here.parent, here, here / "data", here / "cli")
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments, default=str)],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join(map(str, paths)), "OMP_NUM_THREADS": "1"},
    )
    return json.loads(done.stdout) if done.returncode == 0 else done.stderr


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        yield Path(name)
        for place, folders, _ in os.walk(name):
            for below in folders:
                if not os.path.islink(os.path.join(place, below)):
                    os.chmod(os.path.join(place, below), 0o755)


def one_clear_line(text):
    return isinstance(text, str) and 10 < len(text) < 1000 and text.isprintable()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=[ascii(case.name) for case in CASES])
def test_one_clear_line_or_a_counted_skip(case, folder, capsys, recwarn):
    arguments = case.build(folder)
    said = unprivileged(arguments) if case.private else outcome(arguments)
    assert one_clear_line(said), said
    if case.skippable:
        assert said.startswith("can't read the image ") and str(folder) in said
        capsys.readouterr()
        assert outcome(arguments, skip=True) == 12, "all good photos, and no other"
        lines = capsys.readouterr().err.rstrip("\n").split("\n")
        lines = [line for line in lines if ": left out are 1 files" not in line]
        assert (
            len(lines) == 2
            and lines[0] == f"skipped: {said}"
            and lines[1] == "skipped 1 of 7 files"
        )
    assert all("PIL" in warning.filename for warning in recwarn.list), "which are not shown"


def test_there_are_two_hundred():
    names = [case.name for case in CASES]
    assert len(CASES) >= 200 and len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES[::9], ids=[ascii(case.name) for case in CASES[::9]])
def test_the_command_says_so_too(case, folder, monkeypatch, capsys):
    arguments = {"shots": 99, "allow_fewer": True, **case.build(folder)}
    if case.private or isinstance(arguments.get("names"), dict):
        pytest.skip("needs another user, or can't be said on a command line")
    source, classes, fewer = (
        arguments.pop("source"),
        arguments.pop("classes", []),
        arguments.pop("allow_fewer"),
    )
    options = [word for key, value in arguments.items() for word in (f"--{key}", value)]
    code, _, err = run(
        monkeypatch,
        capsys,
        "train",
        "--data",
        source,
        "--preset",
        "zeroshot",
        "--out",
        folder / "run",
        "--classes",
        ",".join(classes),
        *["--allow-fewer"] * fewer,
        *options,
    )
    lines = [
        line
        for line in err.splitlines()
        if line.strip()
        and "%|" not in line
        and "?epoch/s" not in line
        and "Caltech-101: split" not in line
        and ": left out are " not in line
    ]
    assert code == 2 and len(lines) == 1 and lines[0].strip().startswith("sotglp: "), err


def test_fuzzed_pictures_are_read_or_refused(tmp_path):
    rng, read = random.Random(3), 0
    for i in range(300):
        suffix, content = rng.choice(list(FORMATS.items()))
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 3, 30])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path = tmp_path / f"{i}.{suffix}"
        path.write_bytes(damaged)
        try:
            read += read_image(path).mode == "RGB"
        except ValueError as error:
            assert one_clear_line(str(error))
    assert 50 < read < 290


@pytest.mark.parametrize(
    "name", [b"caf\xe9.jpg", "two\nlines.JPG", "日本.Png", "\x1b[31m.jpg", "-x.png"]
)
def test_odd_names_of_good_photos_cost_nothing(folder, name):
    assert outcome(with_file(name, GOOD)(folder)) == 13


def test_photos_with_endless_or_broken_exif_are_read(tmp_path):
    image, exif = Image.new("RGB", (30, 20)), Image.Exif()
    exif[0x0112], exif[0x927C] = 6, bytes(60_000)
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (20, 30)
    for i, broken in enumerate(
        (
            b"Exif\0\0" + b"\xff" * 60_000,
            b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(60_000),
            b"Exif\0\0MM",
        )
    ):
        image.save(tmp_path / f"{i}.jpg", exif=broken)
        assert read_image(tmp_path / f"{i}.jpg").size == (30, 20)
