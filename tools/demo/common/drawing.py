"""What a terminal shows as a picture for README; no timestamps and no addresses in it, so that it can be compared."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from xml.sax.saxutils import escape, unescape

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme

from .demo import Demo
from .events import Event, State
from .record import read

S = TypeVar("S", bound=State)
WIDTH, HEIGHT = 96, 30

_NORMAL = "484f58 ff7b72 3fb950 d29922 58a6ff bc8cff 39c5cf b1bac4"
_BRIGHT = "6e7681 ffa198 56d364 e3b341 79c0ff d2a8ff 56d4dd ffffff"


def _colours(codes: str) -> list[tuple[int, int, int]]:
    return [(int(c[:2], 16), int(c[2:4], 16), int(c[4:], 16)) for c in codes.split()]


_THEME = TerminalTheme((13, 17, 23), (201, 209, 217), _colours(_NORMAL), _colours(_BRIGHT))

_BLANK = "&#160;"
_LEADING = re.compile(rf'(<text [^>]*\bx=")([0-9.]+)(" [^>]*\btextLength=")([0-9.]+)("[^>]*>)({_BLANK}[^<]*)</text>')
"""A text of rich that begins with blanks."""

# rich's own frame without its fonts from the network: a picture in a README loads nothing.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>@TITLE@</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def drawn(shown: RenderableType, title: str, name: str) -> str:
    """Draw what a terminal shows.

    Args:
        shown: its content.
        title: of its window.
        name: no other picture on a page may have it.

    Returns:
        An SVG document.
    """
    console = Console(
        width=WIDTH, height=HEIGHT, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(shown)
    # rich fills the frame with str.format: the title goes in afterwards, so that no brace in it means anything.
    document = console.export_svg(title=title, theme=_THEME, code_format=_FORMAT, unique_id=name)
    return _LEADING.sub(_moved, document).replace("@TITLE@", escape(title), 1)


def _moved(text: re.Match[str]) -> str:
    """A text without the blanks that it begins with, moved to where it begins: librsvg leaves such blanks out."""
    before, x, between, length, after, content = text.groups()
    shown = content.replace(_BLANK, " ")
    kept = shown.lstrip(" ")
    if not kept:
        return ""
    characters = len(unescape(shown))
    each = float(length) / characters
    gone = characters - len(unescape(kept))
    x, length = (f"{value:.1f}".removesuffix(".0") for value in (float(x) + gone * each, (characters - gone) * each))
    return f"{before}{x}{between}{length}{after}{kept.replace(' ', _BLANK)}</text>"


def moment(demo: Demo[S], recording: Path, telling: Callable[[Sequence[Event]], S], name: str) -> str:
    """Draw one moment of a recording.

    Args:
        demo: which.
        recording: a recorded run.
        telling: the state at the moment that shows most.
        name: no other picture on a page may have it.

    Returns:
        An SVG document.
    """
    heading, _, events = read(recording, demo)
    title = f"{demo.command}  (real run, {heading.machine}, Kubernetes {heading.kubernetes})"
    state = telling(events)
    return drawn(demo.render(state, demo.heading, state.at), title, name)
