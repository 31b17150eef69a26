"""Generated bad inputs: pictures that are none, and folders that are no task."""

import io
import os
import random
import shutil
import socket
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, features


class Case(NamedTuple):
    name: str
    build: object  # (folder) -> arguments of load_task; the folder is empty before
    skippable: bool = False  # one file among many: skip_corrupt leaves out that alone
    private: bool = False  # made unreadable by its permissions, which bind everybody but root


def encoded(kind, size=(24, 20), **options):
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    noise = np.random.default_rng(0).integers(0, 255, x.shape)
    stream = io.BytesIO()
    Image.fromarray(np.stack([x, y, noise], -1).astype(np.uint8)).save(stream, kind, **options)
    return stream.getvalue()


GOOD = encoded("PNG")
FORMATS = {
    "jpg": encoded("JPEG", (64, 48)),
    "jpeg": encoded("JPEG", (64, 48), progressive=True),
    "png": encoded("PNG", (64, 48)),
    "gif": encoded("GIF", (64, 48)),
    "webp": encoded("WEBP", (64, 48)),
    "bmp": encoded("BMP", (64, 48)),
    "tif": encoded("TIFF", (64, 48)),
    "ppm": encoded("PPM", (64, 48)),
}
if features.check("avif"):
    FORMATS["avif"] = encoded("AVIF", (64, 48))


def photos(folder):
    """train/ and test/ of two classes, three good photos each; 12 in all."""
    for part in ("train", "test"):
        for name in ("fox", "owl"):
            (folder / part / name).mkdir(parents=True)
            for i in range(3):
                (folder / part / name / f"{i}.png").write_bytes(GOOD)


def with_file(name, content):
    """The good photos and one bad file; ``content`` is its bytes, or makes it."""

    def build(folder):
        photos(folder)
        bad = Path(
            os.fsdecode(
                os.fsencode(folder / random.Random(str(name)).choice(["train", "test"]) / "owl")
                + b"/"
                + os.fsencode(name)
            )
        )
        content(bad) if callable(content) else bad.write_bytes(content)
        return {"source": folder}

    return build


def png_of(width, height, body=b""):
    def chunk(kind, content):
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + body
        + chunk(b"IDAT", zlib.compress(bytes(3 * min(width, 999) + 1)))
        + chunk(b"IEND", b"")
    )


def jpeg_of(width, height):
    content = FORMATS["jpg"]
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def text_bomb():
    content = b"comment\0\0" + zlib.compress(bytes(80_000_000))
    return png_of(
        9,
        9,
        struct.pack(">I", len(content))
        + b"zTXt"
        + content
        + struct.pack(">I", zlib.crc32(b"zTXt" + content)),
    )


