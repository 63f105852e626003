"""One look for every figure: thin, quiet, safe for the colour-blind, sharp in print.

Figures are drawn with Matplotlib's object interface (never pyplot, which is slow to
import and keeps state) and become SVG that stands inside the page: text stays text, and
colours become variables of the page, so that one figure serves light and dark screens
and print. Dense scatter is rasterised inside the vector drawing.
"""

import io
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

# Hues of Okabe & Ito (2008), distinguishable with every common colour blindness. Each
# value stands for one variable of the page, so no two may be equal.
INK = "#1b1b1f"
SOFT = "#6b6b75"
RULE = "#d4d4da"
PAPER = "#fefefe"
BLUE = "#0072b2"
SKY = "#56b4e9"
RED = "#d55e00"
GREEN = "#009e73"
PURPLE = "#cc79a7"
GOLD = "#e69f00"
DOT = "#85858f"  # of observations, readable on light and dark

VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    RULE: "rule",
    PAPER: "paper",
    BLUE: "blue",
    SKY: "sky",
    RED: "red",
    GREEN: "green",
    PURPLE: "purple",
    GOLD: "gold",
}

SERIES_COLOURS = (BLUE, RED, GREEN, PURPLE, GOLD, SKY)
WIDTH = 8.4  # [inch]; the page shows it about 960 pixels wide
_DPI = 150  # of rasterised scatter

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "slipstate",
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.4,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.0,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "path.simplify": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
}


class Drawing(NamedTuple):
    """One finished figure and the words that go with it.

    Attributes:
        name: Short name, unique on the page.
        svg: The drawing, ready to stand inside HTML.
        title: What is shown, in a few words.
        caption: How to read it.
        alt: What a reader who cannot see it should know.
    """

    name: str
    svg: str
    title: str
    caption: str
    alt: str


def new_figure(height: float) -> Figure:
    """Return an empty figure of the width of the page.

    Args:
        height: Height [inch].

    Returns:
        The figure, without a layout engine: `place_panels` says where things stand,
        which is several times faster than measuring every label.
    """
    figure = Figure(figsize=(WIDTH, height), layout=None)
    FigureCanvasSVG(figure)
    return figure


def place_panels(
    figure: Figure,
    rows: Sequence[float],
    columns: Sequence[float],
    *,
    box: tuple[float, float, float, float],
    gap: tuple[float, float] = (0.5, 0.16),
    share: str = "",
) -> list[list[Axes]]:
    """Add a grid of axes at measured places.

    Args:
        figure: Where to add them.
        rows: Relative heights.
        columns: Relative widths.
        box: Left, right, bottom and top margin [inch].
        gap: Space between columns and between rows [inch].
        share: Any of "x" (panels of a column share x) and "y" (of a row share y).

    Returns:
        The axes, row by row from the top.
    """
    width, height = figure.get_size_inches()
    left, right, bottom, top = box
    free_x = width - left - right - gap[0] * (len(columns) - 1)
    free_y = height - bottom - top - gap[1] * (len(rows) - 1)
    widths = [free_x * c / sum(columns) for c in columns]
    heights = [free_y * r / sum(rows) for r in rows]
    grid: list[list[Axes]] = []
    upper = height - top
    for i, tall in enumerate(heights):
        row: list[Axes] = []
        start = left
        for j, wide in enumerate(widths):
            axes = figure.add_axes(
                (start / width, (upper - tall) / height, wide / width, tall / height),
                sharex=grid[0][j] if "x" in share and i else None,
                sharey=row[0] if "y" in share and j else None,
            )
            axes.tick_params(
                labelbottom="x" not in share or i == len(rows) - 1,
                labelleft="y" not in share or j == 0,
            )
            row.append(axes)
            start += wide + gap[0]
        grid.append(row)
        upper -= tall + gap[1]
    return grid


def add_legend(
    figure: Figure, handles: Sequence[Artist], *, drop: float = 0.02
) -> None:
    """Write one line of legend along the upper edge.

    Args:
        figure: The figure.
        handles: What to explain; each has a label.
        drop: Distance from the upper edge [inch].
    """
    height = figure.get_size_inches()[1]
    figure.legend(
        handles=list(handles),
        loc="upper center",
        bbox_to_anchor=(0.5, 1.0 - drop / height),
        ncols=8,
        borderaxespad=0.0,
        columnspacing=1.4,
    )


def house_style() -> AbstractContextManager[None]:
    """Return the context in which figures are made and turned into SVG."""
    return mpl.rc_context(_SETTINGS)


def to_svg(figure: Figure, name: str) -> str:
    """Return the figure as SVG to stand inside HTML.

    Args:
        figure: What to draw.
        name: Prefix of every identifier, so that figures of one page do not clash.

    Returns:
        The `<svg>` element: no fixed size, no metadata, colours as page variables.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=_DPI, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>", rf"<svg {_HEAD} \1>", text)
    text = re.sub(r"(?<=\.\d\d)\d+(?=[ \n\"])", "", text)  # a hundredth of a point
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", text))
    text = re.sub(r" id=\"([^\"]+)\"", lambda m: _keep(m[1], used, name), text)
    text = re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    return re.sub(r"\n\s*", "\n", text).strip()


_HEAD = (
    'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'aria-hidden="true" focusable="false"'
)


def _keep(identifier: str, used: set[str], name: str) -> str:
    """Drop identifiers nobody refers to; make the others unique."""
    return f' id="{name}-{identifier}"' if identifier in used else ""


def label_panels(panels: Sequence[Axes]) -> None:
    """Write a, b, c, ... in bold into the upper left corner of each panel."""
    for letter, axes in zip("abcdefghijklmnopqrstuvwxyz", panels):
        axes.annotate(
            letter,
            (0, 1),
            xycoords="axes fraction",
            xytext=(3, -2),
            textcoords="offset points",
            va="top",
            weight="bold",
            size=9,
            zorder=9,
            path_effects=[withStroke(linewidth=2.2, foreground=PAPER)],
        )
