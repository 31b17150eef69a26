"""What classes are called: names that a prompt can use, and which spellings are the same name."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

JOINERS = "\u200c\u200d"  # invisible, but part of how some scripts and emoji are written
CODE = re.compile(r"n\d{8}|[\d.,]+")  # a WordNet id or a bare number


def composed(name: str) -> str:
    """The name in Unicode's composed form, in which file systems may not keep it."""
    return unicodedata.normalize("NFC", name)


def plain_words(key: str) -> str:
    """A folder or label as a prompt can use it: "001.Grey_Wolf" is "Grey Wolf"."""
    return " ".join(re.sub(r"^\d{2,}\.(?=[^\W\d_])", "", composed(key)).replace("_", " ").split())


def same(name: str) -> str:
    """What is equal for two spellings of one name: "01.Red_fox", "red fox", "RedFox"."""
    return composed(re.sub(r"[\s-]+", "", plain_words(name).casefold()))


def class_names(keys: Sequence[str], names: Mapping[str, str] = {}) -> tuple[str, ...]:
    """What prompts call each class.

    :param keys: what the source of the images calls them: folders, labels or WordNet ids.
    :param names: key -> class name; without them, the keys in plain words.
    :raises ValueError: if a name is missing, can't be written in a prompt, is only a code, or is
        another class's, too.
    """
    found: dict[str, str] = {}
    tidy = []
    for key in keys:
        if names and key not in names:
            raise ValueError(f"the class names have none for {key!r}; add a line for it")
        if not names and CODE.fullmatch(key):
            raise ValueError(
                f"the class {key!r} is a code, which says nothing in a prompt; give class names, "
                f"such as {{{key!r}: 'goldfish'}} or a file of them"
            )
        name = " ".join(composed(names[key]).split()) if names else plain_words(key)
        if not name or not all(c.isprintable() or c in JOINERS for c in name):
            raise ValueError(f"the class {key!r} has no name that can be written in a prompt")
        if same(name) in found:
            raise ValueError(
                f"{found[same(name)]!r} and {key!r} have the same class name {name!r}; give each "
                "class once, and a name of its own"
            )
        found[same(name)] = key
        tidy.append(name)
    return tuple(tidy)
