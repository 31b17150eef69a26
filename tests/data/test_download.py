"""Downloads against a server of this machine: resumed, verified, unpacked without leaving the target."""

import hashlib
import io
import os
import random
import stat
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sotglp_core import cli
from sotglp_core.data.catalogue import CATALOGUE, Archive
from sotglp_core.data.download import fetch, get, unpack

CONTENT = bytes(range(256)) * 1000
MD5, SHA256 = hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    """A web server whose ``files`` a test fills; it notes the requests, and can break off, ignore ranges or answer a wrong one."""

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
            self.send_header("Content-Length", str(len(content) - start))
            if start:
                self.send_header(
                    "Content-Range",
                    f"bytes {start + http.offset}-{len(content) - 1}/{len(content)}",
                )
            self.end_headers()
            self.wfile.write(content[start:][: http.breaks_after])

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.files, http.asked, http.ranges, http.breaks_after, http.offset = (
        {"/file.bin": CONTENT},
        [],
        True,
        None,
        0,
    )
    http.url = f"http://127.0.0.1:{http.server_port}"
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


def archive(kind, members):
    """Bytes of a tar or zip of (name, content); content may be a function that changes the tar or zip entry."""
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
        tmp_path / "deep" / "file.bin",
        md5=MD5,
        sha256=SHA256.upper(),
        progress=False,
    )
    assert path.read_bytes() == CONTENT and os.listdir(path.parent) == ["file.bin"]
    fetch(f"{server.url}/file.bin", path, md5=MD5)
    assert len(server.asked) == 1


def test_an_interrupted_download_goes_on_where_it_stopped(server, tmp_path):
    path = tmp_path / "file.bin"
    for stop in (70_000, 100_000):
        server.breaks_after = stop
        with pytest.raises(ValueError, match="run it again") as error:
            fetch(f"{server.url}/file.bin", path, md5=MD5, progress=False)
        assert len(str(error.value).splitlines()) == 1 and not path.exists()
    assert (tmp_path / "file.bin.part").stat().st_size == 170_000
    server.breaks_after = None
    assert fetch(f"{server.url}/file.bin", path, md5=MD5, progress=False).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [
        None,
        "bytes=70000-",
        "bytes=170000-",
    ] and os.listdir(tmp_path) == ["file.bin"]


@pytest.mark.parametrize(
    "part, ranges",
    [(CONTENT, True), (CONTENT + b"more", True), (CONTENT[:99], False), (b"x" * 99, False)],
)
def test_parts_that_are_whole_too_long_or_can_not_be_continued(part, ranges, server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(part)
    server.ranges = ranges
    assert (
        fetch(f"{server.url}/file.bin", tmp_path / "file.bin", md5=MD5, progress=False).read_bytes()
        == CONTENT
    )


def test_another_range_than_asked_for_is_refused(server, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:99])
    server.offset = 1
    with pytest.raises(ValueError, match="another range"):
        fetch(f"{server.url}/file.bin", tmp_path / "file.bin", progress=False)
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:99]


@pytest.mark.parametrize("digest", [dict(md5="0" * 32), dict(sha256="0" * 64)])
def test_another_file_than_expected_is_removed(digest, server, tmp_path):
    with pytest.raises(ValueError, match=f"{list(digest)[0]} is .*, not 000.* it is removed"):
        fetch(f"{server.url}/file.bin", tmp_path / "file.bin", progress=False, **digest)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "SERVER/none", "http://127.0.0.1:1/x", "ftp://example.org/x"]
)
def test_links_that_lead_nowhere(url, server, tmp_path):
    with pytest.raises(ValueError, match="could not be downloaded|not a link of the web") as error:
        fetch(url.replace("SERVER", server.url), tmp_path / "x", progress=False)
    assert len(str(error.value).splitlines()) == 1 and not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz"])
def test_unpack(kind, tmp_path):
    members = [
        ("top/a/1.jpg", b"one"),
        ("top/2.jpg", b"two"),
        ("README", b"no"),
        ("__MACOSX/top/1.jpg", b"no"),
        ("top/._2.jpg", b"no"),
    ]
    (tmp_path / "archive").write_bytes(archive(kind, members))
    assert unpack(tmp_path / "archive", tmp_path / "out", strip=1) == 2
    found = {
        str(p.relative_to(tmp_path / "out")): p.read_bytes()
        for p in (tmp_path / "out").rglob("*")
        if p.is_file()
    }
    assert found == {"a/1.jpg": b"one", "2.jpg": b"two"}


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz"])
@pytest.mark.parametrize(
    "name, content",
    [
        ("../evil", b"x"),
        ("a/../../evil", b"x"),
        ("/tmp/evil-of-a-test", b"x"),
        ("a\\..\\..\\evil", b"x"),
        ("C:/evil", b"x"),
        ("a/link", link),
        ("a/hard", hard_link),
        ("a/device", device),
    ],
)
def test_archives_that_would_leave_the_target_are_refused(kind, name, content, tmp_path):
    if kind == "zip" and content in (hard_link, device):
        pytest.skip("a zip has none")
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "archive").write_bytes(
        archive(kind, [("a/fine", b"x"), (name, content), ("a/link/evil", b"x")])
    )
    with pytest.raises(ValueError, match="is not unpacked") as error:
        unpack(tmp_path / "box" / "archive", tmp_path / "box" / "out")
    assert len(str(error.value).splitlines()) == 1
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {
        "archive",
        "fine",
    } and not os.path.exists("/tmp/evil-of-a-test")


