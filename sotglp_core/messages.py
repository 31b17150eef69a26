"""What is said to the user: progress, names on one line, and the nearest name to a mistaken one."""

import difflib
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(iterable: Iterable | None = None, *, show: bool = True, **settings: Any) -> tqdm:
    """A bar that vanishes when it is done; the environment variable TQDM_DISABLE=1 hides all of
    them.

    :param show: False hides this one.
    :param settings: ``total``, ``desc``, ``unit`` as in tqdm.
    """
    return tqdm(iterable, leave=False, **settings, **({} if show else {"disable": True}))


def printable(text: object) -> str:
    """Text on one line that every terminal can print: line breaks, control characters and lone
    surrogates as escapes.
    """
    line, no_break = str(text), "\u00a0"  # the space within "1.5 ± 0.1"
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() or c == no_break else ascii(c)[1:-1] for c in line)


def note(text: object) -> None:
    """A line on standard error about something that stops nothing."""
    print(printable(text), file=sys.stderr)


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for the known name that is nearest to a mistaken one; empty where none
    is near.
    """
    by_letters = {word.casefold(): word for word in known}
    near = difflib.get_close_matches(str(name).casefold(), by_letters, 1)
    return f"; did you mean {by_letters[near[0]]!r}?" if near else ""
