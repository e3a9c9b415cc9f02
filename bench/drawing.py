"""What the pictures of docs/performance.md have in common: the page, its colours by day and by night, text.

They are written by hand: some rectangles that follow the reader's light or dark need no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

FONT = 'font-size="13" font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif"'
STYLE = """
    .page { fill: #ffffff } .met, .own { fill: #1a7f37 } .missed { fill: #cf222e } .other { fill: #8c959f }
    .bound { stroke: #57606a } .spread { stroke: #1f2328 } .name, .head { fill: #1f2328 } .about { fill: #57606a }
    .head { font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 } .met, .own { fill: #2ea043 } .missed { fill: #f85149 } .other { fill: #6e7681 }
      .bound { stroke: #9da7b3 } .spread { stroke: #f0f6fc } .name, .head { fill: #f0f6fc } .about { fill: #9da7b3 }
    }
"""


def picture(title: str, parts: Sequence[str], *, width: float, height: float) -> str:
    """An SVG of that size."""
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {FONT}>',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="page" width="{width:.0f}" height="{height:.0f}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def text(words: str, x: float, y: float, *, kind: str, anchor: str = "start") -> str:
    """Some words of that kind, on the line at y."""
    return f'<text class="{kind}" x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(x: float, y: float, *, width: float, height: float, kind: str) -> str:
    """A bar that begins at x. One of nothing can be seen too."""
    return f'<rect class="{kind}" x="{x:.0f}" y="{y:.0f}" width="{max(width, 1):.1f}" height="{height:.0f}" rx="2"/>'


def spread(low: float, high: float, y: float) -> str:
    """The line from the lowest to the highest value of a bar."""
    return f'<path class="spread" d="M{low:.1f} {y:.0f}H{high:.1f}" stroke-width="2"/>'
