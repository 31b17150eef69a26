"""Look into transport plans, patch by patch, in a panel that computes in the page."""

from .inspector import PatchInspector

__all__ = ["PatchInspector"]
