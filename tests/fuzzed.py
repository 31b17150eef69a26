"""Command lines and the files that they name, each made from a number, and most of them wrong in
some way.
"""

import json
import os
import random
import shutil

import numpy as np
from bent import NUMBERS, TEXTS, VALUES, bend, bent_bytes, bombs, near, odd, written
from PIL import Image
from typer.main import get_command

from sotglp_core import SOTGLP, preset, save
from sotglp_core.cli import app
from sotglp_core.cli.settings import known_settings
from sotglp_core.config import PRESETS
from sotglp_core.data.catalogue import CATALOGUE
from sotglp_core.judging.threshold import OODThreshold
from sotglp_core.method.fixed import text_free

KINDS = known_settings()
SLOW = ("epochs", "views", "seeds")  # of which many are much work, as was asked for
SANE = {
    int: (0, 1, 2, 3, 64, 10**8, 999_999_999),
    float: (0, 1, 0.5, 3, 1e-300, 1e-5, 1e300),
    str: TEXTS,
    bool: (True, False),
}
CHOICES = {
    "preset": list(PRESETS),
    "allocation": ["ot", "uniform", "topk", "max"],
    "local_init": ["normal"],
    "global_init": ["normal"],
    "device": [
        "cpu",
        "cpu:0",
        "cpu:9",
        "warp",
        "",
        "meta",
        "mps",
        "xla",
        "hpu",
        "cuda:99",
        "cpu\0",
        "privateuseone",
        "\x1b[31m",
    ],
    "backbone": [
        "pocke",
        "RN50",
        "ViT-B-16",
        "ViT-B-16-SigLIP",
        "coca_ViT-B-32",
        "hf-hub:a/b",
        "local-dir:.",
        "local-dir:",
    ],
}
NAMES = (
    "plain",
    "-x",
    "--help",
    "ü 日本",
    "\x1b[31m",
    "two\nlines",
    "{}%s",
    "[bold]",
    "\udce4",
    "x" * 200,
)


def setting(rng, wild):
    """A name and a value; if it is not a wild one, it may be right."""
    name = rng.choice(list(KINDS))
    kind = (VALUES if rng.random() < 0.2 else SANE).get(int if name == "support" else KINDS[name])
    value = (
        odd(rng)
        if wild
        else rng.choice(kind)
        if kind
        else rng.choices(SANE[int] if name == "top_k" else TEXTS, k=rng.randrange(4))
    )
    if name in SLOW and isinstance(value, int | float) and 2 < value < 10**9:
        value = 2
    if name in CHOICES and rng.random() < 0.8:
        value = rng.choice(CHOICES[name])
    if name == "out" and isinstance(value, str):
        value = value.replace("..", "").lstrip("/")
    return rng.choice([name] * 6 + [near(rng, name), str(odd(rng, 0))]) if wild else name, value


def settings_case(rng, here, inputs):
    """``train --config`` of a file that is hardly right."""
    asked = {
        "data": str(inputs / "photos"),
        "shots": 1,
        "epochs": 1,
        "preset": rng.choice(list(PRESETS)),
        "device": "cpu",
        "out": "run",
    }
    wild = rng.random() < 0.5
    asked |= dict(setting(rng, wild) for _ in range(rng.randrange(1, 4)))
    suffix, also = rng.choice([".toml", ".json"]), []
    content = written(rng, asked, suffix).encode(errors="surrogatepass")
    if wild and rng.random() < 0.7:
        trouble = rng.choice([*bombs(inputs / "canary"), "".join(rng.choices(TEXTS, k=9))]).encode(
            errors="surrogatepass"
        )
        content = bent_bytes(rng, content) if rng.random() < 0.4 else trouble
        also = ["--data", str(inputs / "photos"), "--shots", "1", "--set", "epochs=1"]
    name = rng.choice(NAMES) + rng.choice([suffix] * 9 + [suffix.upper(), "", ".txt"])
    (here / name).write_bytes(content)
    more = rng.choice(
        [[]] * 6 + [["--preset", rng.choice(list(PRESETS))], ["--resume"], ["--set", "lr=1"]]
    )
    return ["train", "--config", name, *also, *more]


def prompts_case(rng, here, inputs):
    """A command on a file of prompts, or on an interrupted run, with a file that is bent."""
    photos, photo = str(inputs / "photos"), str(inputs / "photos" / "fox" / "0.png")
    if rng.random() < 0.2:
        shutil.copytree(inputs / "stopped", here / "run")
        file = (
            here
            / "run"
            / rng.choice(
                ["checkpoint.safetensors"] * 4
                + ["config.json", "environment.json", "metrics.jsonl", "log.txt"]
            )
        )
        if file.suffix == ".safetensors":
            bend(rng, file, inputs / "canary")
        else:
            bent = (
                bent_bytes(rng, file.read_bytes()),
                json.dumps(odd(rng)).encode(),
                b"[" * 90_000,
                rng.randbytes(99),
                b"",
            )
            file.write_bytes(rng.choice(bent))
        return [
            "train",
            "--out",
            "run",
            *rng.choice([["--resume"], ["--resume"], ["--resume", "--json"], ["--data", photos]]),
        ]
    model = here / "run" / "prompts.safetensors"
    model.parent.mkdir()
    shutil.copy(rng.choice(sorted(inputs.glob("*.safetensors"))), model)
    bend(rng, model, inputs / "canary")
    run = rng.choice(["run", "run/prompts.safetensors"])
    return rng.choice(
        [
            [
                "predict",
                run,
                photo,
                *rng.choice(
                    [[], ["--json"], ["--heatmap", "h.png"], ["--format", "csv", "--top", "9"]]
                ),
            ],
            ["evaluate", run, "--data", photos],
            ["inspect", run, photo],
            ["export", run, "baked.safetensors"],
        ]
    )


