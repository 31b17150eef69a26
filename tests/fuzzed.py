"""Inputs made from a number: files of settings, files of prompts, and command lines, most of them wrong in some way."""

import json
import math
import os
import pickle
import random
import shutil

import numpy as np
import torch
import yaml
from PIL import Image
from typer.main import get_command

from sotglp_core import SOTGLP, preset, save
from sotglp_core.calibration import Calibration
from sotglp_core.cli import app
from sotglp_core.cli.common import KINDS
from sotglp_core.config import PRESETS
from sotglp_core.datasets.catalogue import CATALOGUE
from sotglp_core.export import bake
from sotglp_core.storage import load_tensors, save_tensors

NUMBERS = (0, 1, 2, -1, -7, 10**8, 999_999_999, 2**31, 2**63, 10**30, 0.5, -0.5, 1e-300, 1e300, math.nan, math.inf, -math.inf)
TEXTS = ("", " ", "null", "NaN", "1e999", "true", "0x10", "[1,", "[1, 2]", "{} {}", "a {} b", "{0}{a}%s%n", "..", "../canary/kept", "/dev/zero",
         "-1", "--json", "-", "a=b=c", "a,b,,a", "\x1b[31mred", "a\nb\tc\r", "\u202eabc", "\0", "é" * 9, "日本語", "💥", "\udce4.png", "\ud800",
         "x" * 5000, "x/" * 3000, "x " * 9000, "<script>alert(1)</script>", "<end_of_text>", "[bold]x[/nope]", "$x^", "~", "$HOME", "ﬀ", "\u200b")
SUFFIXES = (".toml", ".yaml", ".yml", ".json")
SLOW = ("epochs", "views", "seeds")  # of which many are much work, as was asked for
DEVICES = ("cpu", "cpu:0", "cpu:9", "warp", "", "meta", "mps", "xla", "hpu", "cuda:99", "cpu\0", "privateuseone", "vulkan", "mkldnn", "\x1b[31m")
BACKBONES = ("pocke", "RN50", "ViT-B-16", "ViT-B-16-SigLIP", "coca_ViT-B-32", "hf-hub:a/b", "local-dir:.", "local-dir:", "../pocket", "POCKET")
NAMES = ("plain", "-x", "--help", "ü 日本", "\x1b[31m", "two\nlines", "{}%s", "[bold]", "\udce4", "x" * 200)


def odd(rng, depth=3):
    kind = rng.choice("nnttblo" if depth else "ntb")
    if kind in "lo":
        values = [odd(rng, depth - 1) for _ in range(rng.randrange(4))]
        return values if kind == "l" else {str(odd(rng, 0)): value for value in values}
    return rng.choice({"n": NUMBERS, "t": TEXTS, "b": (None, True, False)}[kind])


def near(rng, name):
    at = rng.randrange(len(name))
    return rng.choice([name[:at] + name[at + 1:], name[:at] + name[at] + name[at:], name.replace("_", "-"), name.upper(), name + "s",
                       name[:at] + rng.choice("хé_. \0") + name[at + 1:], name[::-1]])


def setting(rng):
    """A name near to or far from a real one, and a value."""
    name, value = rng.choice(list(KINDS)), odd(rng)
    kind = KINDS[name]
    if rng.random() < 0.6 and kind in (int, float, bool, str):
        value = rng.choice({int: [n for n in NUMBERS if isinstance(n, int)], float: NUMBERS, bool: (True, False), str: TEXTS}[kind])
    if name in SLOW and isinstance(value, int | float) and 2 < value < 10**9:
        value = 2
    if name in ("device", "backbone") and rng.random() < 0.8:
        value = rng.choice(DEVICES if name == "device" else BACKBONES)
    return rng.choice([name] * 6 + [near(rng, name), str(odd(rng, 0))]), value


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def written(rng, settings, suffix):
    if suffix == ".toml":
        return "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in settings.items())
    return json.dumps(settings) if suffix == ".json" else yaml.safe_dump(settings, allow_unicode=rng.random() < 0.5)


