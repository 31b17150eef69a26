"""The inspector in a browser: what it computes, draws and says is what Python computes."""

import json

import numpy as np
import pytest
from chromium import launch
from inspected import CLASSES, NAMES, birds, expected, moved_model
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from sotglp_core import SOTGLP, PatchInspector, figures, recipe
from sotglp_core.data.embedded import species_images
from sotglp_core.figures import HEATMAP, PALETTE

EVIL = '</script><b onclick="pwned = 1">&amp;'
MODEL, BIRDS = moved_model(), birds()
INSPECTOR = PatchInspector.from_model(MODEL, BIRDS, top=CLASSES, alt=["first", "second", "third"])


@pytest.fixture(scope="module")
def browser():
    with launch() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    path = tmp_path_factory.mktemp("inspector") / "page.html"
    INSPECTOR.save(path, title="Who looks where")
    return path.as_uri()


@pytest.fixture
def show(browser, url):
    """Open the page and listen to what it measures; at the end it must have had no problem."""
    pages = []

    def show(url=url, **settings):
        page = browser.open(url, **settings)
        pages.append(page)
        if settings.get("scripts", True):
            page.evaluate("""document.querySelectorAll('.sotglp-inspector').forEach(root =>
                root.addEventListener('measure', event => { root.measured = event.detail; }))""")
        return page

    yield show
    for page in pages:
        problems = page.problems
        page.close()
        assert not problems


def move(page, name, value, root=0):
    """Move one control, as a reader does."""
    page.evaluate(f"""(form => {{
        const control = form.elements['{name}'], value = {json.dumps(value)};
        const target = control.length && !control.options ?
            [...control].find(radio => radio.value === String(value)) : control;
        if (typeof value === 'boolean' || target !== control) target.checked = value !== false;
        else target.value = value;
        target.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }})(document.querySelectorAll('.sotglp-inspector form')[{root}])""")


def measured(page, root=0):
    """The state, and the numbers that belong to it."""
    found = page.evaluate(f"document.querySelectorAll('.sotglp-inspector')[{root}].measured")
    return found.pop("state"), found


def table(page, name, root=0):
    """The texts of a table's rows, headings first."""
    return page.evaluate(f"""(root => [...root.querySelectorAll('.{name} tr')].map(row =>
        [...row.cells].map(cell => cell.textContent))
        )(document.querySelectorAll('.sotglp-inspector')[{root}])""")


def spoken(page, root=0):
    return page.evaluate(f"document.querySelectorAll('[role=status]')[{root}].textContent")


def check(page, state, patch=None, root=0):
    """What is written is what Python says of this state and patch."""
    state = {"stage": "learned", "allocation": "ot", "epsilon": 0.1, "support": 10} | state
    found = expected(MODEL, BIRDS, state)
    masses = found["masses"].numpy()
    header, *rows = table(page, "prompts", root)
    place = "patch" if patch is None else f"row {patch // 14 + 1}, column {patch % 14 + 1}"
    assert header == ["prompt", "mass", "patches led", place]
    led = masses.argmax(1)[masses.sum(1) > 0]
    for n, (name, total, number, here) in enumerate(rows):
        assert (name, int(number)) == (f"{n + 1}prompt {n + 1}", (led == n).sum())
        assert float(total[:-2]) == pytest.approx(100 * masses[:, n].sum(), abs=6e-3)
        if patch is None:
            assert here == "–"
        else:
            assert float(here[:-2]) == pytest.approx(100 * masses[patch, n], abs=3e-4)
    numbers = dict(table(page, "plan", root))
    assert float(numbers["class probability"][:-2]) == pytest.approx(
        100 * found["probability"], abs=1e-3
    )
    assert float(numbers["local score u"]) == pytest.approx(found["score"], abs=2e-6)
    assert float(numbers["overlap of the prompts"]) == pytest.approx(found["overlap"], abs=6e-5)
    if patch is None:
        assert spoken(page, root).startswith(found["name"])
    else:
        words = [f"prompt {n + 1} {row[-1]}" for n, row in enumerate(rows)]
        assert spoken(page, root) == f"{place}: {', '.join(words)}"


def heaviest(state, prompt=None):
    """Patches with mass, heaviest first."""
    state = {"stage": "learned", "allocation": "ot", "epsilon": 0.1, "support": 10} | state
    masses = expected(MODEL, BIRDS, state)["masses"].numpy()
    weights = (masses.sum(1) if prompt is None else masses[:, prompt]).round(12)
    return [int(p) for p in np.argsort(-weights, kind="stable") if weights[p] > 0]