def command_case(rng, here, inputs):
    """A right command line and up to five pieces more, most of them wrong."""
    photos, photo = str(inputs / "photos"), str(inputs / "photos" / "fox" / "0.png")
    shutil.copytree(inputs / "stopped", here / "stopped")
    shutil.copy(rng.choice(sorted(inputs.glob("*.safetensors"))), here / "model.safetensors")
    shutil.copy(photo, here / "-x.png")
    os.mkfifo(here / "pipe")
    (here / "loop").symlink_to("loop")
    model = rng.choice(["stopped", "model.safetensors"])
    quick = "--data", photos, "--shots", "1", "--set", "epochs=1", "--device", "cpu"
    by_hand = [
        name for name, row in CATALOGUE.items() if not row.archives
    ]  # the others would be downloaded, as was asked for
    base = rng.choice(
        [
            ("train", *quick),
            ("train", *quick),
            ("train", "--resume", "--out", "stopped"),
            ("evaluate", model, "--data", photos),
            ("compare", *quick, "--presets", "coop", "--seeds", "1"),
            ("predict", model, photo),
            ("predict", model, "-"),
            ("inspect", model, photo),
            ("export", model, "b.safetensors"),
            ("reproduce", "--plan", "rates"),
            ("reproduce",),
            ("bench", "--device", "warp"),
            ("data", "list"),
            ("data", "check", photos),
            ("data", "get", rng.choice(by_hand)),
            ("cache", "show"),
            ("cache", "clear"),
            (rng.choice(["", "trian", "--version", "--help", "--", "\x1b", "data"]),),
        ]
    )
    command = get_command(app)
    for name in base[:2]:
        command = getattr(command, "commands", {}).get(name, command)
    places = [
        *TEXTS[:12],
        "-x.png",
        "pipe",
        "loop",
        "pipe/below",
        "loop/below",
        "stopped",
        "-x.png/below",
        photos,
        photo,
        model,
        "x" * 300,
        "new/deep/er",
        str(inputs / "canary" / "kept" / "below"),
        "ü 日本.png",
        "\x1b[31m.csv",
        "two\nlines.html",
        "\udce4.png",
    ]
    options = [
        param
        for param in command.params
        if param.param_type_name == "option" and (base[0], param.name) != ("bench", "device")
    ]
    pieces = []
    for _ in range(rng.randrange(6)):
        param = rng.choice(options) if options else None
        if param is None or rng.random() < 0.2:
            wrong = near(rng, rng.choice(param.opts)) if param else "-" + near(rng, "x")
            pieces.append(
                rng.choice(
                    [
                        [wrong],
                        [wrong, "1"],
                        [rng.choice(places)],
                        ["--"],
                        [param.opts[0]] if param else ["--json"],
                    ]
                )
            )
            continue
        key, value = setting(rng, rng.random() < 0.5)
        number = str(
            rng.choice([n for n in NUMBERS if param.name not in (*SLOW, "classes") or not n > 2])
        )
        values = {
            "settings": f"{key}={value if isinstance(value, str) else json.dumps(value)}",
            "pretrained": rng.choice(["random", *places]),
            "config": rng.choice(places),
            "device": rng.choice(CHOICES["device"]),
            "backbone": rng.choice(CHOICES["backbone"]),
        }
        given = values.get(param.name) or rng.choice(
            [number, rng.choice(places), rng.choice(places), rng.choice(list(PRESETS))]
        )
        pieces.append([rng.choice(param.opts), *([] if param.is_flag else [given])])
    return [word.replace("\0", "") for words in (base, *pieces) for word in words]


def case(number, seed, here, inputs):
    """The arguments of a command, and what is piped into it; the files that it needs are written
    into ``here``.
    """
    rng = random.Random(f"{seed} {number}")
    arguments = (settings_case, prompts_case, command_case)[number % 3](rng, here, inputs)
    return arguments, rng.choice([b"", b"\xff\0\n", b"-x.png\nno.png\n", b"y\n"])


def make_inputs(folder, backbone):
    """Photos of two classes and of others, files of prompts, and a canary."""
    pixels = np.random.default_rng(0)
    for i in range(12):
        path = folder / ("photos/fox", "photos/owl", "other")[i % 3] / f"{i // 3}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.integers(0, 255, (40, 48, 3), np.uint8)).save(path)
    (folder / "canary").mkdir()
    (folder / "canary" / "kept").write_text("kept")
    for name in ("coop", "plot", "sotglp-proj"):
        model = SOTGLP(backbone, ("fox", "owl"), preset(name)).eval()
        calibration = OODThreshold(
            "GL-MCM" if model.config.local_prompts else "MCM", (0.5,) * 101, 2, "val"
        )
        save(model, folder / f"{name}.safetensors", calibration)
        save(text_free(model), folder / f"{name}-baked.safetensors", calibration)