def image_cases():
    rng = random.Random(7)
    for suffix, content in FORMATS.items():
        for share in (0.02, 0.3, 0.6, 0.9):
            cut = max(1, int(len(content) * (share + rng.uniform(-0.01, 0.05))))
            yield f"{suffix} cut to {cut} of {len(content)} bytes", f"cut.{suffix}", content[:cut]
    for suffix in (
        "jpg",
        "JPG",
        "Jpeg",
        "PNG",
        "gif",
        "WebP",
        "bmp",
        "TIFF",
        "ppm",
        "jfif",
        *(["avif"] if "avif" in FORMATS else []),
    ):
        yield f"nothing in a .{suffix}", f"zero.{suffix}", b""
    texts = {
        "text": b"not a picture\n" * 9,
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "svg": b"<svg xmlns='x'></svg>",
        "json": b"{}",
        "pdf": b"%PDF-1.7\n%\xe2\xe3\n",
        "zip": b"PK\x03\x04" + bytes(60),
        "mp4": b"\0\0\0\x20ftypisom" + bytes(60),
        "heic": b"\0\0\0\x18ftypheic" + bytes(60),
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "script": b"#!/bin/sh\nexit 1\n",
        "blank": b" \n",
    }
    for kind, content in texts.items():
        suffix = "HEIC" if kind == "heic" else rng.choice(["jpg", "png", "gif", "tif"])
        yield f"{kind} called .{suffix}", f"renamed.{suffix}", content
    for kind, suffix in zip(
        ("png", "jpg", "gif", "webp", "bmp", "tif"), ("jpg", "png", "bmp", "gif", "tif", "webp")
    ):
        yield (
            f"{kind} with 16 random bytes in front",
            f"head.{suffix}",
            rng.randbytes(16) + FORMATS[kind][16:],
        )
    for width, height in (
        (100_000, 100_000),
        (2**31 - 1, 1),
        (1, 2**31 - 1),
        (65_500, 65_500),
        (12_300, 12_300),
        (30_000, 3),
        (0, 9),
    ):
        yield f"png of {width} x {height}", "bomb.png", png_of(width, height)
    yield "png with a text of 80 MB", "bomb.png", text_bomb()
    yield "jpeg of 65,000 x 65,000", "bomb.jpg", jpeg_of(65_000, 65_000)
    yield (
        "gif of 65,535 x 65,535",
        "bomb.gif",
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + FORMATS["gif"][10:],
    )
    yield (
        "bmp of a million squared",
        "bomb.bmp",
        FORMATS["bmp"][:18] + struct.pack("<ii", 10**6, 10**6) + FORMATS["bmp"][26:],
    )
    yield "ppm of a million squared", "bomb.ppm", b"P6 1000000 1000000 255\n" + bytes(99)
    yield "a pipe", "pipe.jpg", os.mkfifo
    yield (
        "a link to a pipe",
        "x.jpg",
        lambda path: (os.mkfifo(path.with_suffix("")), path.symlink_to(path.with_suffix(""))),
    )
    yield "a link to nothing", "x.jpg", lambda path: path.symlink_to("nowhere.jpg")
    yield "a link to itself", "x.jpg", lambda path: path.symlink_to(path)
    yield (
        "two links in a circle",
        "x.jpg",
        lambda path: (path.symlink_to("y"), (path.parent / "y").symlink_to("x.jpg")),
    )
    yield "a link to an endless device", "x.png", lambda path: path.symlink_to("/dev/zero")
    yield "a link to the null device", "x.png", lambda path: path.symlink_to("/dev/null")
    yield "a socket", "s.gif", bound_socket
    for name in (
        b"caf\xe9.jpg",
        b"\xff\xfe\xfd.png",
        "café.jpg",
        "two\nlines.jpg",
        "tab\tand\rreturn.png",
        "\x1b[31mred.jpg",
        "\u202egnp.exe.jpg",
        "-rf.png",
        "a b  c.jpg",
        "'quotes\".png",
        "{braces}%s.jpg",
        "[bold]x[bold].png",
        "l" * 250 + ".jpg",
        "日本.PNG",
        "x.jpg.JPG",
    ):
        yield f"junk called {name!r:.40}", name, b"junk"


def bound_socket(path):
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's whole path is limited to a hundred bytes
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
    os.chdir(here)


