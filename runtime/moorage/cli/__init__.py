"""The command ``moorage``: one module per subcommand, loaded only when it is the one that is asked for."""

from .main import main

__all__ = ["main"]