def test_links_that_are_there_already_are_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "outside")
    (tmp_path / "archive").write_bytes(archive("w", [("a/evil", b"x")]))
    with pytest.raises(ValueError, match="leads out of"):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert not os.listdir(tmp_path / "outside")


@pytest.mark.parametrize(
    "kind, cut", [("w:gz", 5000), ("w", 5000), ("zip", -30), ("w", 0), (None, 99)]
)
def test_damaged_archives(kind, cut, tmp_path):
    content = archive(kind, [("a", random.Random(0).randbytes(9999))]) if kind else b"junk" * 999
    (tmp_path / "archive").write_bytes(content[:cut])
    with pytest.raises(ValueError, match="can't be unpacked"):
        unpack(tmp_path / "archive", tmp_path / "out")


def test_get_a_dataset(server, tmp_path, monkeypatch, capsys):
    """The shape of Caltech-101's download, an archive in an archive, broken off once in the middle."""
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
    link = Archive(
        f"{server.url}/caltech-101.zip",
        hashlib.md5(outer).hexdigest(),
        strip=1,
        inner="101_ObjectCategories.tar.gz",
    )
    monkeypatch.setitem(CATALOGUE, "caltech101", replace(CATALOGUE["caltech101"], archives=(link,)))
    monkeypatch.setattr(
        sys, "argv", ["sotglp", "data", "get", "caltech101", "--root", str(tmp_path)]
    )
    server.breaks_after = 30_000
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2 and "run it again" in capsys.readouterr().err
    server.breaks_after = None
    for _ in range(2):
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out = " ".join(capsys.readouterr().out.split())
        assert (
            not stop.value.code
            and "licence: CC BY 4.0" in out
            and "split_zhou_Caltech101.json" in out
        )
    assert len(list((tmp_path / "caltech-101/101_ObjectCategories").rglob("*.jpg"))) == 8
    assert [asked for _, asked in server.asked] == [None, "bytes=30000-"]
    assert {p.name for p in (tmp_path / "caltech-101").iterdir()} == {
        "101_ObjectCategories",
        "Annotations.tar",
        ".caltech-101.zip.done",
    }


def test_what_is_there_is_left_alone_and_what_vanished_is_fetched_again(server, tmp_path):
    server.files["/x.tgz"] = archive("w:gz", [("images/1.jpg", b"x")])
    row = replace(CATALOGUE["oxford_pets"], archives=(Archive(f"{server.url}/x.tgz"),))
    (tmp_path / row.folder / "images").mkdir(parents=True)
    get(row, tmp_path, progress=False)
    assert not server.asked and not os.listdir(tmp_path / row.folder / "images")
    (tmp_path / row.folder / "images").rmdir()
    for _ in range(2):
        get(row, tmp_path, progress=False)
    assert len(server.asked) == 1
    (tmp_path / row.folder / "images/1.jpg").unlink()
    (tmp_path / row.folder / "images").rmdir()
    get(row, tmp_path, progress=False)
    assert len(server.asked) == 2 and (tmp_path / row.folder / "images/1.jpg").exists()


def test_an_unverified_archive_that_is_damaged_does_not_stay(server, tmp_path):
    server.files["/x.tgz"] = b"<html>moved</html>"
    row = replace(CATALOGUE["oxford_pets"], archives=(Archive(f"{server.url}/x.tgz"),))
    with pytest.raises(ValueError, match="can't be unpacked"):
        get(row, tmp_path, progress=False)
    assert not any(p.is_file() for p in tmp_path.rglob("*"))


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
def test_what_can_not_be_downloaded_is_explained(row, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["sotglp", "data", "get", row.name, "--root", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out = " ".join(capsys.readouterr().out.split())
    assert (
        not stop.value.code
        and "by hand" in out
        and " ".join(row.get.split()) in out
        and row.dead in out
    )
    with pytest.raises(ValueError, match="no link"):
        get(row, tmp_path)
