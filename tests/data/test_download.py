"""Downloads against a server of this machine: resumed, verified, unpacked without leaving the
target.
"""

import errno
import hashlib
import io
import json
import os
import random
import shutil
import stat
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sotglp_core import cli, load_task
from sotglp_core.data.catalogue import CATALOGUE, Archive
from sotglp_core.data.download import fetch, get, unpack

CONTENT = bytes(range(256)) * 1000
MD5, SHA256 = hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    """A web server whose ``files`` a test fills; it notes the requests, and can break off or
    ignore ranges.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if http.ranges else 0
            http.asked.append((self.path, self.headers.get("Range")))
            content = http.files.get(self.path)
            if content is None:
                return self.send_error(404)
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                return self.end_headers()
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", http.length or str(len(content) - start))
            if start:
                self.send_header(
                    "Content-Range",
                    f"bytes {start}-{len(content) - 1}/{len(content)}",
                )
            self.end_headers()
            self.wfile.write(content[start:][: http.breaks_after])

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.files, http.asked, http.ranges = {"/file.bin": CONTENT}, [], True
    http.breaks_after, http.length = None, None
    http.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


def archive(kind, members):
    """Bytes of a tar or zip of (name, content); content may be a function that changes the tar or
    zip entry.
    """
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as file:
            for name, content in members:
                entry = zipfile.ZipInfo(name)
                if callable(content):
                    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
                    content = b"/etc/passwd"
                file.writestr(entry, content)
    else:
        with tarfile.open(fileobj=buffer, mode=kind) as file:
            for name, content in members:
                entry = tarfile.TarInfo(name)
                if callable(content):
                    content(entry)
                    file.addfile(entry)
                else:
                    entry.size = len(content)
                    file.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def link(entry):
    entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"


def hard_link(entry):
    entry.type, entry.linkname = tarfile.LNKTYPE, "../../etc/passwd"


def device(entry):
    entry.type = tarfile.CHRTYPE


def test_fetch_and_fetch_again(server, tmp_path):
    path = fetch(
        f"{server.url}/file.bin",
        tmp_path / "file.bin",
        digest=SHA256,
    )
    assert path.read_bytes() == CONTENT and os.listdir(path.parent) == ["file.bin"]
    fetch(f"{server.url}/file.bin", path, digest=MD5)
    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    path = tmp_path / "file.bin"
    for stop in (70_000, 100_000):
        server.breaks_after = stop
        with pytest.raises(ValueError, match="run it again") as error:
            fetch(f"{server.url}/file.bin", path, digest=MD5)
        assert len(str(error.value).splitlines()) == 1 and not path.exists()
    assert (tmp_path / "file.bin.part").stat().st_size == 170_000
    server.breaks_after = None
    assert fetch(f"{server.url}/file.bin", path, digest=MD5).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [
        "bytes=0-",
        "bytes=70000-",
        "bytes=170000-",
    ] and os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.parametrize(
    "part, ranges",
    [(CONTENT, True), (CONTENT[:99], False), (b"x" * 99, False)],
)
def test_parts_that_are_whole_or_can_not_be_continued(part, ranges, server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(part)
    server.ranges = ranges
    assert (
        fetch(f"{server.url}/file.bin", tmp_path / "file.bin", digest=MD5).read_bytes() == CONTENT
    )


@pytest.mark.parametrize("digest", ["0" * 32, "0" * 64])
def test_another_file_than_expected_is_removed(digest, server, tmp_path):
    with pytest.raises(ValueError, match="digest is .*, not 000.*it is removed"):
        fetch(f"{server.url}/file.bin", tmp_path / "file.bin", digest=digest)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("url", ["SERVER/none", "http://127.0.0.1:1/x"])
def test_links_that_lead_nowhere(url, server, tmp_path):
    with pytest.raises(ValueError, match="could not be downloaded") as error:
        fetch(url.replace("SERVER", server.url), tmp_path / "x")
    assert len(str(error.value).splitlines()) == 1 and not (tmp_path / "x").exists()


SUFFIX = {"zip": ".zip", "w": ".tar", "w:gz": ".tar.gz"}


@pytest.mark.parametrize("kind", SUFFIX)
def test_unpack(kind, tmp_path):
    path = tmp_path / f"archive{SUFFIX[kind]}"
    path.write_bytes(archive(kind, [("top/a/1.jpg", b"one"), ("top/2.jpg", b"two")]))
    unpack(path, tmp_path / "out")
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in files}
    assert found == {"top/a/1.jpg": b"one", "top/2.jpg": b"two"} and not path.exists()


@pytest.mark.parametrize("kind", SUFFIX)
@pytest.mark.parametrize(
    "name, content",
    [
        ("../evil", b"x"),
        ("a/../../evil", b"x"),
        ("/tmp/evil-of-a-test", b"x"),
        ("a/link", link),
        ("a/hard", hard_link),
        ("a/device", device),
    ],
)
def test_no_archive_leaves_the_target(kind, name, content, tmp_path):
    if kind == "zip" and content in (hard_link, device):
        pytest.skip("a zip has none")
    (tmp_path / "box").mkdir()
    path = tmp_path / "box" / f"archive{SUFFIX[kind]}"
    path.write_bytes(archive(kind, [(name, content), ("fine", b"x")]))
    if kind == "zip":  # such names are left out, and links are files of what they point to
        unpack(path, tmp_path / "box" / "out")
    else:
        try:
            unpack(path, tmp_path / "box" / "out")
        except ValueError as error:
            assert "can't be unpacked" in str(error) and len(str(error).splitlines()) == 1
        else:
            assert name.startswith("/"), "whose first slash is left out"
    assert not (tmp_path / "evil").exists() and not os.path.exists("/tmp/evil-of-a-test")
    links = [p for p in tmp_path.rglob("*") if p.is_symlink()]
    assert not links and {p.name for p in tmp_path.iterdir()} == {"box"}


@pytest.mark.parametrize("kind, cut", [("w:gz", 5000), ("w", 5000), ("zip", -30), ("w", 0)])
def test_damaged_archives(kind, cut, tmp_path):
    content = archive(kind, [("a", random.Random(0).randbytes(9999))])
    for verified in (False, True):
        path = tmp_path / f"archive{SUFFIX[kind]}"
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match="can't be unpacked"):
            unpack(path, tmp_path / "out", verified=verified)
        assert path.exists() == verified


@pytest.mark.parametrize("kind, verified", [("w:gz", True), ("w:gz", False), ("zip", False)])
def test_pythons_without_filters(kind, verified, tmp_path, monkeypatch):
    """Before 3.11.4 there is no filter, and unpack_archive does not know the word."""
    path = tmp_path / f"archive{SUFFIX[kind]}"
    path.write_bytes(archive(kind, [("a", b"one")]))
    original = shutil.unpack_archive
    monkeypatch.delattr("tarfile.data_filter")
    monkeypatch.setattr("shutil.unpack_archive", lambda name, target: original(name, target))
    if kind == "zip" or verified:
        unpack(path, tmp_path / "out", verified=verified)
        assert (tmp_path / "out" / "a").read_bytes() == b"one"
    else:
        with pytest.raises(ValueError, match="without a digest.* Python 3.11.4 or newer"):
            unpack(path, tmp_path / "out")
        assert path.exists()


def test_a_full_disk_costs_no_archive(tmp_path, monkeypatch):
    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "archive.zip"
    path.write_bytes(archive("zip", [("a", b"x")]))
    monkeypatch.setattr("shutil.unpack_archive", full)
    with pytest.raises(ValueError, match="No space left"):
        unpack(path, tmp_path / "out")
    assert path.exists()


@pytest.fixture
def splits(server, monkeypatch):
    """The split files are on the server, too: one image of every class in train and in test."""
    monkeypatch.setattr("sotglp_core.data.download.SPLITS", server.url)

    def serve(row, *classes, counts=None):
        rows = [
            [f"{name}/image_000{i}.jpg", label, name]
            for label, name in enumerate(classes)
            for i in (0, 1)
        ]
        content = json.dumps({"train": rows[::2], "val": [], "test": rows[1::2]}).encode()
        server.files[f"/{row.split}"] = content
        digest = hashlib.sha256(content).hexdigest() if counts is None else None
        counts = counts or [len(classes), 0, len(classes)]
        return replace(row, split_sha256=digest, counts=counts)

    return serve


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["sotglp", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    return stop.value.code or 0, " ".join(out.split()), err


def test_get_a_dataset(server, splits, tmp_path, monkeypatch, capsys):
    """The shape of Caltech-101's download, an archive in an archive, broken off in the middle."""
    images = [
        f"101_ObjectCategories/{c}/image_000{i}.jpg" for c in ("crab", "Faces") for i in range(4)
    ]
    inner = archive("w:gz", [(name, random.Random(name).randbytes(9999)) for name in images])
    outer = archive(
        "zip",
        [
            ("caltech-101/101_ObjectCategories.tar.gz", inner),
            ("caltech-101/Annotations.tar", b"not needed"),
        ],
    )
    server.files["/caltech-101.zip"] = outer
    real = CATALOGUE["caltech101"].archives[0]
    link = replace(real, url=f"{server.url}/caltech-101.zip", md5=hashlib.md5(outer).hexdigest())
    row = splits(replace(CATALOGUE["caltech101"], archives=[link]), "crab", "Faces")
    monkeypatch.setitem(CATALOGUE, "caltech101", row)
    server.breaks_after = 30_000
    command = ("data", "get", "caltech101", "--root", tmp_path)
    code, _, err = run(monkeypatch, capsys, *command)
    assert code == 2 and "run it again" in err
    server.breaks_after = None
    for _ in range(2):
        code, out, _ = run(monkeypatch, capsys, *command)
        assert code == 0 and "licence: CC BY 4.0" in out
    assert len(list((tmp_path / "caltech-101/101_ObjectCategories").rglob("*.jpg"))) == 8
    asked = [("/caltech-101.zip", "bytes=0-"), ("/caltech-101.zip", "bytes=30000-")]
    assert server.asked == [*asked, (f"/{row.split}", "bytes=0-")]
    assert {p.name for p in (tmp_path / "caltech-101").iterdir()} == {
        "101_ObjectCategories",
        "Annotations.tar",
        ".download.lock",
        row.split,
    }
    assert len(load_task("caltech101", root=tmp_path, shots=1).train.paths) == 2


