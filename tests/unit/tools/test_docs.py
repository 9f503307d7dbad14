"""The site of docs/: targets of links, contents of menus, and checks of a built site."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.containers import unable
from tools.docs import checking, markdown, staging

ROOT = Path(__file__).resolve().parents[3]
PAGES = {"README.md": "index.md", "docs/guides/a.md": "guides/a.md", "docs/images/p.svg": "images/p.svg"}
KEPT = {*PAGES, "SECURITY.md", "schemas/x/y.json"}
PLACES = {"docs/guides/a.md": {"here", "top"}}


def written(text: str, source: str = "docs/guides/a.md") -> str:
    return markdown.page(text, source, PAGES[source], PAGES, KEPT, PLACES)


@pytest.mark.parametrize(
    ("source", "link", "becomes"),
    [
        ("README.md", "docs/guides/a.md#top", "guides/a.md#top"),
        ("README.md", "docs/images/p.svg", "images/p.svg"),
        ("docs/guides/a.md", "../../README.md", "../index.md"),
        ("docs/guides/a.md", "../../SECURITY.md#x", f"{markdown.REPOSITORY}/blob/main/SECURITY.md#x"),
        ("docs/guides/a.md", "../../schemas", f"{markdown.REPOSITORY}/tree/main/schemas"),
        ("docs/guides/a.md", "#here", "#here"),
        ("docs/guides/a.md", "https://example.com/a", "https://example.com/a"),
    ],
)
def test_links_lead_to_pages_and_else_to_the_repository(source: str, link: str, becomes: str) -> None:
    assert written(f"see [`that`]({link}), and ![this]({link})", source) == (
        f"see [`that`]({becomes}), and ![this]({becomes})"
    )


def test_code_is_left_as_it_is() -> None:
    text = "`[a](nowhere.md)`\n\n```sh\necho '[a](nowhere.md)'\n- no list\n```"
    assert written(text) == text


def test_a_link_to_nowhere_says_where_it_stands() -> None:
    with pytest.raises(markdown.LinkError, match=r"docs/guides/a\.md: nowhere\.md leads to no file"):
        written("[a](nowhere.md)")


@pytest.mark.parametrize("link", ["a.md#none", "#none"])
def test_so_does_an_anchor(link: str) -> None:
    with pytest.raises(
        markdown.LinkError, match=r"docs/guides/a\.md: \S*#none leads to no heading of docs/guides/a\.md"
    ):
        written(f"[a]({link})")


def test_headings_are_named_as_the_repository_names_them() -> None:
    text = "# GKE, and `kubelets` of your own\n```\n# no heading\n```\n## The [plan](a.md)'s end\n### A_b - c"
    assert markdown.headings(text) == {"gke-and-kubelets-of-your-own", "the-plans-end", "a_b---c"}


def test_lists_tables_and_code_are_parted_from_the_paragraph_above() -> None:
    assert written("text:\n- one\n- two\n  goes on\n\nmore:\n| a |\n|---|\n| b |") == (
        "text:\n\n- one\n- two\n  goes on\n\nmore:\n\n| a |\n|---|\n| b |"
    )
    assert written("- one:\n  ```yaml\n  a: 1\n  ```\n- two") == "- one:\n\n    ```yaml\n    a: 1\n    ```\n\n- two"
    assert written("# Heading\n- one") == "# Heading\n- one"


def test_folders_of_a_menu_become_their_pages_and_every_page_must_be_in_one() -> None:
    configuration = "docs_dir: pages\nnav:\n  - Start: index.md\n  - All:\n      - Decisions: adr/\n"
    menus = staging.expanded(configuration, ["adr/1.md", "adr/2.md", "index.md", "lost.md"])
    assert menus.endswith("      - Decisions:\n          - adr/1.md\n          - adr/2.md\n")
    assert staging.unlisted(menus, {name: name for name in ("adr/1.md", "index.md", "lost.md")}) == ["lost.md"]


def test_every_link_of_our_own_pages_leads_somewhere_and_every_page_is_in_a_menu(tmp_path: Path) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        unable("the site has the pages that are in Git, and this is no checkout, or git is not installed")
    staging.stage(ROOT, tmp_path / "site")
    assert (tmp_path / "site/pages/index.md").read_text().startswith("# Moorage\n")
    assert "guides/install.md" in (tmp_path / "site" / staging.CONFIGURATION).read_text()
    listed = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, check=True, capture_output=True, text=True)
    pages = [path for path in listed.stdout.split() if path.endswith(".md") and (ROOT / path).exists()]
    assert len(pages) > 30
    assert all((tmp_path / "site/pages" / path.removeprefix("docs/")).is_file() for path in pages)


def site(folder: Path, **pages: str) -> list[str]:
    for name, body in pages.items():
        (folder / f"{name}.html").write_text(f"<html><body>{body}</body></html>")
    return checking.problems(folder)


def test_a_site_that_holds_together(tmp_path: Path) -> None:
    (tmp_path / "p.svg").write_text("<svg/>")
    good = '<h1 id="top">A</h1><a href="b.html#top">b</a><a href="https://example.com">c</a><img src="p.svg">'
    assert site(tmp_path, a=good, b='<h1 id="top">B</h1><a href="#top">up</a>') == []


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="none.html">x</a>', "a.html leads to none.html, which does not exist"),
        ('<a href="b.html#none">x</a>', "a.html leads to b.html#none, and that page has no such anchor"),
        ('<a href="#none">x</a>', "a.html leads to #none, and that page has no such anchor"),
        ('<img src="none.svg">', "a.html leads to none.svg, which does not exist"),
        ('<script src="https://example.com/x.js"></script>', "a.html loads https://example.com/x.js"),
        ('<link rel="stylesheet" href="//example.com/x.css">', "a.html loads //example.com/x.css"),
    ],
)
def test_what_does_not_hold_together(tmp_path: Path, body: str, problem: str) -> None:
    assert site(tmp_path, a=body, b="<h1>B</h1>") == [problem]


def test_a_style_that_fetches_and_a_site_without_pages(tmp_path: Path) -> None:
    assert checking.problems(tmp_path) == [f"{tmp_path} has no page"]
    (tmp_path / "x.css").write_text("@font-face { src: url('https://example.com/f.woff2') }")
    assert site(tmp_path, a="") == ["x.css loads https://example.com/f.woff2"]
