"""Odd values, and files of settings and prompts bent out of shape, by a random number generator."""

import json
import math
import os
import pickle

import torch

from sotglp_core.storage import load_tensors, save_tensors

WHOLE = (0, 1, 2, 3, -1, -7, 64, 10**8, 999_999_999, 2**31, 2**63, 10**30)
NUMBERS = (*WHOLE, 0.5, -0.5, 1e-300, 1e300, -1e300, math.nan, math.inf, -math.inf)
TEXTS = (
    "",
    " ",
    "null",
    "NaN",
    "1e999",
    "true",
    "0x10",
    "[1,",
    "[1, 2]",
    "{} {}",
    "a {} b",
    "{0}{a}%s%n",
    "..",
    "/dev/zero",
    "-1",
    "--json",
    "-",
    "a=b=c",
    "a,b,,a",
    "\x1b[31mred",
    "a\nb\tc\r",
    "\u202eabc",
    "\0",
    "é" * 9,
    "日本語",
    "💥 {}",
    "\udce4.png",
    "\ud800",
    "x" * 5000,
    "x/" * 3000,
    "x " * 9000,
    "<script>alert(1)</script>",
    "<end_of_text> {}",
    "[bold]x[/nope]",
    "$x^",
    "~",
    "$HOME",
    "ﬀ",
    "\u200b",
)
VALUES = {int: WHOLE, float: NUMBERS, bool: (True, False), str: TEXTS}


def odd(rng, depth=3):
    kind = rng.choice("nnttblo" if depth else "ntb")
    if kind in "lo":
        values = [odd(rng, depth - 1) for _ in range(rng.randrange(4))]
        return values if kind == "l" else {str(odd(rng, 0)): value for value in values}
    return rng.choice({"n": NUMBERS, "t": TEXTS, "b": (None, True, False)}[kind])


def near(rng, name):
    at = rng.randrange(len(name))
    return rng.choice(
        [
            name[:at] + name[at + 1 :],
            name[:at] + name[at] + name[at:],
            name.replace("_", "-"),
            name.upper(),
            name + "s",
            name[:at] + rng.choice("хé_. \0") + name[at + 1 :],
            name[::-1],
        ]
    )


def toml(value):
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def written(rng, settings, suffix):
    if suffix == ".toml":
        return "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in settings.items())
    return json.dumps(settings)


def bombs(canary):
    """Files of settings that are nothing but trouble."""
    attack = f"!!python/object/apply:os.system ['touch {canary}/owned']"
    deep, merged = (
        "\n".join(
            f"a{i}: &a{i} " + (form % ", ".join([f"*a{i - 1}"] * 9) if i else "{x: 1}")
            for i in range(30)
        )
        for form in ("[%s]", "{<<: [%s]}")
    )
    return (
        attack,
        f"epochs: {attack}",
        "!!python/name:os.system",
        attack.replace("apply", "new"),
        "&a [*a]",
        "a: &a {b: *a}",
        deep,
        merged,
        deep.replace("a29", "ood"),
        "epochs: 1\nepochs: 2",
        '{"epochs": 1, "epochs": 2}',
        "epochs = 1\nepochs = 2",
        "? [a]\n: b",
        "? {a: b}\n: c",
        "a." * 30_000 + "a = 1",
        "[" + "a." * 30_000 + "a]",
        "[[a]]\n" * 9000,
        "[" * 5000,
        "{a: " * 5000,
        '{"a":' * 50_000,
        "x = " + "[" * 5000,
        "epochs = " + "9" * 9000,
        "epochs: " + "9" * 9000,
        "epochs: 1" + ":59" * 5000,
        "lr: 2001-99-99",
        "seed = 1979-05-27",
        "a: 1\n" * 12_000,
        "--- \n" * 9000,
        "- " * 9000,
        "%YAML 9.9\n---\n",
        "\ufeffepochs: 1",
        "!!binary x",
        "!!set {a, b}",
        "!!timestamp x",
        "= 3",
        "<<: 3",
        "<<: {epochs: 1}",
        "null",
        "3",
        '"text"',
        "[]",
        "",
        "\n\n",
        "\0" * 99,
        "x" * 99_000,
    )


def bent_bytes(rng, content):
    """Bits flipped; a piece cut out, doubled, or put in; all of it gone from some place on."""
    lo, hi = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    flipped, reach = bytearray(content), rng.choice([len(content), min(2000, len(content))])
    for _ in range(rng.choice([1, 3, 30]) if content else 0):
        flipped[rng.randrange(reach)] ^= 1 << rng.randrange(8)
    return rng.choice(
        [
            bytes(flipped),
            bytes(flipped),
            content[:lo] + content[hi:],
            content[:lo],
            content[:hi] + content[lo:],
            content[:lo] + rng.randbytes(9) + content[lo:],
        ]
    )


def bent_record(rng, tree, root=True):
    """With one of its nodes another, often of the same kind."""
    if not isinstance(tree, dict | list) or not tree or rng.random() < 0.15 * (not root):
        return (
            rng.choice(VALUES[type(tree)])
            if type(tree) in VALUES and rng.random() < 0.5
            else odd(rng)
        )
    items = dict(tree) if isinstance(tree, dict) else dict(enumerate(tree))
    key = rng.choice(list(items))
    if rng.random() < 0.2:
        del items[key]
    else:
        items[key] = bent_record(rng, items[key], False)
    return items if isinstance(tree, dict) else list(items.values())


def bent_tensors(rng, tensors):
    """With one of them of another name, shape, type or content, or gone."""
    name = rng.choice(list(tensors))
    x = torch.atleast_1d(tensors.pop(name))
    other = [
        x.flatten(),
        x[None],
        x[..., :1],
        x[:0],
        torch.cat([x, x]),
        torch.tensor(0.0),
        x.to(rng.choice([torch.int64, torch.bool, torch.float16, torch.float64, torch.uint8])),
        torch.full(x.shape, rng.choice([math.nan, math.inf, 1e30, 0.0])),
    ]
    return tensors | rng.choice(
        [{}, {str(odd(rng, 0)): x}, {name: x, name + "s": x}, *({name: y} for y in other)]
    )


class Payload:
    """Whoever unpickles it makes a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return open, (str(self.canary / "owned"), "w")


def bend(rng, path, canary):
    """A safetensors file of this package, changed in place."""
    how, content = rng.random(), path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    if how < 0.7:
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
        path.write_bytes(
            rng.choice([0, 1, size - 1, size + 1, 2**31, 2**63, 2**64 - 1]).to_bytes(8, "little")
            + content[8:]
        )
    elif how < 0.9:
        header = json.dumps(
            rng.choice([odd(rng), bent_record(rng, json.loads(content[8 : 8 + size]))])
        ).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    elif how < 0.95:
        path.write_bytes(pickle.dumps(Payload(canary), rng.randrange(6)))
        if rng.random() < 0.5:
            torch.save({"a": Payload(canary)}, path)
    else:
        path.unlink()
        rng.choice(
            [
                path.mkdir,
                lambda: os.mkfifo(path),
                lambda: path.symlink_to("/dev/zero"),
                lambda: path.symlink_to(path),
                str,
            ]
        )()
