"""The inspector in a browser: what it shows under the mouse, a finger and the keyboard is the plan, to the last digit."""

import json

import numpy as np
import pytest
import torch
from chromium import launch
from matplotlib import colormaps

from sotglp_core import PatchInspector
from sotglp_core.figures import HEATMAP
from sotglp_core.inspector import Picture
from sotglp_core.judging.partition import assignment

EVIL = '</script><b onclick="pwned = 1">&amp;'
TAB_STOPS = ["canvas", "image", "class", "radio", "overlay"]


def pictures():
    """Three images with grids of their own: a plan on a support, a dense one, and a class without any mass."""
    rng = np.random.default_rng(0)
    plans = [
        rng.dirichlet(np.full(3 * h * w, 0.3), C).reshape(C, 3, h, w)
        for C, h, w in ((2, 5, 7), (5, 7, 7), (2, 3, 11))
    ]
    plans[0] *= rng.random((2, 1, 5, 7)) < 0.4
    plans[2][1] = 0
    names = [["red finch", EVIL], list("abcde"), ["grey duck", "no mass"]]
    return [
        Picture(
            rng.integers(0, 256, (56, 56, 3), dtype=np.uint8),
            plan,
            name,
            note=["sure", *[""] * (len(name) - 1)],
            alt=alt,
        )
        for plan, name, alt in zip(plans, names, ("first", EVIL, "third"))
    ]


PICTURES = pictures()


@pytest.fixture(scope="module")
def browser():
    with launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("inspector") / "page.html"
    PatchInspector(*PICTURES).save(path, title="Who looks where")
    return path.as_uri()


@pytest.fixture
def show(browser, url):
    """Open the page; at the end it must have had no problem."""
    pages = []

    def show(url=url, **settings):
        pages.append(browser.open(url, **settings))
        return pages[-1]

    yield show
    for page in pages:
        problems = page.problems
        page.close()
        assert not problems


def printable(page, root=0):
    """(header of the last column, rows of the table, what is spoken) of an inspector."""
    return page.evaluate(f"""(root => [root.querySelector('thead th:last-child').textContent,
        [...root.querySelectorAll('tbody tr')].map(row => [...row.cells].slice(1).map(cell => cell.textContent)),
        root.querySelector('output').textContent])(document.querySelectorAll('.sotglp-inspector')[{root}])""")


def check(page, image, c, patch, root=0):
    """What is shown is the plan of this image and class at this patch (None: at none)."""
    header, rows, spoken = printable(page, root)
    plan = PICTURES[image].plan[c]  # (N, h, w)
    N, h, w = plan.shape
    led = assignment(torch.from_numpy(plan).flatten(1).T)
    assert [float(row[0]) for row in rows] == pytest.approx(
        [*plan.sum((1, 2)), plan.sum()], abs=6e-5
    )
    assert [int(row[1]) for row in rows] == [
        *(int((led == n).sum()) for n in range(N)),
        int((led >= 0).sum()),
    ]
    if patch is None:
        assert (
            header == "patch"
            and PICTURES[image].class_names[c] in spoken
            and {row[2] for row in rows} == {"–"}
        )
        return
    place, masses = f"row {patch // w + 1}, column {patch % w + 1}", plan.reshape(N, -1)[:, patch]
    assert header == place
    assert [np.float32(row[2]) for row in rows[:N]] == list(masses), "every digit of float32"
    assert float(rows[N][2]) == pytest.approx(float(masses.sum()), rel=1e-5)
    assert spoken == f"{place}: " + ", ".join(
        f"prompt {n + 1} {row[2]}" for n, row in enumerate(rows[:N])
    )


