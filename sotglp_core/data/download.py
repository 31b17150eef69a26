"""Download a file so that an interrupted download goes on where it stopped, verify it, and unpack it without leaving the target."""

from __future__ import annotations

import hashlib
import shutil
import stat
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ..messages import progress_bar
from .catalogue import Dataset

BLOCK = 1 << 20
TIMEOUT = 60  # seconds without a byte


def fetch(
    url: str,
    path: str | Path,
    *,
    md5: str | None = None,
    sha256: str | None = None,
    progress: bool = True,
) -> Path:
    """The file behind a link, whole and verified. What has arrived is kept in ``path``.part; the next call asks for the rest.

    :param md5: what the file's digest must be, in hexadecimal digits; without any digest only its length is checked.
    :param sha256: the same.
    :return: ``path``; nothing is downloaded if it is there already.
    :raises ValueError: if the server can't be reached, stops early (the part is kept), or sends another file (the part is removed).
    """
    path = Path(path)
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url} is not a link of the web; give one that begins with https://")
    if path.is_file():
        return _verified(path, path, md5, sha256, url)
    part = path.with_name(f"{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.is_file() else 0
    try:
        with _opened(url, have) as answer:
            if answer is not None:
                have = have if answer.status == 206 else 0
                if have and not answer.headers.get("Content-Range", "").startswith(
                    f"bytes {have}-"
                ):
                    raise OSError("the server sent another range than it was asked for")
                left = answer.headers.get("Content-Length")
                total = have + int(left) if left else None
                bar = progress_bar(
                    total=total,
                    initial=have,
                    desc=path.name,
                    unit="B",
                    unit_scale=True,
                    show=progress,
                )
                with open(part, "r+b" if have else "wb") as file, bar:
                    file.seek(have)
                    while block := answer.read(BLOCK):
                        file.write(block)
                        bar.update(len(block))
                if total is not None and part.stat().st_size != total:
                    raise ValueError(
                        f"{url} stopped after {part.stat().st_size} of {total} bytes; run it again to get the rest"
                    )
    except (OSError, HTTPException) as error:
        got = part.stat().st_size if part.is_file() else 0
        raise ValueError(
            f"{url} could not be downloaded ({str(error)[:120]}); {got} bytes are kept, run it again for the rest"
        ) from None
    return _verified(part, path, md5, sha256, url)


def _opened(url: str, have: int) -> AbstractContextManager[Any]:
    """The answer from byte ``have`` on; or none where the server says that there is nothing left."""
    request = urllib.request.Request(
        url, headers={"User-Agent": "sotglp", **({"Range": f"bytes={have}-"} if have else {})}
    )
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            return (
                nullcontext()
                if error.headers.get("Content-Range", "").endswith(f"/{have}")
                else _opened(url, 0)
            )
        raise


def _verified(part: Path, path: Path, md5: str | None, sha256: str | None, url: str) -> Path:
    for name, wanted in (("md5", md5), ("sha256", sha256)):
        if wanted is None:
            continue
        with open(part, "rb") as file:
            found = hashlib.file_digest(file, name).hexdigest()
        if found != wanted.lower():
            part.unlink()
            raise ValueError(
                f"{url} is not the file that was expected: its {name} is {found}, not {wanted}; it is removed, "
                "run it again, and if that does not help, the publisher has changed it"
            )
    return part.replace(path)


def unpack(archive: str | Path, target: str | Path, *, strip: int = 0) -> int:
    """Write an archive's files (tar, compressed or not, or zip) below ``target``; macOS's own extra files are left out.

    :param strip: leading folders of every name to leave out; files above them are left out, too.
    :return: how many files were written.
    :raises ValueError: before writing it, on a file whose name leaves the target, or that is a link or a device; on a damaged archive.
    """
    archive, target, written = Path(archive), Path(target).resolve(), 0
    try:
        for name, source in _members(archive):
            if (place := _inside(archive, name, target, strip)) is None:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with source, open(place, "wb") as file:
                shutil.copyfileobj(source, file, BLOCK)
            written += 1
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
        UnicodeError,
    ) as error:
        raise ValueError(
            f"{archive} can't be unpacked: {str(error)[:150] or type(error).__name__}"
        ) from None
    return written


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise ValueError(
                        f"{archive} holds {member.filename!r}, which is a link or a device; it is not unpacked"
                    )
                if not member.is_dir():
                    yield member.filename, file.open(member)
        return
    with tarfile.open(archive, "r|*") as stream:
        for entry in stream:
            if not (entry.isreg() or entry.isdir()):
                raise ValueError(
                    f"{archive} holds {entry.name!r}, which is a link or a device; it is not unpacked"
                )
            if content := stream.extractfile(entry) if entry.isreg() else None:
                yield entry.name, content


def _inside(archive: Path, name: str, target: Path, strip: int) -> Path | None:
    pure = PurePosixPath(name)
    if (
        pure.is_absolute()
        or ".." in pure.parts
        or any(c in name for c in "\\\0")
        or ":" in name.partition("/")[0]
    ):
        raise ValueError(
            f"{archive} holds {name!r}, which would leave {target}; it is not unpacked"
        )
    parts = pure.parts[strip:]
    if not parts or "__MACOSX" in pure.parts or pure.name.startswith("._"):
        return None
    place = target.joinpath(*parts)
    if place.is_symlink() or not place.resolve().is_relative_to(target):
        raise ValueError(
            f"{archive} holds {name!r}, but {place} leads out of {target}; it is not unpacked"
        )
    return place


def get(row: Dataset, root: str | Path, *, progress: bool = True) -> Path:
    """Download and unpack a dataset of the catalogue; archives are removed once they are unpacked, and what is there already is left alone.

    :return: the dataset's folder.
    :raises ValueError: if there is no link for it, and as :func:`fetch` and :func:`unpack`.
    """
    folder = Path(root) / row.folder
    if not row.archives:
        raise ValueError(f"{row.title} has no link that can be followed for you: {row.get}")
    names = [archive.url.rpartition("/")[2] for archive in row.archives]
    begun = any(
        (folder / trace).exists()
        for name in names
        for trace in (name, f"{name}.part", f".{name}.done")
    )
    if (there := row.find(root)) and not begun:
        return there
    for archive, name in zip(row.archives, names):
        done = folder / f".{name}.done"
        if there and done.exists():
            continue
        path = fetch(archive.url, folder / name, md5=archive.md5, progress=progress)
        if name.endswith((".zip", ".tar", ".tar.gz", ".tgz")):
            try:
                unpack(path, folder, strip=archive.strip)
            except ValueError:
                if archive.md5 is None:  # nothing vouches for it
                    path.unlink()
                raise
            if archive.inner:
                unpack(folder / archive.inner, folder)
                (folder / archive.inner).unlink()
            path.unlink()
        done.touch()
    return folder