def at(page, patch, selector="canvas"):
    """The middle of a patch, in the window."""
    x, y, width, height = page.box(selector)
    return x + (patch % 14 + 0.5) * width / 14, y + (patch // 14 + 0.5) * height / 14


SETTINGS = np.random.default_rng(0)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [-3, -2.5, -2, -1.3, -1, 0, 1])
def test_plan_score_and_probability_are_pythons(show, epsilon):
    page = show()
    move(page, "epsilon", epsilon)
    for allocation in ("ot", "ot", "ot", "uniform", "max", "topk"):
        for name, choices in (
            ("image", range(3)),
            ("class_index", range(CLASSES)),
            ("stage", ["learned", "initial"]),
            ("allocation", [allocation]),
            ("support", [2, 10, 57, 196, SETTINGS.integers(2, 197)]),
        ):
            move(page, name, str(SETTINGS.choice(choices)))
        state, found = measured(page)
        assert state["epsilon"] == pytest.approx(10**epsilon, rel=1e-2)
        wanted = expected(MODEL, BIRDS, state)
        np.testing.assert_allclose(found["masses"], wanted.pop("masses"), atol=1e-5)
        assert found["name"] == wanted.pop("name")
        if allocation == "uniform":  # the rounding of equal masses decides who leads
            del wanted["effectivePrompts"]
        for name, value in wanted.items():
            assert found[name] == pytest.approx(value, abs=1e-5), (name, state)
        if allocation == "ot":
            assert found["violation"] < 1e-10 and found["iterations"] >= 1


@pytest.mark.slow
def test_classes_that_are_not_shown_keep_their_logits(show, tmp_path):
    """Under the model's own settings the probability is the model's, whatever is shown."""
    PatchInspector.from_model(MODEL, BIRDS, top=2).save(tmp_path / "page.html")
    page = show((tmp_path / "page.html").as_uri())
    move(page, "epsilon", 0)
    move(page, "epsilon", -1)
    state, found = measured(page)
    assert found["probability"] == pytest.approx(
        expected(MODEL, BIRDS, state)["probability"], abs=1e-5
    )


def test_a_model_without_global_prompts_that_divides_its_score(show, tmp_path):
    config = recipe("plot", divide_by_prompts=True)
    model = SOTGLP(MODEL.backbone, NAMES, config).eval()
    PatchInspector.from_model(model, BIRDS, top=CLASSES).save(tmp_path / "page.html")
    page = show((tmp_path / "page.html").as_uri())
    move(page, "epsilon", -1.5)
    state, found = measured(page)
    assert state["support"] == 196
    wanted = expected(model, BIRDS, state)
    for name in ("score", "probability"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-5)


@pytest.mark.slow
def test_mouse(show):
    page = show()
    order = heaviest({"image": 0, "class_index": 0})
    check(page, {"image": 0, "class_index": 0})
    for patch in (0, 98, 195, *order[:2]):
        page.move(*at(page, patch))
        check(page, {"image": 0, "class_index": 0}, patch)
    page.move(5, 5)
    check(page, {"image": 0, "class_index": 0})
    page.click(*at(page, 17))
    page.move(*at(page, 3))
    check(page, {"image": 0, "class_index": 0}, 3)
    page.move(5, 5)
    check(page, {"image": 0, "class_index": 0}, 17)  # what was clicked is held
    page.press("Escape")
    check(page, {"image": 0, "class_index": 0})


@pytest.mark.slow
def test_keyboard_alone(show):
    page, state = show(), {"image": 0, "class_index": 0}
    page.press("Tab")
    assert page.evaluate(
        "[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]"
    ) == ["CANVAS", "solid"]
    check(page, state, heaviest(state)[0])
    for key, ctrl, patch in [
        ("Home", True, 0),
        ("ArrowLeft", False, 0),
        ("ArrowUp", False, 0),
        ("ArrowRight", False, 1),
        ("ArrowDown", False, 15),
        ("End", False, 27),
        ("ArrowRight", False, 27),
        ("Home", False, 14),
        ("End", True, 195),
        ("ArrowDown", False, 195),
        ("ArrowUp", False, 181),
        ("ArrowLeft", False, 180),
    ]:
        page.press(key, ctrl=ctrl)
        check(page, state, patch)
    page.press("Tab")
    page.press("ArrowDown")
    state = {"image": 1, "class_index": 0}
    check(page, state)  # the second image, no patch yet
    for name, value in [("class_index", 1), ("stage", "initial"), ("allocation", "uniform")]:
        page.press("Tab")
        page.press("ArrowDown")
        state[name] = value
        check(page, state)
    page.press("ArrowUp")  # transport again, or its slider could not be reached
    state["allocation"] = "ot"
    page.press("Tab")
    page.press("Home")
    page.press("Tab")
    page.press("ArrowRight")
    state |= {"epsilon": 0.001, "support": 11}
    check(page, state)
    page.press("Tab")
    page.press("ArrowDown")
    page.press("ArrowDown")  # prompt 2
    page.press("Tab")
    page.press(" ")
    page.press("Tab")
    page.press(" ")
    page.press("Tab")
    page.press("Home")
    assert page.evaluate("""(({ difference, outline, overlay, prompt }) =>
        [prompt.value, difference.checked, outline.checked, overlay.value])
        (document.forms[0].elements)""") == ["1", True, False, "0"]
    for _ in range(10):
        page.press("Tab", shift=True)
    order = heaviest(state, prompt=1)
    check(page, state, order[0])
    for patch in order[1:4]:
        page.press("PageDown")
        check(page, state, patch)
    page.press("PageUp")
    check(page, state, order[2])
    page.press("Escape")
    check(page, state)


