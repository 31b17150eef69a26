"""One progress bar for everything that may take more than a few seconds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def progress_bar(iterable: Iterable | None = None, *, show: bool = True, **settings: Any) -> tqdm:
    """A bar that vanishes when it is done; the environment variable TQDM_DISABLE=1 hides all of them.

    :param show: False hides this one.
    :param settings: ``total``, ``desc``, ``unit`` as in tqdm.
    """
    return tqdm(iterable, leave=False, **settings, **({} if show else {"disable": True}))
