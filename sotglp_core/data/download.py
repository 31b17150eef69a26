"""Get a dataset: an interrupted download goes on where it stopped, is verified and unpacked."""

import hashlib
import shutil
import tarfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from filelock import FileLock

from ..messages import progress_bar
from .catalogue import Dataset, read_split

SPLITS = (
    "https://raw.githubusercontent.com/MarcLafon/gallop/f75999e1601cc66e44bc6ff6faa8612021055ff3"
    "/gallop/datasets/files"
)  # CoOp's split files


def get(row: Dataset, root: Path) -> Path:
    """Download what there are links for: a dataset's archives, which are unpacked, and its split.

    What is there already is left alone.

    :return: the dataset's folder.
    :raises ValueError: as :func:`fetch` and :func:`unpack`; on another split than expected.
    """
    folder = row.find(root) or root / row.folder
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".download.lock"):
        for archive in row.archives:
            path = folder / Path(archive.url).name
            if path.exists() or Path(f"{path}.part").exists() or not row.find(root):
                fetch(archive.url, path, digest=archive.md5)
                target = root if archive.top else folder
                unpack(path, target, verified=archive.md5 is not None)
                if archive.inner:
                    unpack(target / archive.inner, folder, verified=True)
        folder = row.find(root) or folder
        split = folder / row.split
        if row.split and not split.exists():
            fetch(f"{SPLITS}/{row.split}", split, digest=row.split_sha256)
            if [*map(len, read_split(row, folder).parts.values())] != row.counts:
                split.unlink()
                raise ValueError(f"{row.split} is not the split that was expected; it is removed")
    return folder


def fetch(url: str, path: Path, *, digest: str | None = None) -> Path:
    """The file behind a link, whole and verified.

    What has arrived is kept in ``path``.part; the next call asks for the rest.

    :param digest: the file's MD5 or SHA-256 in hexadecimal digits; None: its length is checked.
    :return: ``path``; nothing is downloaded if it is there already.
    :raises ValueError: if the server can't be reached, stops early (the part is kept), or sends
        another file (which is removed).
    """
    part = Path(f"{path}.part")
    if not path.is_file():
        try:
            _download(url, part)
        except (OSError, HTTPException) as error:
            raise ValueError(
                f"{url} could not be downloaded ({str(error)[:120]}); what has arrived is kept, "
                "run it again for the rest"
            ) from None
        part.replace(path)
    if digest:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "md5" if len(digest) == 32 else "sha256").hexdigest()
        if found != digest:
            path.unlink()
            raise ValueError(
                f"{url} is not the file that was expected: its digest is {found}, not {digest}; it "
                "is removed, run it again; if that does not help, it was changed where it lies"
            )
    return path


def unpack(archive: Path, target: Path, *, verified: bool = False) -> None:
    """Write the files of a tar (compressed or not) or zip below ``target``; remove the archive.

    No name or link of the archive leads out of ``target``: Python's own filters see to that, which
    came with Python 3.11.4.

    :param verified: the archive is known to be whole; others are removed if they turn out damaged.
    :raises ValueError: on a damaged archive, one with names that lead out, an unverified tar before
        Python 3.11.4, or if there is no room or no permission.
    """
    options: dict[str, Any] = {}
    if archive.suffix != ".zip":
        if hasattr(tarfile, "data_filter"):
            options = {"filter": "data"}
        elif not verified:
            raise ValueError(
                f"{archive} came without a digest, and this Python can't unpack it safely; use "
                "Python 3.11.4 or newer, or unpack it by hand and remove it"
            )
    try:
        shutil.unpack_archive(archive, target, **options)
    except Exception as error:  # what damaged archives raise has no common type
        if not (verified or getattr(error, "errno", None)):
            archive.unlink()
        raise ValueError(f"{archive} can't be unpacked: {str(error)[:150]}") from None
    archive.unlink()


def _download(url: str, part: Path) -> None:
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "sotglp", "Range": f"bytes={have}-"}
    request = urllib.request.Request(url, headers=headers)
    try:
        answer = urllib.request.urlopen(request, timeout=60)  # seconds without a byte
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            return  # nothing is missing; whether it is too much, the digest tells
        raise
    with answer, open(part, "ab") as file:
        if answer.status != 206:  # the server begins anew
            have = file.truncate(0)
        total = answer.length and have + answer.length  # None: not known
        with progress_bar(
            total=total, initial=have, desc=part.stem, unit="B", unit_scale=True
        ) as bar:
            while block := answer.read(1 << 20):
                file.write(block)
                bar.update(len(block))
        if answer.length:
            raise OSError(f"it stopped {answer.length} bytes before its end")
