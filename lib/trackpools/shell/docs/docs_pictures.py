"""Draw the pictures of the docs as SVG text, so that a page loads nothing from other servers.

The picture of the flow is drawn from `stages.STAGES`; the others are fixed.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from trackpools.stages import STAGES

INK, LINE, ACCENT, SOFT, PALE, WARM = "#2b2b33", "#8c8c98", "#2f6fde", "#9dbdf2", "#eef3fc", "#f5d9a8"


class Sheet:
    """A white area of `width` × `height` pixels; later shapes are drawn over earlier ones."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="sans-serif" font-size="13">',
            f"<title>{escape(title)}</title>",
            f'<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            f'<path d="M0 0 8 4 0 8z" fill="{LINE}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" fill="white"/>',
        ]

    def box(self, at: tuple[int, int, int, int], lines: Sequence[str], fill: str = PALE) -> None:
        """Add a box at (x, y, width, height) with centred lines of text, the first in bold."""
        x, y, width, height = at
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="{fill}" stroke="{LINE}"/>'
        )
        top = y + height // 2 - 8 * (len(lines) - 1) + 5
        for i, line in enumerate(lines):
            self.text(x + width // 2, top + 16 * i, line, anchor="middle", bold=i == 0)

    def text(
        self, x: int, y: int, line: str, *, anchor: str = "start", bold: bool = False, colour: str = INK
    ) -> None:
        """Add a line of text whose start, middle or end (`anchor`) is at (x, y)."""
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}"{weight}>{escape(line)}</text>'
        )

    def arrow(self, x1: int, y1: int, x2: int, y2: int) -> None:
        """Add an arrow from (x1, y1) to (x2, y2)."""
        self._parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{LINE}" stroke-width="1.5" marker-end="url(#head)"/>'
        )

    def svg(self) -> str:
        """Return the sheet as SVG text."""
        return "\n".join([*self._parts, "</svg>", ""])


def _wrapped(names: Sequence[str], width: int) -> list[str]:
    """Join names by commas into lines of about `width` characters; a longer name has its own line."""
    lines = [""]
    for name in names:
        if lines[-1] and len(lines[-1]) + len(name) + 2 > width:
            lines.append("")
        lines[-1] += f"{', ' if lines[-1] else ''}{name}"
    return lines


def flow() -> str:
    """Draw every stage with the tables that it reads and writes."""
    rows: list[tuple[str, str, list[str], list[str]]] = [
        (
            "import",
            "read a log, set refused rows aside",
            [],
            ["plays", "plays_rejected", "tracks", "users", "signals"],
        )
    ]
    rows += [
        (s.name, s.does, [t.name for t in s.reads if t not in s.writes], [t.name for t in s.writes])
        for s in STAGES
    ]
    rows += [
        ("publish", "check, then one commit", ["pools and every table that they depend on"], ["releases"])
    ]
    told = [
        (name, does, _wrapped(reads, 52) if reads else ["your log"], _wrapped(writes, 36))
        for name, does, reads, writes in rows
    ]
    heights = [18 * max(len(reads), len(writes), 2) + 22 for _, _, reads, writes in told]
    sheet = Sheet(1040, sum(heights) + 40, "The stages of trackpools, what each reads and what it writes")
    for x, head, anchor in ((360, "reads", "end"), (522, "stage", "middle"), (686, "writes", "start")):
        sheet.text(x, 22, head, anchor=anchor, colour=LINE)
    y = 34
    for (name, does, reads, writes), height in zip(told, heights, strict=True):
        middle = y + (height - 10) // 2
        sheet.box((390, y, 265, height - 10), [name, does], SOFT if name in ("import", "publish") else PALE)
        sheet.arrow(364, middle, 388, middle)
        sheet.arrow(655, middle, 680, middle)
        for lines, x, anchor in ((reads, 360, "end"), (writes, 686, "start")):
            for i, line in enumerate(lines):
                sheet.text(x, middle + 5 - 9 * (len(lines) - 1) + 18 * i, line, anchor=anchor)
        y += height
    return sheet.svg()


