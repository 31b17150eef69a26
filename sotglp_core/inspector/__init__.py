"""Look into transport plans, patch by patch: a panel of plain HTML that needs neither a kernel nor a network, and live controls."""

from .picture import Picture
from .static import PatchInspector

__all__ = ["PatchInspector", "Picture"]
