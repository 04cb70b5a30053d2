"""Render an HTML page of tiles (large numbers), figures and tables; the page loads no other file.

The template `page.html` escapes every text. Only the figures, which matplotlib draws, are inserted as they
are.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

import matplotlib as mpl
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from trackpools.shell.reports import plots


@dataclass(frozen=True)
class CaptionedFigure:
    """A figure with a title and one or two sentences on how to read it."""

    title: str
    reading: str
    figure: Figure

    @property
    def svg(self) -> str:
        """The figure as an <svg> element."""
        return inline_svg(self.figure, self.title)


@dataclass(frozen=True)
class PageTable:
    """A table of numbers and texts; columns that hold only numbers are aligned to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    @property
    def numeric(self) -> list[bool]:
        """Whether each column holds only numbers and None."""
        return [
            bool(self.rows) and all(isinstance(row[i], int | float | None) for row in self.rows)
            for i in range(len(self.columns))
        ]


@dataclass(frozen=True)
class PageSection:
    """A part of the page: a heading if the title is not empty, then figures, then a table."""

    title: str = ""
    figures: Sequence[CaptionedFigure] = ()
    table: PageTable | None = None


@dataclass(frozen=True)
class Page:
    """The contents of a page. Texts are plain text, not HTML.

    Attributes:
        title: Title of the browser's window.
        heading: Heading of the page.
        about: One line below the heading.
        sections: Parts of the page, in order.
        tiles: Name of a number → the number as text; tiles are shown large at the top.
    """

    title: str
    heading: str
    about: str
    sections: Sequence[PageSection]
    tiles: Mapping[str, str] = field(default_factory=dict)


def inline_svg(figure: Figure, label: str) -> str:
    """Return a figure as an <svg> element of an HTML page.

    The element has no XML prolog, no metadata and no links to namespaces. Its text and grid lines take their
    colours from the page, so they fit its light and its dark style.

    Args:
        figure: The figure.
        label: Text for screen readers; it also makes the ids in the element unique in the page.
    """
    with mpl.rc_context(plots.STYLE), io.StringIO() as out:  # type: ignore[arg-type]
        figure.savefig(
            out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
        text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    head, rest = text.split(">", 1)
    head = re.sub(r'\s(?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", head)
    # Ids of different figures are equal, so each gets a prefix. matplotlib refers to ids only after a #.
    prefix = re.sub(r"\W+", "-", label.lower())
    rest = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", rest)
    rest = rest.replace(plots.INK, "currentColor").replace(plots.GRID, "var(--line)")
    return f'{head} role="img" aria-label="{escape(label)}">{rest}'


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def render(page: Page) -> str:
    """Return the page as HTML; every text in it is escaped, and it has no links."""
    jinja = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    jinja.filters["shown"] = _shown
    template = files("trackpools.shell.reports").joinpath("page.html").read_text(encoding="utf-8")
    return jinja.from_string(template).render(page=page)