def grain() -> str:
    """Draw the tracks of one recording, and which of them is played in which market."""
    sheet = Sheet(860, 250, "A recording is the unit of taste; a track is one playable instance of it")
    for i, (track, what) in enumerate(
        (("t1", "single, 1988"), ("t2", "album, 1988"), ("t3", "remaster, 2011"))
    ):
        sheet.box((20, 25 + 75 * i, 170, 50), [f"track {track}", what])
        sheet.arrow(190, 50 + 75 * i, 318, 125)
    sheet.box(
        (320, 90, 220, 70), ["recording r1", "one vector, one place in a pool,", "one history of plays"], SOFT
    )
    for i, (market, which) in enumerate(
        (
            ("SE", "t3: rights until 2030"),
            ("US", "t1: t3 has no rights here"),
            ("clean", "a track that is not explicit"),
        )
    ):
        sheet.arrow(540, 125, 658, 50 + 75 * i)
        sheet.box((660, 25 + 75 * i, 180, 50), [market, which])
    sheet.text(105, 242, "plays of any of these tracks", anchor="middle", colour=LINE)
    sheet.text(430, 190, "trained, filtered, blended", anchor="middle", colour=LINE)
    sheet.text(750, 242, "one of these is played", anchor="middle", colour=LINE)
    return sheet.svg()


def pool() -> str:
    """Draw how a pool of exactly K is made of the candidates of all sources, as two bars of equal length."""
    sheet = Sheet(
        900, 250, "What sources emit is either in the pool or counted under the rule that removed it"
    )
    sheet.text(20, 28, "1,262 emitted: distinct recordings that any source proposed")
    sheet.box((20, 40, 860, 40), [""], PALE)
    for x, width, lines, fill in (
        (20, 45, ["64"], WARM),
        (65, 475, ["698 below the cut"], PALE),
        (540, 340, ["500 in the pool = K"], SOFT),
    ):
        sheet.box((x, 110, width, 40), lines, fill)
    sheet.text(20, 170, "64 removed by rules: rights, taken down, few listeners …", colour=INK)
    sheet.text(710, 170, "exactly K, or a shortfall names the rule", anchor="middle", colour=INK)
    sheet.arrow(450, 82, 450, 106)
    sheet.box((506, 200, 34, 34), ["50"], WARM)
    sheet.arrow(523, 152, 523, 197)
    sheet.text(500, 222, "the reserve: the next candidates, under the same rules", anchor="end")
    sheet.text(550, 222, "replaces what is switched off")
    return sheet.svg()


def time() -> str:
    """Draw which plays a run at `as_of` learns from, and which commands use the plays after it."""
    sheet = Sheet(900, 230, "A model learns only from plays before as_of; later plays measure it")
    sheet.box((20, 60, 540, 46), ["learned from", "played before as_of, received before known_as_of"], SOFT)
    sheet.box((560, 60, 180, 46), ["measured on", "holdout.days"], WARM)
    sheet.box((380, 140, 180, 46), ["tune measures here", "the days before"], PALE)
    sheet.box((560, 140, 180, 46), ["promote measures here", "both on the same days"], PALE)
    for x, label in ((20, "first play"), (560, "as_of"), (740, "last play")):
        sheet.arrow(x, 36, x, 58)
        sheet.text(x, 28, label, anchor="start" if x == 20 else "middle", bold=True)
    sheet.arrow(20, 212, 880, 212)
    sheet.text(880, 203, "time", anchor="end", colour=LINE)
    return sheet.svg()


def release() -> str:
    """Draw a release: one row pins a version of every table, and readers follow the latest row."""
    sheet = Sheet(900, 260, "A release is one row that pins a version of every table")
    for i, table in enumerate(("track_cards", "recording_factors", "pools")):
        y = 30 + 75 * i
        sheet.text(20, y + 28, table, bold=True)
        sheet.arrow(660, 118, 406, y + 22)  # drawn before the boxes, so that v3 covers it
        for j in range(4):
            sheet.box((180 + 80 * j, y, 64, 44), [f"v{j}"], SOFT if j == 2 else PALE)
    sheet.box((662, 30, 150, 44), ["release 1", "pins v1"], PALE)
    sheet.box((662, 96, 150, 44), ["release 2", "pins v2: in force"], SOFT)
    sheet.text(737, 165, "a run is writing v3;", anchor="middle", colour=LINE)
    sheet.text(737, 182, "readers see it once its row is there", anchor="middle", colour=LINE)
    sheet.text(737, 230, "every reader reads the latest row", anchor="middle", bold=True)
    sheet.arrow(860, 225, 860, 120)
    sheet.arrow(860, 118, 815, 118)
    return sheet.svg()


PICTURES = {"flow": flow, "grain": grain, "pool": pool, "time": time, "release": release}
