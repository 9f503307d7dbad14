"""Where the planner is, and what a connection shows and believes there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from moorage.ops.configuration import SettingsError
from moorage.ops.parsing import Address
from moorage.ops.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannerEndpoint:
    """The planner that a pinner connects to.

    Attributes:
        address: host and port.
        plaintext: no TLS; loopback only.
        ca_file: authorities in PEM form, read before each connection; None means the system's.
        key_file: a file with the API key, read before each connection (a mounted Secret is rotated in place).
        key: the API key itself, when it is not in a file.
        other_key: the API key while neither of them gives one; made for the closed product.
        key_file_is_closed: whether the key in the file was made for the closed product too.
        closed_key_stays_in: the namespace whose planners alone are shown a key made for the closed product; empty: no
            matter where.
        advice: where files that are missing come from, for people.

    Raises:
        SettingsError: plaintext to another machine.
    """

    address: Address
    plaintext: bool = False
    ca_file: Path | None = None
    key_file: Path | None = None
    key: Secret | None = None
    other_key: Secret | None = None
    key_file_is_closed: bool = False
    closed_key_stays_in: str = ""
    advice: str = ""

    def __post_init__(self) -> None:
        if self.plaintext and not self.address.is_loopback:
            raise SettingsError(
                f"Plaintext is for planners on this machine, and {self.address} is elsewhere: the key would be "
                "readable on the way. Use TLS"
            )

    @property
    def speaks_another_protocol(self) -> bool:
        """Whether the address is Cast AI's own service, which neither understands us nor may have our key."""
        host = self.address.host.rstrip(".").lower()
        return host == "cast.ai" or host.endswith(".cast.ai")
