"""The container image, built here without a registry: `ensure()` gives its archive, `./taskw image:build` the same."""

from __future__ import annotations

from pathlib import Path

from tools.image.errors import ImageError

__all__ = ["ImageError", "ensure", "missing", "name", "sbom"]


def ensure() -> Path:
    """Build the image unless it is current (then this takes well below a second).

    Returns:
        The OCI archive below build/image/, whose annotations carry the name of `name()`. It is replaced in one step,
        so an open file stays what it was.

    Raises:
        ImageError: this machine lacks something, or a step failed; the text says which and what to do.
    """
    from tools.image.build import Builder
    from tools.toolchain.console import Console

    console = Console()
    try:
        return Builder(console.say, console.progress).build()
    finally:
        console.clear()


def missing() -> str | None:
    """Say what this machine lacks to build the image: a sentence, or None."""
    import tools.image.build as build

    return build.missing()


def name() -> str:
    """The image's whole name, `ghcr.io/moorage/moorage:VERSION`."""
    from tools.image import inputs

    return inputs.name()


def sbom() -> Path:
    """Where `ensure()` puts the bill of materials (CycloneDX JSON)."""
    from tools.image.build import Builder

    return Builder(lambda _text: None, lambda _text: None).sbom