def test_a_control_that_does_nothing_is_disabled(show):
    page = show()

    def disabled():
        return page.evaluate(
            "[...document.forms[0].elements].filter(e => e.disabled).map(e => e.name)"
        )

    assert disabled() == ["difference"]
    move(page, "prompt", 2)
    assert disabled() == []
    move(page, "allocation", "max")
    assert disabled() == ["epsilon"]
    move(page, "allocation", "topk")
    assert disabled() == ["epsilon", "support"]


def pixels(page):
    """(P, 3) colours in the middles of the patches, beside the number that may be drawn there."""
    return np.array(
        page.evaluate("""(canvas => {
        const pen = canvas.getContext('2d'), side = canvas.width / 14, colours = [];
        for (let p = 0; p < 196; p++) {
            const x = (p % 14 + 0.5) * side, y = (Math.floor(p / 14) + 0.12) * side;
            colours.push([...pen.getImageData(x, y, 1, 1).data].slice(0, 3));
        }
        return colours })(document.querySelector('canvas'))""")
    )


def test_the_colours_are_those_of_the_figures(show):
    page = show()
    move(page, "outline", False)
    move(page, "epsilon", -2)
    move(page, "support", 100)
    move(page, "overlay", 0)
    bare = pixels(page)
    move(page, "overlay", 1)
    state, found = measured(page)
    masses = np.array(found["masses"])
    held = masses.sum(1) > 0
    shares = figures.shares(masses.T.reshape(4, 14, 14)).reshape(196, 4)
    np.testing.assert_allclose(pixels(page)[held], 255 * shares[held, :3], atol=1)
    np.testing.assert_array_equal(pixels(page)[~held], bare[~held])
    for n in range(4):
        move(page, "prompt", n)
        wanted = 255 * colormaps[HEATMAP](masses[held, n] / masses.max())[:, :3]
        np.testing.assert_allclose(pixels(page)[held], wanted, atol=1)
    move(page, "difference", True)
    differences = (masses - 1 / 400)[held]
    part = np.abs(differences[:, 3:]) / np.abs(differences).max()
    ends = np.array([to_rgb(PALETTE[0]), to_rgb(PALETTE[1])])[(differences[:, 3] > 0).astype(int)]
    np.testing.assert_allclose(pixels(page)[held], 255 * (1 + part * (ends - 1)), atol=1)
    np.testing.assert_array_equal(pixels(page)[~held], bare[~held])


def test_a_patch_held_evenly_is_grey(show):
    page = show()
    move(page, "outline", False)
    move(page, "overlay", 1)
    move(page, "allocation", "uniform")
    move(page, "support", 196)
    np.testing.assert_array_equal(pixels(page), np.full((196, 3), 115))


def test_the_outline_follows_the_parts(show):
    page = show()
    move(page, "overlay", 0)

    def edges():
        return np.array(
            page.evaluate("""(canvas => {
            const pen = canvas.getContext('2d'), side = canvas.width / 14, whites = [];
            for (let p = 0; p < 196; p++) {
                const x = p % 14 * side, y = (Math.floor(p / 14) + 0.5) * side;
                whites.push(Math.min(...pen.getImageData(x, y, 1, 1).data.slice(0, 3)) > 250);
            }
            return whites })(document.querySelector('canvas'))""")
        )

    parts = BIRDS.part_grids()[0]
    wanted = np.zeros((14, 14), bool)
    wanted[:, 1:] = parts[:, 1:] != parts[:, :-1]
    np.testing.assert_array_equal(edges().reshape(14, 14), wanted)
    move(page, "outline", False)
    assert not edges().any()


