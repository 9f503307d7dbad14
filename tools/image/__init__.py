"""The container image, built without a registry: `ensure()` returns its archive, as `./taskw image:build` does."""

from __future__ import annotations

from pathlib import Path

from tools.image.errors import ImageError

__all__ = ["ImageError", "ensure", "missing", "name", "sbom"]


def ensure() -> Path:
    """Build the image unless it is current. The check takes well below a second.

    Returns:
        The OCI archive below build/image/. Its annotations have the name of `name()`. It is replaced in one step,
        so an open file keeps its content.

    Raises:
        ImageError: this machine lacks something, or a step failed. The text names it and the way out.
    """
    from tools.image.build import Builder
    from tools.toolchain.console import Console

    console = Console()
    try:
        return Builder(console.say, console.progress).build()
    finally:
        console.clear()


def missing() -> str | None:
    """What this machine lacks to build the image, as a sentence, or None."""
    import tools.image.build as build

    return build.missing()


def name() -> str:
    """The image's whole name, `ghcr.io/moorage/moorage:VERSION`."""
    from tools.image import inputs

    return inputs.name()


def sbom() -> Path:
    """The path of the bill of materials of `ensure()` (CycloneDX JSON)."""
    from tools.image.build import Builder

    return Builder(lambda _text: None, lambda _text: None).sbom
