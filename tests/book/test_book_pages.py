"""Pages of the built book in a browser without a network: ``make book``, then ``make pages``."""

import json
from pathlib import Path

import pytest
from chromium import launch
from exported import colab

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for path in HTML.rglob("*.html")
    if not {"_static", "_modules", "_sources"} & set(path.relative_to(HTML).parts)
    and path != HTML / "index.html"
)  # that one leads on to book/index.html
SOURCES = [
    path
    for folder in ("book", "notebooks", "sotglp_core")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".md", ".ipynb", ".css", ".js", ".yml")
    and "_static/vendor" not in path.as_posix()
]
STALE = PAGES and max(path.stat().st_mtime for path in SOURCES) > max(
    (HTML / page).stat().st_mtime for page in PAGES
)
SCREENS = ROOT / "_build" / "screens"
pytestmark = [
    pytest.mark.skipif(not PAGES, reason="the book is not built: make book"),
    pytest.mark.skipif(STALE, reason="the book is older than its sources: make book"),
    pytest.mark.skipif(
        not (HTML / "_static/vendor/versions.txt").is_file(),
        reason="built without npm, so mathematics comes from the network",
    ),
]

BROKEN = """[...document.images]
  .filter(i => i.src && i.loading != 'lazy' && !(i.complete && i.naturalWidth)).map(i => i.src)"""
NO_ALT = """[...document.querySelectorAll('article img')]
  .filter(i => !i.alt.trim()).map(i => i.src.slice(0, 80))"""
RAW_TEX = r"""(() => {
  const skipped = 'script,style,pre,code,mjx-container,noscript';
  const tex = /\\\(|\\\[|\\frac|\\mathbb|\$[^$\s][^$]*\$/;
  const top = document.querySelector('article') || document.body;
  const walk = document.createTreeWalker(top, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node; node = walk.nextNode();)
    if (!node.parentElement.closest(skipped) && tex.test(node.data))
      found.push(node.data.trim().slice(0, 80));
  return found;
})()"""
UNRENDERED = """[...document.querySelectorAll('.math')]
  .filter(m => !m.querySelector('mjx-container')).map(m => m.textContent.slice(0, 80))"""
LINKS = """[...document.querySelectorAll('article a[href]')]
  .map(a => a.href).filter(h => h.startsWith('file:'))"""
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SETTLED = """new Promise(done => {
  let written = window.MathJax && MathJax.startup && MathJax.startup.promise;
  (written || Promise.resolve()).then(() => setTimeout(() => done(true), 200));
})"""
DARK = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def browser():
    with launch() as running:
        yield running


@pytest.fixture
def shown(browser):
    """Opens a page, waits for its mathematics, takes its picture, and closes it at the end."""
    opened = []

    def show(name, kind, **settings):
        page = browser.open((HTML / name).as_uri(), **{"width": 1400, **settings})
        opened.append(page)
        page.evaluate(SETTLED)
        SCREENS.mkdir(parents=True, exist_ok=True)
        page.screenshot(SCREENS / f"{name.replace('/', '-').removesuffix('.html')}-{kind}.png")
        return page

    yield show
    for page in opened:
        page.close()


def ours(page):
    """The page's problems, without the theme's remark that a new reader has chosen no mode yet."""
    return [problem for problem in page.problems if "invalid theme mode" not in problem]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole(name, shown):
    page = shown(name, "light")
    assert ours(page) == []
    assert page.evaluate(BROKEN) == [] and page.evaluate(NO_ALT) == []
    assert page.evaluate(RAW_TEX) == [] and page.evaluate(UNRENDERED) == []
    assert page.evaluate("document.title")
    assert (
        name == "search.html"
        or page.evaluate("document.querySelectorAll('article h1').length") == 1
    )


@pytest.mark.parametrize("name", PAGES)
def test_page_fits_a_phone(name, shown):
    page = shown(name, "phone", width=390, height=800)
    assert page.evaluate(TOO_WIDE) <= 0 and ours(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_page_is_dark_for_those_who_want_it(name, shown):
    page = shown(name, "dark", dark=True)
    red, green, blue = (int(x) for x in page.evaluate(DARK).strip("rgb()").split(",")[:3])
    assert max(red, green, blue) < 80 and ours(page) == []


@pytest.mark.parametrize("name", PAGES)
def test_links_inside_the_book_lead_somewhere(name, shown):
    page = shown(name, "light")
    for url in set(page.evaluate(LINKS)):
        path, _, anchor = url.removeprefix("file://").partition("#")
        target = Path(path.partition("?")[0])
        assert target.is_file(), url
        if anchor and target.suffix == ".html":
            assert f'id="{anchor}"' in target.read_text(encoding="utf-8"), url


def test_every_notebook_says_where_it_runs_and_opens_in_colab():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text = (HTML / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        assert "{admonition} You need" in first, path.name
        assert text.count(colab.address(path.name)) == 1
        assert (
            text.count('class="admonition exercise"') >= 2 or text.count("exercise admonition") >= 2
        ), f"{path.name}: two exercises"