def at(page, image, patch, selector="canvas"):
    """The middle of a patch, in the window."""
    (x, y, width, height), (h, w) = page.box(selector), PICTURES[image].plan.shape[2:]
    return x + (patch % w + 0.5) * width / w, y + (patch // w + 0.5) * height / h


def choose(page, select, index, root=0):
    page.evaluate(
        f"(e => {{ e.value = {index}; e.dispatchEvent(new Event('change')) }})"
        f"(document.querySelectorAll('.sotglp-inspector')[{root}].querySelectorAll('select')[{select}])"
    )


def heaviest(image, c, prompt=None):
    """Patches with mass, heaviest first."""
    mass = PICTURES[image].plan[c].astype(float)
    mass = (mass.sum(0) if prompt is None else mass[prompt]).ravel()
    return [int(p) for p in np.argsort(-mass, kind="stable") if mass[p] > 0]


def test_mouse(show):
    page = show()
    for image, picture in enumerate(PICTURES):
        choose(page, 0, image)
        options = page.evaluate(
            "[...document.querySelectorAll('select')[1].options].map(o => o.textContent)"
        )
        assert options == picture.class_names
        for c in range(len(picture.class_names)):
            choose(page, 1, c)
            check(page, image, c, None)
            patches = picture.plan[0, 0].size
            for patch in (0, patches // 2, patches - 1, *heaviest(image, c)[:2]):
                page.move(*at(page, image, patch))
                check(page, image, c, patch)
            page.move(5, 5)
            check(page, image, c, None)
    page.click(*at(page, 2, 17))
    page.move(*at(page, 2, 3))
    check(page, 2, 1, 3)
    page.move(5, 5)
    check(page, 2, 1, 17)  # what was clicked is held
    page.press("Escape")
    check(page, 2, 1, None)


def test_keyboard_alone(show):
    page = show()
    page.press("Tab")
    assert page.evaluate(
        "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
    ) == ["CANVAS", "solid"]
    order = heaviest(0, 0)
    check(page, 0, 0, order[0])
    for patch in order[1:4]:
        page.press("PageDown")
        check(page, 0, 0, patch)
    page.press("PageUp")
    check(page, 0, 0, order[2])
    for key, ctrl, patch in [
        ("Home", True, 0),
        ("ArrowLeft", False, 0),
        ("ArrowUp", False, 0),
        ("ArrowRight", False, 1),
        ("ArrowDown", False, 8),
        ("End", False, 13),
        ("ArrowRight", False, 13),
        ("Home", False, 7),
        ("End", True, 34),
        ("ArrowDown", False, 34),
        ("ArrowUp", False, 27),
        ("ArrowLeft", False, 26),
    ]:
        page.press(key, ctrl=ctrl)
        check(page, 0, 0, patch)
    page.press("Tab")
    page.press("ArrowDown")
    check(page, 1, 0, None)  # the second image, no patch yet
    page.press("Tab")
    for _ in range(3):
        page.press("ArrowDown")
    check(page, 1, 3, None)
    page.press("Tab")
    page.press("ArrowDown")
    page.press("ArrowDown")  # prompt 2
    page.press("Tab")
    page.press("Home")
    assert page.evaluate("document.activeElement.value") == "0"
    for _ in TAB_STOPS[1:]:
        page.press("Tab", shift=True)
    order = heaviest(1, 3, prompt=1)
    check(page, 1, 3, order[0])
    page.press("PageDown")
    check(page, 1, 3, order[1])
    page.press("Escape")
    check(page, 1, 3, None)


def pixels(page, image):
    """(h, w, 3) colours in the middles of the patches, beside the number that may be drawn there."""
    h, w = PICTURES[image].plan.shape[2:]
    return np.array(
        page.evaluate(f"""(canvas => {{
        const pen = canvas.getContext('2d'), dx = canvas.width / {w}, dy = canvas.height / {h}, colours = [];
        for (let p = 0; p < {h * w}; p++)
            colours.push([...pen.getImageData((p % {w} + 0.5) * dx, (Math.floor(p / {w}) + 0.08) * dy, 1, 1).data].slice(0, 3));
        return colours }})(document.querySelector('canvas'))""")
    ).reshape(h, w, 3)


def strength(page, value):
    page.evaluate(
        f"(e => {{ e.value = {value}; e.dispatchEvent(new Event('input')) }})(document.querySelector('input[type=range]'))"
    )


def test_the_picture_has_the_colours_of_the_plan(show):
    page, image = show(), 1
    choose(page, 0, image)
    strength(page, 0)
    bare = pixels(page, image)
    strength(page, 100)
    partition, plan = pixels(page, image), PICTURES[image].plan[0]
    colours = np.array([(0, 114, 178), (213, 94, 0), (0, 158, 115)])
    share = 0.25 + 0.75 * (plan.max(0) / plan.sum(0))[..., None]
    np.testing.assert_allclose(
        partition, share * colours[plan.argmax(0)] + (1 - share) * bare, atol=3
    )
    for n in range(3):
        page.evaluate(f"document.querySelectorAll('input[type=radio]')[{n + 1}].click()")
        np.testing.assert_allclose(
            pixels(page, image), 255 * colormaps[HEATMAP](plan[n] / plan.max())[..., :3], atol=1
        )
        assert (
            page.evaluate("document.querySelector('.scale').textContent")
            == f"Prompt {n + 1}: 0  {float(f'{plan.max():.4g}')}"
        )


def test_names_for_screen_readers(show):
    page = show()
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    names = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"]
    }
    assert {
        ("application", "first: the prompt that leads each patch, class red finch"),
        ("combobox", "Image"),
        ("combobox", "Class"),
        ("group", "Show"),
        ("radio", "partition: who leads"),
        ("radio", "prompt 1"),
        ("radio", "prompt 3"),
        ("slider", "Overlay"),
        ("heading", "Who looks where"),
        ("rowheader", "prompt 2"),
        ("columnheader", "patches led"),
    } <= names
    [canvas] = [node for node in tree if node["role"]["value"] == "application"]
    assert "Escape lets go" in canvas["description"]["value"]
    assert any(
        p["name"] == "live" and p["value"]["value"] == "polite"
        for node in tree
        for p in node.get("properties", ())
    )


@pytest.mark.parametrize("dark", [False, True])
def test_phone(show, dark):
    page = show(width=360, height=740, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.tap(*at(page, 0, 23))
    check(page, 0, 0, 23)  # and it stays when the finger is lifted
    page.tap(*at(page, 0, 4))
    check(page, 0, 0, 4)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    right = [
        x + width for x, _, width, _ in map(page.box, ("canvas", "table", "select", "fieldset"))
    ]
    text = page.evaluate("getComputedStyle(document.querySelector('td')).color")
    assert max(right) <= 360 and text == ("rgb(255, 255, 255)" if dark else "rgb(0, 0, 0)")


def test_names_are_never_markup(show):
    page = show()
    choose(page, 0, 1)
    choose(page, 0, 0)
    choose(page, 1, 1)
    assert (
        page.evaluate("document.querySelectorAll('b').length") == 0
        and page.evaluate("typeof pwned") == "undefined"
    )
    assert EVIL in page.evaluate("document.querySelector('.note').textContent")
    assert EVIL in page.evaluate("document.querySelector('canvas').getAttribute('aria-label')")


def test_two_on_a_page(show, tmp_path):
    inspectors = [PatchInspector(picture) for picture in PICTURES[:2]]
    (tmp_path / "two.html").write_text(
        "<!doctype html>" + "".join(inspector.to_html() for inspector in inspectors),
        encoding="utf-8",
    )
    page = show((tmp_path / "two.html").as_uri())
    page.evaluate(
        "document.querySelectorAll('.sotglp-inspector')[1].querySelectorAll('input[type=radio]')[2].click()"
    )
    choose(page, 1, 4, root=1)
    page.click(*at(page, 1, 9, ".sotglp-inspector:nth-of-type(2) canvas"))
    check(page, 0, 0, None, root=0)
    check(page, 1, 4, 9, root=1)
    checked = page.evaluate(
        "[...document.querySelectorAll('input[type=radio]:checked')].map(r => r.parentElement.textContent)"
    )
    assert checked == ["partition: who leads", "2prompt 2"]
    assert (
        page.evaluate("[...document.querySelectorAll('select')].map(s => s.parentElement.hidden)")
        == [True, False] * 2
    )
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("width", [360, 1200])
def test_without_scripts(show, width):
    page = show(width=width, scripts=False)
    seen = page.evaluate(
        "[...document.querySelectorAll('.panel img')].map(i => [i.complete, i.naturalWidth])"
    )
    assert seen == [[True, 336]] * 3
    assert page.evaluate("document.documentElement.scrollWidth") == width
    led = assignment(torch.from_numpy(PICTURES[0].plan[1]).flatten(1).T)
    row = page.evaluate(
        "[...document.querySelector('tbody').rows[1].cells].map(cell => cell.textContent)"
    )
    assert row == [EVIL, ", ".join(str(int((led == n).sum())) for n in range(3))], json.dumps(row)