def test_another_split_than_expected_does_not_stay(server, splits, tmp_path):
    row = replace(CATALOGUE["food101"], archives=[])
    assert row.split_sha256 is None, "known by its counts alone"
    splits(row, "pho", "waffles", counts=row.counts)
    with pytest.raises(ValueError, match="is not the split that was expected; it is removed"):
        get(row, tmp_path)
    assert not (tmp_path / row.folder / row.split).exists()
    own = tmp_path / row.folder / row.split
    own.write_text("{}")
    get(row, tmp_path)
    assert own.read_text() == "{}", "a split file that is there is the user's"


def test_what_is_there_is_left_alone_and_what_vanished_is_fetched_again(server, splits, tmp_path):
    server.files["/x.tgz"] = archive("w:gz", [("images/a/image_0000.jpg", b"x")])
    row = replace(CATALOGUE["oxford_pets"], archives=[Archive(f"{server.url}/x.tgz")])
    row = splits(row, "a", "b")
    images = tmp_path / row.folder / "images"
    images.mkdir(parents=True)
    get(row, tmp_path)
    assert [path for path, _ in server.asked] == [f"/{row.split}"] and not os.listdir(images)
    images.rmdir()
    for _ in range(2):
        get(row, tmp_path)
    assert [path for path, _ in server.asked[1:]] == ["/x.tgz"]
    assert (images / "a/image_0000.jpg").exists()