def folder_cases():
    def case(name, change, private=False, **arguments):
        def build(folder):
            for c in ("fox", "owl"):
                (folder / "photos" / c).mkdir(parents=True)
                for i in range(4):
                    (folder / "photos" / c / f"{i}.png").write_bytes(GOOD)
            change(folder / "photos")
            return {
                "source": folder / "photos",
                **{k: folder / v if k in ("ood", "names") else v for k, v in arguments.items()},
            }

        return Case(name, build, private=private)

    def class_of(name, content=GOOD):
        def change(photos):
            folder = os.fsencode(photos) + b"/" + os.fsencode(name)
            os.mkdir(folder)
            with open(folder + b"/0.png", "wb") as file:
                file.write(content)

        return change

    def nothing(photos):
        return None

    yield case("no folder", shutil.rmtree)
    yield case("a file for a folder", lambda p: (shutil.rmtree(p), p.write_bytes(GOOD)))
    yield case("a pipe for a folder", lambda p: (shutil.rmtree(p), os.mkfifo(p)))
    yield case("a link to itself for a folder", lambda p: (shutil.rmtree(p), p.symlink_to(p)))
    yield case("an empty folder", lambda p: (shutil.rmtree(p), p.mkdir()))
    yield case(
        "photos, but no class folders",
        lambda p: (shutil.rmtree(p), p.mkdir(), (p / "x.png").write_bytes(GOOD)),
    )
    yield case("one class", lambda p: shutil.rmtree(p / "owl"))
    yield case("a class without files", lambda p: (p / "lynx").mkdir())
    yield case(
        "a class of text files",
        lambda p: ((p / "lynx").mkdir(), (p / "lynx" / "a.txt").write_text("x")),
    )
    yield case(
        "a class of hidden files",
        lambda p: ((p / "lynx").mkdir(), (p / "lynx" / ".a.png").write_bytes(GOOD)),
    )
    yield case(
        "a class that links to all classes",
        lambda p: ((p / "lynx").mkdir(), (p / "lynx" / "all").symlink_to(p)),
    )
    for name in ("Fox", "_fox_", "FOX", "f\u200box"):
        yield case(f"a second class called {name!a}", class_of(name))
    for name in (b"caf\xe9", "___", "- -", "ring\abell"):
        yield case(f"a class called {name!r}", class_of(name))
    yield case("train without test", lambda p: shutil.copytree(p, p / "train"))
    yield case(
        "test without train", lambda p: ((p / "test").mkdir(), shutil.move(p / "fox", p / "test"))
    )
    yield case("an empty test", lambda p: (shutil.copytree(p, p / "train"), (p / "test").mkdir()))
    yield case(
        "a class that only test has",
        lambda p: (shutil.copytree(p, p / "test"), shutil.copytree(p / "fox", p / "train" / "fox")),
    )
    yield case("an unknown class", nothing, classes=["fox", "bat"])
    yield case("a class chosen twice", nothing, classes=["fox", "fox"])
    yield case("one class chosen", nothing, classes=["fox"])
    yield case("more shots than photos", nothing, shots=9, allow_fewer=False)
    yield case("no shots", nothing, shots=0)
    yield case("one photo in a class", class_of("lynx"))
    yield case("no OOD folder", nothing, ood="other")
    yield case("an empty OOD folder", lambda p: (p.parent / "other").mkdir(), ood="other")
    yield case("a pipe for an OOD folder", lambda p: os.mkfifo(p.parent / "other"), ood="other")
    yield case(
        "an OOD image that can't be read",
        lambda p: (p.parent / "x").mkdir() or (p.parent / "x" / "x.jpg").write_bytes(b"x"),
        ood="x",
    )
    for content in (
        "",
        "{",
        "[]",
        '{"fox": 1}',
        '{"fox": "a"}',
        '{"fox": "a", "owl": "A"}',
        '{"fox": "a", "owl": "\\ud800"}',
        "3",
        "null",
    ):
        yield case(
            f"class names {content!r}",
            lambda p, c=content: (p.parent / "names.json").write_text(c),
            names="names.json",
        )
    yield case("class names missing", nothing, names="names.json")
    yield case("class names a pipe", lambda p: os.mkfifo(p.parent / "names.csv"), names="names.csv")
    yield case("a folder that can't be entered", lambda p: p.chmod(0), private=True)
    yield case("a class that can't be entered", lambda p: (p / "fox").chmod(0), private=True)
    yield case(
        "a photo that can't be opened",
        lambda p: [(p / "fox" / f"{i}.png").chmod(0) for i in range(4)],
        private=True,
    )
    yield case(
        "a folder below that can't be entered",
        lambda p: (p / "fox" / "more").mkdir(0),
        private=True,
    )
