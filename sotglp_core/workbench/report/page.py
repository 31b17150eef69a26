"""HTML that escapes by default: a page, its tables and its pictures."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import warnings
from collections.abc import Iterable, Sequence
from importlib.resources import files

from matplotlib.figure import Figure
from PIL import Image

from ...figures import PALETTE
from ...messages import printable

DPI = 144


class Markup(str):
    """Text that is HTML already."""


Content = Markup | list[Markup]


def markup(value: object) -> Markup:
    """HTML as it is, lists joined, anything else as text: escaped, control characters made visible, "%" kept with its number."""
    if isinstance(value, Markup):
        return value
    if isinstance(value, list | tuple):
        return Markup("".join(map(markup, value)))
    return Markup(html.escape(printable(str(value))).replace(" %", "&nbsp;%"))


def fill(template: str, **values: object) -> Markup:
    """The template with every value passed through :func:`markup`."""
    return Markup(template.format(**{name: markup(value) for name, value in values.items()}))


def page(title: str, summary: Content, sections: Sequence[tuple[str, str, Content]]) -> str:
    """One page that needs no other file and may not ask for one.

    :param sections: (id, heading, content) of each.
    """
    swatches = "".join(f".p{i}{{--swatch:{colour}}}" for i, colour in enumerate(PALETTE))
    style, script = Markup(_asset("report.css") + swatches), Markup(_asset("report.js"))
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'"
    return fill(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="{policy}; form-action \'none\'">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title><style>{style}</style></head>\n'
        '<body><a class="skip" href="#results">Skip to the results</a>\n<header><h1>{title}</h1>{summary}'
        '<nav aria-label="Sections"><ul>{links}</ul></nav></header>\n<main id="results">{sections}</main>\n'
        "<script>{script}</script></body></html>\n",
        policy=policy,
        title=title,
        style=style,
        summary=summary,
        script=script,
        links=[
            fill('<li><a href="#{id}">{heading}</a></li>', id=id, heading=heading)
            for id, heading, _ in sections
        ],
        sections=[
            fill(
                '<section aria-labelledby="{id}"><h2 id="{id}">{heading}</h2>\n{content}</section>\n',
                id=id,
                heading=heading,
                content=content,
            )
            for id, heading, content in sections
        ],
    )


def paragraph(text: str, **values: object) -> Markup:
    return fill(f"<p>{text}</p>\n", **values)


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, sortable: bool = False
) -> Markup:
    """Rows that begin with their heading; floats with one decimal, None as a dash."""
    rows = list(rows)
    kinds = [Markup(' class="n"' if all(map(_is_number, column)) else "") for column in zip(*rows)]
    return fill(
        '<div class="scroll" role="region" aria-label="{caption}" tabindex="0"><table{sortable}><caption>{caption}</caption>'
        "<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>\n",
        caption=caption,
        sortable=Markup(' class="sortable"' if sortable else ""),
        head=[
            fill('<th scope="col"{kind}>{cell}</th>', kind=kind, cell=cell)
            for kind, cell in zip(kinds, head)
        ],
        rows=[
            fill(
                '<tr><th scope="row">{first}</th>{rest}</tr>\n',
                first=first,
                rest=[
                    fill("<td{kind}>{cell}</td>", kind=kind, cell=_number(cell) if kind else cell)
                    for kind, cell in zip(kinds[1:], rest)
                ],
            )
            for first, *rest in rows
        ],
    )


def plot(figure: Figure, alt: str, caption: str) -> Markup:
    """A figure as PNG, shown at its size in inches."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # of letters that the font does not have
        figure.savefig(buffer, format="png", dpi=DPI)
    width, height = (round(96 * side) for side in figure.get_size_inches())
    size = "small" if width <= 520 else "medium" if width <= 700 else "wide"
    return fill(
        '<figure class="plot {size}"><div role="group" aria-label="Figure" tabindex="0"><img src="{source}" width="{width}" '
        'height="{height}" alt="{alt}"></div><figcaption>{caption}</figcaption></figure>\n',
        size=size,
        alt=alt,
        caption=caption,
        source=_data_uri("png", buffer),
        width=width,
        height=height,
    )


def thumbnail(image: Image.Image, side: int, alt: str) -> Markup:
    """A square picture as JPEG."""
    buffer = io.BytesIO()
    image.resize((side, side), Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=82)
    return fill(
        '<img src="{source}" width="{side}" height="{side}" alt="{alt}">',
        source=_data_uri("jpeg", buffer),
        side=side,
        alt=alt,
    )


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float)


def _number(value: object) -> str:
    return "–" if value is None else f"{value:.1f}" if isinstance(value, float) else f"{value}"


def _asset(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _data_uri(kind: str, buffer: io.BytesIO) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode()
