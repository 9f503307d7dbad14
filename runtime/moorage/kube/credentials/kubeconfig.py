"""Reads and merges kubeconfig files as kubectl does (client-go tools/clientcmd/loader.go, validation.go).

The first file that names a cluster, user, context or current context wins. Paths are relative to their file. Missing
files of a list are skipped. Messages quote names and paths only, because a secret may stand in a wrong field.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import yaml

from moorage.wording import followed

from .access import CredentialsError


class _Section(msgspec.Struct, rename="kebab"):
    """A part of a kubeconfig. Its representation hides all values."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Extension(_Section):
    """Free-form data of other tools."""

    name: str = ""
    extension: Any = None


class Cluster(_Section):
    """``clusters[].cluster``."""

    server: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    proxy_url: str | None = None
    disable_compression: bool | None = None
    extensions: list[Extension] | None = None


class EnvVar(_Section):
    """One variable of an exec plugin."""

    name: str
    value: str | None = None


class ExecConfig(_Section, rename="camel"):
    """``users[].user.exec``."""

    command: str | None = None
    api_version: str | None = None
    args: list[str] | None = None
    env: list[EnvVar] | None = None
    install_hint: str | None = None
    provide_cluster_info: bool | None = None
    interactive_mode: str | None = None


class User(_Section):
    """``users[].user``."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(name="tokenFile", default=None)
    impersonate: str | None = msgspec.field(name="as", default=None)
    impersonate_uid: str | None = msgspec.field(name="as-uid", default=None)
    impersonate_groups: list[str] | None = msgspec.field(name="as-groups", default=None)
    impersonate_extra: dict[str, list[str]] | None = msgspec.field(name="as-user-extra", default=None)
    username: str | None = None
    password: str | None = None
    auth_provider: Any = None
    exec: ExecConfig | None = None


class Context(_Section):
    """``contexts[].context``."""

    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class _NamedCluster(_Section):
    name: str
    cluster: Cluster | None = None


class _NamedUser(_Section):
    name: str
    user: User | None = None


class _NamedContext(_Section):
    name: str
    context: Context | None = None


class _File(_Section):
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None
    current_context: str | None = None


T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A section and the file that holds it."""

    value: T = field(repr=False)
    file: Path

    def path(self, name: str) -> Path:
        """Resolve a path relative to the file's directory."""
        return self.file.parent / name


@dataclass
class Merged:
    """The merged content of all files."""

    files: list[Path] = field(default_factory=list)
    clusters: dict[str, Entry[Cluster]] = field(default_factory=dict)
    users: dict[str, Entry[User]] = field(default_factory=dict)
    contexts: dict[str, Entry[Context]] = field(default_factory=dict)
    current_context: str = ""

    def add(self, file: Path, parsed: _File) -> None:
        """Add what earlier files do not define."""
        self.files.append(file)
        for name, cluster in _unique(
            file, "clusters", [(c.name, c.cluster or Cluster()) for c in parsed.clusters or ()]
        ):
            self.clusters.setdefault(name, Entry(cluster, file))
        for name, user in _unique(file, "users", [(u.name, u.user or User()) for u in parsed.users or ()]):
            self.users.setdefault(name, Entry(user, file))
        for name, context in _unique(
            file, "contexts", [(c.name, c.context or Context()) for c in parsed.contexts or ()]
        ):
            self.contexts.setdefault(name, Entry(context, file))
        self.current_context = self.current_context or parsed.current_context or ""


def read(paths: Sequence[Path], *, must_exist: bool) -> Merged:
    """Read and merge kubeconfig files.

    Args:
        paths: the files; the first one has the highest priority.
        must_exist: whether a missing file is an error. A file of a list may be missing.

    Raises:
        CredentialsError: a file cannot be read, or it is not a kubeconfig.
    """
    merged = Merged()
    for path in paths:
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            if must_exist:
                raise CredentialsError(
                    f"kubeconfig {path}: no such file. Correct the path, or leave it out to use $KUBECONFIG, "
                    "the pod's service account or ~/.kube/config"
                ) from None
            continue
        except OSError as error:
            reason = f"kubeconfig {path}: cannot be read: {error.strerror}"
            raise CredentialsError(followed(reason, "Make it readable for this user")) from None
        merged.add(path, _parse(path, text))
    return merged


def _parse(path: Path, text: bytes) -> _File:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:  # the error's own text quotes the line, which may hold a secret
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise CredentialsError(f"kubeconfig {path}: not YAML{where}. Correct it, or write it anew") from None
    except (ValueError, LookupError, AttributeError, RecursionError):  # PyYAML's, for a value that is not of its type
        raise CredentialsError(f"kubeconfig {path}: not YAML that can be read. Correct it, or write it anew") from None
    try:
        return msgspec.convert({} if document is None else document, type=_File)
    except msgspec.ValidationError as error:  # msgspec names types and the field's path, no values
        raise CredentialsError(followed(f"kubeconfig {path}: {error}", "Correct this field")) from None


def _unique(file: Path, section: str, entries: Iterable[tuple[str, T]]) -> list[tuple[str, T]]:
    result: dict[str, T] = {}
    for name, value in entries:
        if name in result:
            raise CredentialsError(f"kubeconfig {file}: {section}: the name {name!r} occurs twice. Remove one of them")
        result[name] = value
    return list(result.items())


def inline(data: str, field: str) -> bytes:
    """Decode a ``…-data`` field.

    Raises:
        CredentialsError: the field is not base64.
    """
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise CredentialsError(
            f"{field}: not base64. Write the PEM file through `base64 -w0` into this field"
        ) from None