def bombs(canary):
    """Files that are all of them nothing but trouble."""
    attack = f"!!python/object/apply:os.system ['touch {canary}/owned']"
    deep = "".join(f"a{i}: &a{i} {{}}\n".format("[" + ", ".join([f"*a{i - 1}"] * 9) + "]" if i else "x") for i in range(30))
    merge = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 30))
    return (attack, f"epochs: {attack}", "!!python/name:os.system", f"!!python/object/new:os.system ['touch {canary}/owned']", "&a [*a]",
            "a: &a {b: *a}", deep, deep.replace("a29", "ood"), merge, "epochs: 1\nepochs: 2", '{"epochs": 1, "epochs": 2}', "? [a]\n: b", "? {a: b}\n: c",
            "epochs = 1\nepochs = 2", "a." * 30_000 + "a = 1", "[" + "a." * 30_000 + "a]", "[[a]]\n" * 9000, "[" * 5000, "{a: " * 5000,
            '{"a":' * 50_000, "x = " + "[" * 5000, "epochs = " + "9" * 9000, "epochs: " + "9" * 9000, "epochs: 1" + ":59" * 5000, "lr: 2001-99-99",
            "seed = 1979-05-27", "a: 1\n" * 12_000, "--- \n" * 9000, "%YAML 9.9\n---\n", "\ufeffepochs: 1", "!!binary x", "!!set {a, b}",
            "!!timestamp x", "= 3", "<<: 3", "<<: {epochs: 1}", "null", "3", '"text"', "[]", "", "\n\n", "\0" * 99)


def bent_bytes(rng, content):
    """Bits flipped, a piece cut out, doubled, or put in; all of it gone."""
    content, (lo, hi) = bytearray(content), sorted(rng.randrange(len(content) + 1) for _ in range(2))
    how = rng.randrange(6)
    if how <= 1:
        for _ in range(rng.choice([1, 3, 30])):
            content[rng.randrange(len(content) if how else min(2000, len(content)))] ^= 1 << rng.randrange(8)
    return bytes(content[:lo] + {2: content[hi:], 3: b"", 4: 2 * content[lo:hi] + content[hi:], 5: rng.randbytes(9) + content[lo:]
                                 }.get(how, content[lo:]))


def settings_case(rng, here, inputs):
    """``train --config`` of a file that is hardly right."""
    asked = {"data": str(inputs / "photos"), "shots": 1, "epochs": 1, "preset": rng.choice(list(PRESETS)), "device": "cpu", "out": "run"}
    asked |= dict(setting(rng) for _ in range(rng.randrange(4)))
    suffix = rng.choice(SUFFIXES)
    content, also = written(rng, asked, suffix).encode(errors="surrogatepass"), []
    if rng.random() < 0.5:
        content = bent_bytes(rng, content) if rng.random() < 0.4 else rng.choice([*bombs(inputs / "canary"), "".join(rng.choices(TEXTS, k=9))]
                                                                                 ).encode(errors="surrogatepass")
        also = ["--data", str(inputs / "photos"), "--shots", "1", "--set", "epochs=1"]
    name = rng.choice(NAMES) + rng.choice([suffix] * 9 + [suffix.upper(), "", ".txt"])
    (here / name).write_bytes(content)
    return ["train", "--config", name, *also, *rng.choice([[]] * 6 + [["--preset", rng.choice(list(PRESETS))], ["--resume"], ["--set", "lr=1"]])]


def bent_record(rng, tree, root=True):
    """With one of its nodes another, often of the same kind."""
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.15 * (not root):
        same = {str: TEXTS, int: [n for n in NUMBERS if isinstance(n, int)], float: NUMBERS, bool: [True, False]}.get(type(tree))
        return rng.choice(same) if same and rng.random() < 0.5 else odd(rng)
    items = dict(tree) if isinstance(tree, dict) else dict(enumerate(tree))
    key = rng.choice(list(items))
    if rng.random() < 0.2:
        del items[key]
    else:
        items[key] = bent_record(rng, items[key], False)
    return items if isinstance(tree, dict) else list(items.values())


