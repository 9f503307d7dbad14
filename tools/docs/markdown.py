"""Converts pages of the repository to pages of the site: targets of links, and blank lines for Python-Markdown. No I/O.

In the repository, links lead to files. On the site, a link to another page leads to that page, and a link to any other
file leads to the repository.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Mapping

REPOSITORY = "https://github.com/moorage/moorage"
_FENCE = re.compile(r"^( {0,3})(```+|~~~+)")
_LINK = re.compile(r"`+[^`]*`+|\]\(([^)\s]+)\)")
_ITEM = re.compile(r"^([-*]|\d+\.) ")


class LinkError(Exception):
    """A link leads to no file of the repository. The text names its page."""


def page(
    text: str,
    source: str,
    target: str,
    pages: Mapping[str, str],
    kept: Collection[str],
    places: Mapping[str, Collection[str]],
) -> str:
    """A page of the site.

    Args:
        text: the page in the repository.
        source: its path in the repository.
        target: its path on the site, with the suffix of the source.
        pages: paths in the repository of all pages, images and folders of pages, each with its path on the site.
        kept: paths of all files of the repository.
        places: the anchors of each page, by its path in the repository.

    Raises:
        LinkError: a link has no target.
    """

    def moved(link: str) -> str:
        path, hash_, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            return link
        found = posixpath.normpath(posixpath.join(posixpath.dirname(source), path)) if path else source
        if anchor and anchor not in places.get(found, (anchor,)):
            raise LinkError(f"{source}: {link} leads to no heading of {found}")
        if not path:
            return link
        if found in pages:
            return posixpath.relpath(pages[found], posixpath.dirname(target) or ".") + hash_ + anchor
        if found in kept:
            return f"{REPOSITORY}/blob/main/{found}{hash_}{anchor}"
        if any(each.startswith(f"{found}/") for each in kept):
            return f"{REPOSITORY}/tree/main/{found}"
        raise LinkError(f"{source}: {link} leads to no file of the repository")

    return "\n".join(_separated(text.split("\n"), moved))


def headings(text: str) -> frozenset[str]:
    """The anchors of a page: its headings, as GitHub and the site name them.

    Args:
        text: the page.
    """
    found: list[str] = []
    fence = ""
    for line in text.split("\n"):
        if (opened := _FENCE.match(line)) is not None:
            fence = "" if fence == opened[2] else fence or opened[2]
        elif not fence and (heading := re.match(r"#+ (.*)", line)) is not None:
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[1])
            found.append(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return frozenset(found)


def _separated(lines: list[str], moved: Callable[[str], str]) -> list[str]:
    """The lines, with a blank line wherever Python-Markdown needs one to recognize a list, a table or code."""
    out: list[str] = []
    fence, shift, in_list, closed = "", 0, False, False
    for line in lines:
        opened = _FENCE.match(line)
        if fence:
            out.append(" " * shift + line)
            if opened is not None and line.strip() == fence:
                fence, closed = "", True
            continue
        if closed and line:
            _part(out)
        closed = False
        if opened is not None:
            fence = opened[2]
            shift = 4 - len(opened[1]) if opened[1] and in_list else 0
            _part(out)
            out.append(" " * shift + line)
            continue
        begins = _begins(line, out[-1] if out else "", in_list=in_list)
        if begins:
            _part(out)
        if _ITEM.match(line):
            in_list = True
        elif line and not line.startswith(" ") and not (out and out[-1].strip() and in_list):
            in_list = False
        out.append(_LINK.sub(lambda match: f"]({moved(match[1])})" if match[1] else match[0], line))
    return out


def _begins(line: str, before: str, *, in_list: bool) -> bool:
    """Whether a list or a table begins with this line, directly after a paragraph."""
    if not before.strip() or before.startswith(("#", "|", ">")):
        return False
    return line.startswith("|") or (_ITEM.match(line) is not None and not in_list)


def _part(out: list[str]) -> None:
    if out and out[-1].strip():
        out.append("")
