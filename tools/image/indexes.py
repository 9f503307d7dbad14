"""This machine's source of Python packages, passed to the build as secrets: files that no layer keeps."""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from pathlib import Path

SYSTEM_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
INSIDE_BUNDLE = "/etc/moorage-build/ca.crt"  # where runtime/Dockerfile mounts the secret

_KEPT = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
_SECTIONS = ("global", "install", "wheel")
_FROM_UV = {
    "UV_DEFAULT_INDEX": "index-url",
    "UV_INDEX_URL": "index-url",
    "UV_INDEX": "extra-index-url",
    "UV_EXTRA_INDEX_URL": "extra-index-url",
}


def secrets(environ: Mapping[str, str], folder: Path) -> dict[str, Path]:
    """Write the build's secrets.

    Args:
        environ: PIP_*, UV_*, NETRC, SSL_CERT_FILE and HOME are read.
        folder: readable only by this user.

    Returns:
        File by secret name: `pip.conf` always, `ca.crt` and `netrc` if this machine has them.
    """
    settings = pip_settings(environ)
    found = {"pip.conf": folder / "pip.conf"}
    bundle = next((path for path in _bundles(environ, settings.pop("cert", "")) if path.is_file()), None)
    if bundle is not None:
        found["ca.crt"] = bundle
        settings["cert"] = INSIDE_BUNDLE
    parser = configparser.RawConfigParser()
    parser["global"] = settings
    found["pip.conf"].touch(mode=0o600)
    with found["pip.conf"].open("w") as file:
        parser.write(file)
    netrc = Path(environ.get("NETRC") or Path(environ.get("HOME", "/nonexistent"), ".netrc"))
    if netrc.is_file():
        found["netrc"] = netrc
    return found


def pip_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """Collect pip's settings as pip does: files from general to specific, then variables.

    uv's variables count if pip's own are not set, because this project installs itself with uv.

    Args:
        environ: variables.

    Returns:
        Settings about the source of packages, by pip's names.
    """
    found = {key: value for name, key in _FROM_UV.items() if (value := environ.get(name))}
    if "extra-index-url" in found:  # uv allows NAME=URL
        urls = found["extra-index-url"].split()
        found["extra-index-url"] = " ".join(re.sub(r"^[\w-]+=", "", url) for url in urls)
    for path in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path)
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself will report the mistake
        for section in _SECTIONS:
            if parser.has_section(section):
                given = {key.replace("_", "-"): value for key, value in parser.items(section)}
                found |= {key: given[key] for key in (*_KEPT, "cert") if given.get(key)}
    for key in (*_KEPT, "cert"):
        if value := environ.get("PIP_" + key.replace("-", "_").upper()):
            found[key] = value
    return found


def _files(environ: Mapping[str, str]) -> list[Path]:
    """The configuration files of pip. Later ones win (pip: user guide, "Configuration Files")."""
    home = Path(environ.get("HOME", "/nonexistent"))
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    if (named := environ.get("PIP_CONFIG_FILE")) == os.devnull:
        return []
    paths = [Path(folder, "pip/pip.conf") for folder in reversed(environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"))]
    paths += [Path("/etc/pip.conf"), home / ".pip/pip.conf", config / "pip/pip.conf"]
    return paths + ([Path(named)] if named else [])


def _bundles(environ: Mapping[str, str], cert: str) -> list[Path]:
    named = [cert, environ.get("SSL_CERT_FILE", ""), environ.get("REQUESTS_CA_BUNDLE", "")]
    return [*(Path(name) for name in named if name), SYSTEM_BUNDLE]
