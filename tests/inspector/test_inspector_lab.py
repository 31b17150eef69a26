"""The inspector in JupyterLab: its keys reach it, and Python and the page share a state."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
from chromium import launch

pytest.importorskip("jupyterlab", reason="needs JupyterLab: pip install jupyterlab")
WIDGETS = int(pytest.importorskip("ipywidgets").__version__.split(".")[0])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WIDGETS < 8, reason="JupyterLab 4 shows the widgets of ipywidgets 8"),
]

TESTS = Path(__file__).resolve().parents[1]
PORT = 8900 + os.getpid() % 1000
SHOW = f"""import sys
sys.path[:0] = {[str(TESTS), str(TESTS.parent)]}
from inspected import birds, moved_model
from sotglp_core import PatchInspector
inspector = PatchInspector.from_model(moved_model(), birds(), top=7)
inspector"""
READ = """import json
from sotglp_core.inspector.inspector import STATE
state = {name: getattr(inspector, name) for name in STATE}
print("READ" + json.dumps({"state": state | {"data": None}, "plan": inspector.plan.tolist()}))"""
SET = "inspector.image, inspector.epsilon, inspector.prompt, inspector.patch = 2, 0.02, 3, 100"


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab that holds trial.ipynb."""
    cells = [nbformat.v4.new_code_cell(source) for source in (SHOW, READ, SET)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "trial.ipynb")
    options = [
        "--no-browser",
        "--allow-root",
        f"--port={PORT}",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={tmp_path}",
        "--LabApp.expose_app_in_browser=True",
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: answers(f"http://localhost:{PORT}/api"), "the server")
        yield f"http://localhost:{PORT}/lab/tree/trial.ipynb?reset"
    finally:
        server.terminate()
        server.wait()


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def until(true, what, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.3)


def run_cell(page, number):
    page.evaluate(f"""(async () => {{
        window.jupyterapp.shell.currentWidget.content.activeCellIndex = {number};
        await window.jupyterapp.commands.execute('notebook:run-cell');
        return 1 }})()""")


def test_lab(lab):
    with launch() as browser:
        page = browser.open(lab, width=1400, height=1300)
        kernel = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
        until(lambda: page.evaluate(f"{kernel}?.status === 'idle'"), "the kernel")
        run_cell(page, 0)
        until(lambda: page.evaluate("!!document.querySelector('.sotglp-inspector form')"), "panel")
        page.evaluate("""document.querySelector('.sotglp-inspector').addEventListener(
            'measure', event => { window.measured = event.detail; })""")
        active = "window.jupyterapp.shell.currentWidget.content.activeCellIndex"
        begin = page.evaluate(active)

        def press(control, *keys):
            page.evaluate(f"document.querySelector('.sotglp-inspector {control}').focus()")
            for key in keys:
                page.press(key)

        press("[name=image]", "ArrowDown")
        press("[name=class_index]", "ArrowDown", "ArrowDown")
        press("[name=stage]", "ArrowDown")
        press("[name=epsilon]", *["ArrowLeft"] * 7)
        press("[name=support]", *["ArrowRight"] * 9, "a", "b", "d", "d", "m")
        press("[name=prompt]", "ArrowDown")
        press("canvas", "End", "ArrowDown")
        assert page.evaluate(active) == begin, "the notebook did not take the keys"
        assert page.evaluate("document.querySelectorAll('.jp-CodeCell').length") == 3

        run_cell(page, 1)
        text = "[...document.querySelectorAll('.jp-OutputArea-output pre')].map(e => e.textContent)"
        until(lambda: "READ" in "".join(page.evaluate(text)), "Python's answer")
        found = json.loads("".join(page.evaluate(text)).split("READ")[1])
        state, measured = found["state"], page.evaluate("window.measured")
        assert (state["image"], state["class_index"], state["stage"]) == (1, 2, "initial")
        assert (state["epsilon"], state["support"], state["prompt"]) == (0.0851, 19, 0)
        assert state["patch"] % 14 == 13, "End went to the end of a row"
        plan = np.array(found["plan"]).reshape(4, -1).T
        np.testing.assert_allclose(measured["masses"], plan, atol=1e-9)

        run_cell(page, 2)
        header = "document.querySelector('.prompts th:last-child').textContent"
        until(lambda: page.evaluate(header) == "row 8, column 3", "the page to follow Python")
        state = page.evaluate("window.measured.state")
        assert (state["image"], state["class_index"], state["epsilon"]) == (2, 0, 0.02)
        assert page.evaluate("document.querySelector('[name=prompt]:checked').value") == "3"
        assert not page.problems
