"""The feature cache is right or absent: damage, kills, two writers, a full disk; and it can be
shown and cleared.
"""

import errno
import json
import os
import subprocess
import sys
import time

import pytest
import torch
from test_cli import run

from sotglp_core.data import FolderImages
from sotglp_core.data.features import cache_entries, cache_folder, clear_cache, encode

pytestmark = pytest.mark.usefixtures("empty_cache")
WARM = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from sotglp_core.clip.backbone import load_backbone
from sotglp_core.data import FolderImages
from sotglp_core.data.features import cache_entries
from sotglp_core.data.features import encode

torch.set_num_threads(1)
tiny = load_backbone("pocket", "random")
images = FolderImages(sorted(Path(sys.argv[1]).iterdir()), [0] * 12).subset(range(6))

def run(cache=True):
    return encode(tiny, images, batch_size=2, progress=False, cache=cache)

def child():
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            torch.set_num_threads(1)  # of several threads after a fork, torch's pool fails some
            status = 0 if same(run()) else 2
        finally:
            os._exit(status)
    return pid

def same(features):
    return torch.equal(features.image, fresh.image) and torch.equal(features.patches, fresh.patches)

fresh = run(cache=False)
start = time.perf_counter()
run()
duration = time.perf_counter() - start
(entry,) = [e.path for e in cache_entries()]
"""
KILLS = (
    WARM
    + """
rng, encode_image = random.Random(0), type(tiny).encode_image
seen = {"nothing": 0, "unfinished": 0, "whole": 0}
for trial in range(50):
    entry.unlink(missing_ok=True)
    before = len(cache_entries())
    pid = child()
    time.sleep(rng.uniform(0, 1.2) * duration)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    if entry.exists():
        type(tiny).encode_image = None
        assert same(run()), "a killed writer's entry is wrong"
        type(tiny).encode_image = encode_image
    left = "unfinished" if len(cache_entries()) > before else "nothing"
    seen["whole" if entry.exists() else left] += 1
assert same(run()) and entry.exists()
print(seen["nothing"], seen["unfinished"], seen["whole"])
"""
)
TWO = (
    WARM
    + """