def test_an_unverified_archive_that_is_damaged_does_not_stay(server, tmp_path):
    server.files["/x.tgz"] = b"<html>moved</html>"
    row = replace(CATALOGUE["oxford_pets"], archives=[Archive(f"{server.url}/x.tgz")])
    with pytest.raises(ValueError, match="can't be unpacked"):
        get(row, tmp_path)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == [".download.lock"]


def test_a_length_that_is_no_number_is_no_length(server, tmp_path):
    server.length = "many"
    assert fetch(f"{server.url}/file.bin", tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "name, message",
    [("caltech", "did you mean 'caltech101'"), ("zzz", "there is no dataset 'zzz'")],
)
def test_names_that_are_none(name, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sotglp", "data", "get", name, "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.parametrize(
    "row", [r for r in CATALOGUE.values() if not r.archives], ids=lambda row: row.name
)
def test_what_can_not_be_downloaded_is_explained(row, splits, tmp_path, monkeypatch, capsys):
    if row.split:
        monkeypatch.setitem(CATALOGUE, row.name, splits(row, "a", "b"))
    code, out, err = run(monkeypatch, capsys, "data", "get", row.name, "--root", tmp_path)
    assert code == 0 and "by hand" in out and " ".join(row.get.split()) in out, err
    assert row.dead in out
    assert not row.split or (tmp_path / row.folder / row.split).is_file()
