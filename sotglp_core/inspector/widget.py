"""The inspector with a kernel behind it. The only importer of anywidget."""

from pathlib import Path

from anywidget import AnyWidget

from .inspector import State


class InspectorWidget(State, AnyWidget):
    """The page's module in a notebook; its state is shared with the kernel."""

    _esm = Path(__file__).with_name("inspector.js")
    _css = Path(__file__).with_name("inspector.css")