for trial in range(3):
    entry.unlink()
    pids = [child(), child()]
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    assert [e.path for e in cache_entries()] == [entry] and same(run())
"""
)


def equal(a, b):
    return (
        torch.equal(a.image, b.image)
        and torch.equal(a.patches, b.patches)
        and torch.equal(a.labels, b.labels)
    )


def replace(path, content):
    """Other content in a new file: what is mapped stays as it was."""
    path.unlink()
    path.write_bytes(content)


def script(code, photos):
    done = subprocess.run(
        [sys.executable, "-c", code, str(photos)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_killed_fifty_times_while_encoding(photos):
    nothing, unfinished, whole = map(int, script(KILLS, photos).split())
    assert nothing + unfinished + whole == 50 and unfinished >= 5 and whole >= 2, (
        "the kills missed the moments that matter"
    )
    assert clear_cache()[0] == 1 and len(cache_entries()) == unfinished, (
        "fresh temporaries may belong to a writer"
    )
    for entry in cache_entries():
        os.utime(entry.path, times=(0, time.time() - 3600))
    assert clear_cache()[0] == unfinished and not list(cache_folder().iterdir())


@pytest.mark.slow
def test_two_processes_encode_one_set(photos):
    script(TWO, photos)


@pytest.mark.parametrize("place", [0, 9, 40, 200, 1000, 200_000, -5, -1])
def test_one_flipped_bit_is_noticed(tiny, images, place):
    first = encode(tiny, images)
    (path,) = cache_folder().iterdir()
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[place] ^= 4
    replace(path, damaged)
    assert equal(encode(tiny, images), first) and path.read_bytes() == content


@pytest.mark.parametrize(
    "damage",
    [
        lambda c: b"",
        lambda c: c[:3],
        lambda c: c[:-1],
        lambda c: c[: len(c) // 2],
        lambda c: c + b"x",
        lambda c: b"junk" * 99,
        lambda c: bytes(len(c)),
    ],
)
def test_other_damage(tiny, images, damage):
    first = encode(tiny, images)
    (path,) = cache_folder().iterdir()
    content = path.read_bytes()
    replace(path, damage(content))
    assert equal(encode(tiny, images), first) and path.read_bytes() == content


def test_an_entry_of_another_set_is_not_taken(tiny, images):
    encode(tiny, images.subset([0, 1]))
    (other,) = cache_folder().iterdir()
    content = other.read_bytes()
    first = encode(tiny, images)
    (own,) = set(cache_folder().iterdir()) - {other}
    replace(own, content)
    assert equal(encode(tiny, images), first)


def test_only_content_counts(tiny, images, monkeypatch, tmp_path):
    first = encode(tiny, images)
    moved = [p.rename(tmp_path / f"other-{p.name}") for p in images.paths]
    monkeypatch.setattr(type(tiny), "encode_image", lambda *a, **k: pytest.fail("encoded again"))
    assert equal(encode(tiny, FolderImages(moved, images.labels)), first)
    with pytest.raises(pytest.fail.Exception):
        moved[3].write_bytes(moved[4].read_bytes())
        encode(tiny, FolderImages(moved, images.labels))


@pytest.mark.parametrize("broken", ["posix_fallocate", "replace", "folder"])
def test_without_room_features_are_still_made(tiny, images, monkeypatch, tmp_path, broken):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    expected = encode(tiny, images, cache=False)
    if broken == "folder":
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("SOTGLP_CACHE", str(tmp_path / "file" / "below"))
    else:
        monkeypatch.setattr(os, broken, full)
    with pytest.warns(UserWarning, match="not kept on disk.*set SOTGLP_CACHE"):
        assert equal(encode(tiny, images), expected)
    assert not cache_entries()


def test_what_is_kept_is_shown_and_cleared(tiny, images, monkeypatch, capsys):
    encode(tiny, images)
    encode(tiny, images.subset([1]))
    foreign = [cache_folder() / name for name in ("notes.npy", "0123.safetensors", ".other.tmp")]
    names = f"x-{'0' * 32}.npy", f".x-{'1' * 32}.npy.ab.tmp", f".x-{'2' * 32}.npy.cd.tmp"
    old, dead, live = (cache_folder() / name for name in names)
    for path in (*foreign, old, dead, live):
        path.write_bytes(b"12345")
    for path in (old, dead):
        os.utime(path, (0, time.time() - 10 * 86_400))
    found = {(e.backbone, e.images) for e in cache_entries()}
    assert found == {("pocket", 12), ("pocket", 1), ("x", None), ("unfinished", None)}
    code, out, _ = run(monkeypatch, capsys, "cache", "show")
    assert (
        code == 0
        and "5 entries" in out
        and str(cache_folder()) in out
        and "10 d" in out
        and " kB" in out
    )
    listed = json.loads(run(monkeypatch, capsys, "cache", "show", "--json")[1])
    assert len(listed) == 5 and {row["path"] for row in listed} == {
        str(entry.path) for entry in cache_entries()
    }
    code, out, _ = run(monkeypatch, capsys, "cache", "clear", "--older-than", "3", "--yes")
    assert code == 0 and "removed 2 entries" in out and not old.exists() and not dead.exists()
    monkeypatch.setattr("typer.confirm", lambda *a, **k: sys.exit(1))
    assert run(monkeypatch, capsys, "cache", "clear")[0] == 1 and len(cache_entries()) == 3
    assert run(monkeypatch, capsys, "cache", "clear", "-y")[0] == 0
    assert set(cache_folder().iterdir()) == {*foreign, live}


def test_a_later_write_removes_what_killed_ones_left(tiny, images):
    cache_folder().mkdir(exist_ok=True)
    paths = [cache_folder() / f".x-{i * 32}.npy.ab.tmp" for i in "12"]
    for path, age in zip(paths, (3600, 1800)):
        path.write_bytes(b"")
        os.utime(path, (0, time.time() - age))
    encode(tiny, images)
    assert [path.exists() for path in paths] == [False, True]
