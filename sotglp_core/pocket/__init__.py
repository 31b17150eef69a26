"""A small procedural field guide: birds with named parts, their images, masks and captions."""

from .captions import phrase
from .traits import COLOURS, PARTS, SPECIES, TRAITS, UNSEEN, fixed_traits, named_traits

__all__ = [
    "COLOURS",
    "PARTS",
    "SPECIES",
    "TRAITS",
    "UNSEEN",
    "fixed_traits",
    "named_traits",
    "phrase",
]
