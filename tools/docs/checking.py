"""Checks a built site: every link and anchor leads to a target, and no page loads anything from another host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FETCHED = {"link": "href", "script": "src", "img": "src", "source": "src", "iframe": "src", "object": "data"}
_KINDS_THAT_ARE_NO_FETCH = {"canonical", "prev", "next", "alternate", "edit"}
_URL = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")


@dataclass
class _Page(HTMLParser):
    """A page.

    Attributes:
        anchors: the anchors in it.
        links: the targets of its links.
        fetched: the URLs that a browser loads with it.
    """

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record an element's anchors, links and loaded URLs."""
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        named = _FETCHED.get(tag)
        if named in given and given.get("rel") not in _KINDS_THAT_ARE_NO_FETCH:
            self.fetched.append(given[named])


def problems(site: Path) -> list[str]:
    """All mistakes of a site, one sentence each.

    Args:
        site: its folder.
    """
    pages = {path: _read(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    if not pages:
        return [f"{site} has no page"]
    found = [problem for path, page in pages.items() for problem in _of(path, page, pages, site)]
    for style in sorted(site.rglob("*.css")):
        found += [f"{style.relative_to(site)} loads {url}" for url in _URL.findall(style.read_text())]
    return found


def _read(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text())
    return page


def _of(path: Path, page: _Page, pages: dict[Path, _Page], site: Path) -> Iterator[str]:
    here = path.relative_to(site)
    for url in page.fetched:
        if _is_elsewhere(url):
            yield f"{here} loads {url}"
    for url in [*page.links, *page.fetched]:
        if _is_elsewhere(url) or urlsplit(url).scheme:
            continue
        parts = urlsplit(url)
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if target.is_dir():
            target /= "index.html"
        if not target.is_file():
            yield f"{here} leads to {url}, which does not exist"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"{here} leads to {url}, and that page has no such anchor"


def _is_elsewhere(url: str) -> bool:
    return url.startswith(("http://", "https://", "//"))