def test_names_for_screen_readers(show):
    page = show()
    tree = page.send("Accessibility.getFullAXTree")["nodes"]
    names = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree
        if not node["ignored"]
    }
    [canvas] = [node for node in tree if node["role"]["value"] == "application"]
    assert canvas["name"]["value"].startswith("first: the prompt that leads each patch, class ")
    assert "Escape lets go" in canvas["description"]["value"]
    assert {
        *(("combobox", name) for name in ("Image", "Class", "Prompts", "Allocation")),
        ("slider", "Regularisation ε: 0.1"),
        ("slider", "Patches K: 10 of 196"),
        ("slider", "Overlay"),
        ("group", "Show"),
        ("radio", "partition: who leads"),
        ("radio", "prompt 3"),
        ("checkbox", "outlines of the true parts"),
        ("heading", "Who looks where"),
        ("rowheader", "prompt 2"),
        ("columnheader", "patches led"),
    } <= names
    assert any(node["role"]["value"] == "status" for node in tree)


@pytest.mark.parametrize("dark", [False, True])
def test_phone(show, dark):
    page, state = show(width=360, height=740, dark=dark), {"image": 0, "class_index": 0}
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for patch in (23, 4):
        page.tap(*at(page, patch))
        check(page, state, patch)  # and it stays when the finger is lifted
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    boxes = map(page.box, ("canvas", ".prompts", ".plan", "select", "fieldset"))
    assert max(x + width for x, _, width, _ in boxes) <= 360
    text = page.evaluate("getComputedStyle(document.querySelector('td')).color")
    assert text == ("rgb(255, 255, 255)" if dark else "rgb(0, 0, 0)")
    page.box("[name=overlay]")  # scrolls down to the last control
    top, bottom = page.evaluate(
        "(b => [b.top, b.bottom])(document.querySelector('canvas').getBoundingClientRect())"
    )
    assert top >= 0 and bottom <= 740, "the image stays in sight"


def test_names_are_never_markup(show, tmp_path):
    model = SOTGLP(MODEL.backbone, (EVIL, "grey duck"), recipe("sotglp"))
    images = species_images("test", 2, names=NAMES[:1])
    PatchInspector.from_model(model, images, alt=EVIL).save(tmp_path / "page.html", title=EVIL)
    page = show((tmp_path / "page.html").as_uri())
    move(page, "image", 1)
    for c in (1, 0):
        move(page, "class_index", c)
        texts = page.evaluate("""['.note', '[name=image]', '[name=class_index]', 'h1'].map(
            selector => document.querySelector(selector).textContent)""")
        label = page.evaluate("document.querySelector('canvas').getAttribute('aria-label')")
        name = measured(page)[1]["name"]
        assert texts[0].startswith(name) and label.endswith(f"class {name}")
        assert label.startswith(EVIL) and all(EVIL in text for text in texts[1:])
    assert page.evaluate("[document.querySelectorAll('b').length, typeof pwned]") == [
        0,
        "undefined",
    ]


@pytest.mark.slow
def test_two_on_a_page(show, tmp_path):
    one = PatchInspector.from_model(MODEL, [BIRDS[0]], top=CLASSES)
    (tmp_path / "two.html").write_text(
        "<!doctype html>" + one.to_html() + INSPECTOR.to_html(), encoding="utf-8"
    )
    page = show((tmp_path / "two.html").as_uri())
    for name, value in (("image", 2), ("prompt", 1), ("class_index", 4), ("support", 20)):
        move(page, name, value, root=1)
    page.click(*at(page, 9, ".sotglp-inspector:nth-of-type(2) canvas"))
    check(page, {"image": 0, "class_index": 0}, root=0)
    check(page, {"image": 2, "class_index": 4, "support": 20}, 9, root=1)
    checked = page.evaluate(
        "[...document.querySelectorAll('input[type=radio]:checked')].map(radio => radio.value)"
    )
    assert checked == ["partition", "1"]
    hidden = page.evaluate("[...document.forms].map(f => f.elements.image.parentElement.hidden)")
    assert hidden == [True, False]
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == 2 == len(set(ids))


@pytest.mark.parametrize("width", [360, 1200])
def test_without_scripts(show, width):
    page = show(width=width, scripts=False)
    seen = page.evaluate(
        "[...document.querySelectorAll('.still img')].map(i => [i.complete, i.naturalWidth])"
    )
    assert seen == [[True, 336]] * 3
    assert page.evaluate("document.documentElement.scrollWidth") == width
    names = page.evaluate("[...document.querySelectorAll('tbody th')].map(th => th.textContent)")
    assert [name.removesuffix(" (true class)") for name in names] == [
        name for record in INSPECTOR.data["images"] for name in record["class_names"]
    ]