def bent_tensors(rng, tensors):
    name = rng.choice(list(tensors))
    x = torch.atleast_1d(tensors.pop(name))
    number = rng.choice([math.nan, math.inf, 1e30, 0.0])
    changed = [{}, {str(odd(rng, 0)): x}, {name: x.flatten()}, {name: x[None]}, {name: x[..., :1]}, {name: x[:0]}, {name: x.repeat(2, *[1] * (x.ndim - 1))},
               {name: x.to(rng.choice([torch.int64, torch.bool, torch.float16, torch.float64, torch.uint8]))}, {name: torch.full(x.shape, number)},
               {name: x, name + "s": x}, {name: torch.tensor(0.0)}]
    return tensors | rng.choice(changed)


class Payload:
    """Whoever unpickles it makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return open, (str(self.canary / "owned"), "w")


def bent_file(rng, path, canary):
    """A safetensors file of this package, changed in place."""
    how, content = rng.random(), path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    if how < 0.65:
        tensors, record = load_tensors(path)
        for _ in range(rng.choice([1, 1, 1, 3])):
            if how < 0.45:
                record = bent_record(rng, record)
            elif tensors:
                tensors = bent_tensors(rng, tensors)
        save_tensors(path, {name: x.clone() for name, x in tensors.items()}, record)
    elif how < 0.8:
        path.write_bytes(bent_bytes(rng, content))
    elif how < 0.85:
        path.write_bytes(rng.choice([0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1]).to_bytes(8, "little") + content[8:])
    elif how < 0.9:
        header = json.dumps(rng.choice([odd(rng), bent_record(rng, json.loads(content[8:8 + size]))])).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size:])
    elif how < 0.95:
        path.write_bytes(pickle.dumps(Payload(canary), rng.randrange(6)))
        if rng.random() < 0.5:
            torch.save({"a": Payload(canary)}, path)
    else:
        path.unlink()
        rng.choice([path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("/dev/zero"), lambda: path.symlink_to(path), lambda: None])()


def prompts_case(rng, here, inputs):
    """A command on a file of prompts, or on a run that was interrupted, with a file that is bent."""
    if rng.random() < 0.2:
        shutil.copytree(inputs / "stopped", here / "run")
        file = here / "run" / rng.choice(["state.safetensors"] * 4 + ["config.json", "environment.json", "metrics.jsonl", "log.txt"])
        if file.suffix == ".safetensors":
            bent_file(rng, file, inputs / "canary")
        else:
            content = rng.choice([bent_bytes(rng, file.read_bytes()), json.dumps(odd(rng)).encode(), b"[" * 90_000, rng.randbytes(99), b""])
            file.write_bytes(content)
        return ["train", "--out", "run", *rng.choice([["--resume"], ["--resume"], ["--resume", "--json"], ["--data", str(inputs / "photos")]])]
    model, photo = here / "run" / "prompts.safetensors", str(inputs / "photos" / "fox" / "0.png")
    model.parent.mkdir()
    shutil.copy(rng.choice(sorted(inputs.glob("*.safetensors"))), model)
    bent_file(rng, model, inputs / "canary")
    run = rng.choice(["run", "run/prompts.safetensors"])
    return rng.choice([["predict", run, photo, *rng.choice([[], ["--json"], ["--heatmap", "h.png"], ["--format", "csv", "--top", "9"]])],
                       ["evaluate", run, "--data", str(inputs / "photos")], ["inspect", run, photo], ["export", run, "baked.safetensors"]])


def command_case(rng, here, inputs):
    """A right command line and up to five pieces more, most of them wrong."""
    photos, photo, model = (str(inputs / name) for name in ("photos", "photos/fox/0.png", rng.choice(["coop", "plot", "sotglp-proj-baked"]) + ".safetensors"))
    shutil.copytree(inputs / "stopped", here / "stopped")
    (here / "-x.png").write_bytes((inputs / "photos" / "fox" / "0.png").read_bytes())
    os.mkfifo(here / "pipe")
    (here / "loop").symlink_to("loop")
    quick = "--data", photos, "--shots", "1", "--set", "epochs=1", "--device", "cpu"
    bases = [("train", *quick), ("train", *quick), ("train", "--resume", "--out", "stopped"), ("compare", *quick, "--presets", "coop", "--seeds", "1"),
             ("evaluate", "stopped", "--data", photos), ("predict", model, photo), ("predict", model, "-"), ("inspect", "stopped", photo),
             ("export", model, "baked.safetensors"), ("reproduce", "--plan", "rates"), ("reproduce",), ("bench", "--device", "warp"), ("data", "list"),
             ("data", "check", photos), ("data", "get", rng.choice([name for name, row in CATALOGUE.items() if not row.archives]), "--root", "."),
             ("cache", "show"), ("cache", "clear"), ()]
    base = rng.choice(bases)
    command = get_command(app)
    for name in base[:2]:
        command = getattr(command, "commands", {}).get(name, command)
    places = [*TEXTS[:12], "-x.png", "pipe", "loop", "pipe/below", "loop/below", "stopped", "-x.png/below", photos, photo, model, "x" * 300, "new/deep/er",
              str(inputs / "canary" / "kept" / "below"), "ü 日本.png", "\x1b[31m.csv", "two\nlines.html", "\udce4.png", "[bold]x.csv", "--help.png"]
    pieces = [list(base)] if base else [[rng.choice(["", "trian", "--version", "--help", "--", "-h", "\x1b", "train --help", "data", "cache x"])]]
    options = [param for param in command.params if param.param_type_name == "option" and (base[:1], param.name) not in ((("bench",), "device"),)]
    for _ in range(rng.randrange(6)):
        param = rng.choice(options) if options else None
        if param is None or rng.random() < 0.2:
            wrong = near(rng, rng.choice(param.opts)) if param else "-" + near(rng, "x")
            pieces.append(rng.choice([[wrong], [wrong, "1"], [rng.choice(places)], ["--"], ["-"], [param.opts[0]] if param else ["--json"]]))
            continue
        key, value = setting(rng)
        number = rng.choice([n for n in NUMBERS if param.name not in (*SLOW, "classes") or not 2 < n])
        values = {"settings": f"{key}={value if isinstance(value, str) else json.dumps(value)}", "device": rng.choice(DEVICES),
                  "backbone": rng.choice(BACKBONES), "pretrained": rng.choice(["random", *places]), "config": rng.choice(places)}
        value = values.get(param.name) or rng.choice([str(number), rng.choice(places), rng.choice(places), rng.choice(list(PRESETS))])
        pieces.append([rng.choice(param.opts)] if param.is_flag else [rng.choice(param.opts), value])
    head, *rest = pieces
    rng.shuffle(rest)
    return [word.replace("\0", "") for piece in (head, *rest) for word in piece]


def case(number, seed, here, inputs):
    """Writes what the command needs into ``here``; its arguments."""
    rng = random.Random(f"{seed} {number}")
    return (settings_case, prompts_case, command_case)[number % 3](rng, here, inputs), rng.choice([b"", b"\xff\0\n", b"-x.png\nno.png\n", b"y\n"])


def make_inputs(folder, backbone):
    """Photos of two classes and of others, files of prompts of several presets, and a canary; nothing here may change."""
    pixels = np.random.default_rng(0)
    for i in range(12):
        path = folder / ("photos/fox", "photos/owl", "other")[i % 3] / f"{i // 3}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.integers(0, 255, (40, 48, 3), np.uint8)).save(path)
    (folder / "canary").mkdir()
    (folder / "canary" / "kept").write_text("kept")
    for name in ("coop", "plot", "sotglp-proj"):
        model = SOTGLP(backbone, ("fox", "owl"), preset(name)).eval()
        calibration = Calibration("GL-MCM" if model.config.local_prompts else "MCM", (0.5,) * 101, 2, "val")
        save(model, folder / f"{name}.safetensors", calibration)
        save(bake(model), folder / f"{name}-baked.safetensors", calibration)
