"""Fetch the book's JavaScript library to ``book/_static/vendor``, to be read offline."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent / "_static" / "vendor"
MATHJAX = "mathjax@3.2.2"
VERSIONS = f"{MATHJAX}\n"
NOTE = "note: {}; the book will load mathematics from the network when it is read"


def fetch() -> bool:
    """Fetch the pinned library through npm, once; False (and a note) where that can't be done."""
    done = VENDOR / "versions.txt"
    if done.is_file() and done.read_text() == VERSIONS:
        return True
    npm = shutil.which("npm")
    if npm is None:
        print(NOTE.format("npm is not installed"))
        return False
    shutil.rmtree(VENDOR, ignore_errors=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _unpack(npm, MATHJAX, Path(folder, "mathjax"), "es5/tex-svg-full.js")
    except (
        OSError,
        KeyError,
        StopIteration,
        subprocess.SubprocessError,
        tarfile.TarError,
    ) as error:
        print(NOTE.format(f"npm could not fetch the library ({type(error).__name__})"))
        shutil.rmtree(VENDOR, ignore_errors=True)
        return False
    done.write_text(VERSIONS)
    return True


def _unpack(npm: str, package: str, folder: Path, script: str) -> None:
    """Take one script out of a package, with the fonts that it names."""
    folder.mkdir()
    subprocess.run(
        [npm, "pack", "--silent", "--fetch-retries=1", "--fetch-timeout=30000", package],
        cwd=folder,
        check=True,
        timeout=180,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    VENDOR.mkdir(parents=True, exist_ok=True)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        text = archive.extractfile(f"package/{script}").read()
        (VENDOR / Path(script).name).write_bytes(text)
        fonts = set(re.findall(rb"[0-9a-f]+\.woff2", text))
        for member in archive.getmembers():
            if Path(member.name).name.encode() in fonts:
                (VENDOR / Path(member.name).name).write_bytes(archive.extractfile(member).read())


if __name__ == "__main__":
    sys.exit(not fetch())
