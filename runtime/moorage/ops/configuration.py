"""Declares settings, and reads them from flags and environment variables. A flag overrides a variable.

A settings class is a frozen dataclass whose fields are created by ``setting()``. The declaration is the documentation,
the flag in ``--help``, the environment variable and the check. Credentials have variables only, because everybody who
can list processes sees flags.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from . import pod
from .secret import Secret

S = TypeVar("S")

_KEY = "moorage.setting"
IN_CLUSTER = "in_cluster"
"""A field of this name is set to whether the process runs in a pod."""
REQUIRED = dataclasses.MISSING


class SettingsError(Exception):
    """A setting is missing or invalid. The message names variable and flag, the problem, and the way out."""


@dataclass(frozen=True)
class Setting:
    """The declaration of one setting.

    Attributes:
        variable: environment variable.
        meaning: one sentence for ``--help`` and the reference.
        parse: converts a text to a value; raises ValueError with a sentence.
        also: names of the closed product, used when ``variable`` is not set.
        later: whether it is a file that a kubelet may create after the start. In a pod the file is not checked here.
        flag: ``--name-of-field``, or empty when there is none.
        secret: whether the value is a credential. Messages never contain it.
    """

    variable: str
    meaning: str
    parse: Callable[[str], Any]
    also: tuple[str, ...] = ()
    later: bool = False
    flag: str = ""
    secret: bool = False

    @property
    def title(self) -> str:
        """The name in messages."""
        return f"{self.variable} ({self.flag})" if self.flag else self.variable

    def written(self, value: object) -> str:
        """A value as a user would write it."""
        if isinstance(value, bool):
            return str(value).lower()
        return f"{value:g}{getattr(self.parse, 'unit', 's')}" if isinstance(value, float) else str(value)

    def find(self, environ: Mapping[str, str]) -> tuple[str, str] | None:
        """The value in the environment, and the name of its variable for messages.

        An empty variable counts as not set.
        """
        if environ.get(self.variable):
            return environ[self.variable], self.title
        return next(((environ[name], name) for name in self.also if environ.get(name)), None)


def setting(
    variable: str,
    meaning: str,
    parse: Callable[[str], Any],
    default: Any = REQUIRED,
    *,
    also: tuple[str, ...] = (),
    later: bool = False,
) -> Any:
    """Declare a field. Without a default, it is required.

    Args:
        variable: environment variable; the flag is named after the field.
        meaning: one sentence.
        parse: converts a text to a value. ``Secret`` makes it a credential without a flag.
        default: the value when neither flag nor variable is set.
        also: see ``Setting``.
        later: see ``Setting``.
    """
    declared = Setting(variable, meaning, parse, also, later, secret=parse is Secret)
    return dataclasses.field(default=default, metadata={_KEY: declared})


def settings_of(kind: type[Any]) -> dict[str, Setting]:
    """The declared settings of a settings class, by field."""
    result = {}
    for each in dataclasses.fields(kind):
        if (declared := each.metadata.get(_KEY)) is not None:
            flag = "" if declared.secret else f"--{each.name.replace('_', '-')}"
            result[each.name] = dataclasses.replace(declared, flag=flag)
    return result


def add_flags(
    parser: argparse.ArgumentParser, kind: type[Any], *, title: str = "settings", without: Collection[str] = ()
) -> None:
    """Add a flag for each setting to a parser. The values stay text; ``load`` checks them.

    Args:
        parser: the parser; the flags are in a group of their own.
        kind: a settings class.
        title: the title of the group.
        without: fields without a flag.
    """
    group = parser.add_argument_group(title, "each also as an environment variable; a flag overrides it")
    defaults = {each.name: each.default for each in dataclasses.fields(kind)}
    declarations = {field: each for field, each in settings_of(kind).items() if field not in without}
    for field, declared in declarations.items():
        names = " or ".join((declared.variable, *declared.also))
        text = f"{declared.meaning} [{names}{_default_text(declared, defaults[field])}]".replace("%", "%%")
        if declared.secret:
            continue
        if defaults[field] is False:
            group.add_argument(declared.flag, dest=field, nargs="?", const="true", metavar="BOOL", help=text)
        else:
            choices = getattr(declared.parse, "choices", None)
            metavar = "|".join(choices) if choices else field.rpartition("_")[2].upper()
            group.add_argument(declared.flag, dest=field, metavar=metavar, help=text)


def load(kind: type[S], environ: Mapping[str, str], flags: Mapping[str, str | None] | None = None) -> S:
    """Read a settings class.

    Args:
        kind: the class. Its ``__post_init__`` may raise SettingsError for checks over several fields.
        environ: environment variables. An empty one counts as not set.
        flags: text by field; None where the flag was not given.

    Raises:
        SettingsError: a setting is missing or invalid.
    """
    defaults = {each.name: each.default for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    is_pod = pod.in_cluster(environ)
    values: dict[str, Any] = {IN_CLUSTER: is_pod} if IN_CLUSTER in defaults else {}
    for field, declared in settings_of(kind).items():
        flag = (flags or {}).get(field)
        found = (flag, declared.title) if flag is not None else declared.find(environ)
        if found is not None:
            values[field] = Path(found[0]).expanduser() if declared.later and is_pod else _parse(declared, *found)
        elif defaults[field] is REQUIRED:
            raise SettingsError(f"{declared.title} is not set. It says {_lower(declared.meaning)}")
    return kind(**values)


def _parse(declared: Setting, given: str, title: str) -> Any:
    try:
        return declared.parse(given)
    except ValueError as error:
        shown = "" if declared.secret else f" {given[:100]!r}"
        raise SettingsError(f"{title}:{shown}: {error}") from error


def _default_text(declared: Setting, default: object) -> str:
    if default is REQUIRED or default is None or default is False or default in ("", ()):
        return ""
    return f", default {declared.written(default)}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
