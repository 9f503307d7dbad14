"""Copies pages of the repository to the folder that the generator reads: docs/, and the pages outside it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.docs import markdown

BESIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "CODE_OF_CONDUCT.md": "code-of-conduct.md",
    "terraform/README.md": "terraform.md",
    "pulumi/README.md": "pulumi.md",
    "examples/planner/README.md": "example-planner.md",
}
"""Pages outside docs/, with their paths on the site."""
FOLDERS = {
    "docs": "index.md",
    "docs/guides": "guides/install.md",
    "docs/reference": "reference/settings.md",
    "docs/adr": "adr/0001-intent-is-one-object.md",
}
"""Folders that pages link to, with the page to which such a link leads."""
CONFIGURATION = "mkdocs.yml"
STYLE = "site.css"
_FOLDER = re.compile(r"^( *)- (.+): (\w+)/$", re.MULTILINE)


def stage(root: Path, target: Path) -> None:
    """Write configuration and pages.

    Args:
        root: the checkout.
        target: a folder that is replaced.

    Raises:
        markdown.LinkError: a link leads to no file of the repository, or a page is in no menu.
    """
    kept = _kept(root)
    pages = {path: _place(path) for path in kept if path in BESIDE or _is_shown(path)}
    texts = {source: (root / source).read_text() for source in pages if source.endswith(".md")}
    headings = {source: markdown.headings(text) for source, text in texts.items()}
    shutil.rmtree(target, ignore_errors=True)
    for source, place in pages.items():
        file = target / "pages" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        if source in texts:
            file.write_text(markdown.page(texts[source], source, place, {**FOLDERS, **pages}, kept, headings))
        else:
            shutil.copyfile(root / source, file)
    shutil.copyfile(Path(__file__).with_name(STYLE), target / "pages" / STYLE)
    menus = expanded((root / CONFIGURATION).read_text(), sorted(pages.values()))
    (target / CONFIGURATION).write_text(menus)
    if lost := [place for place in unlisted(menus, pages) if place.endswith(".md")]:
        raise markdown.LinkError(f"{CONFIGURATION}: no menu has {', '.join(lost)}; add them to nav")
    if absent := sorted(_listed(menus) - set(pages.values())):
        raise markdown.LinkError(f"{CONFIGURATION}: {', '.join(absent)} does not exist; remove it from nav")


def expanded(configuration: str, places: Sequence[str]) -> str:
    """The configuration, with every folder in its menus replaced by the folder's pages.

    Args:
        configuration: text of the generator's configuration.
        places: paths of all pages on the site.
    """

    def entries(match: re.Match[str]) -> str:
        indent, title, folder = match.groups()
        inside = [place for place in places if place.startswith(f"{folder}/")]
        return "\n".join([f"{indent}- {title}:", *(f"{indent}    - {place}" for place in inside)])

    return _FOLDER.sub(entries, configuration)


def unlisted(configuration: str, pages: Mapping[str, str]) -> list[str]:
    """Pages that are in no menu.

    Args:
        configuration: with its folders expanded.
        pages: paths in the repository, each with its path on the site.
    """
    return sorted(set(pages.values()) - _listed(configuration))


def _listed(configuration: str) -> set[str]:
    return set(re.findall(r"[\w/-]+\.md\b", configuration.partition("\nnav:")[2]))


def _place(path: str) -> str:
    return BESIDE.get(path) or path.removeprefix("docs/")


def _is_shown(path: str) -> bool:
    return path.startswith("docs/") and path.endswith((".md", ".svg", ".png"))


def _kept(root: Path) -> frozenset[str]:
    """The files of the repository, without those that are not in Git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return frozenset(path for path in listed.stdout.split("\0") if path and (root / path).is_file())
