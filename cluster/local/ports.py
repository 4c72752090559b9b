"""TCP ports of this machine: free ones, whether one is, and ranges of them."""

from __future__ import annotations

import contextlib
import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from queryfleet.errors import ConfigurationError

__all__ = ["PortRange", "check_free", "free_ports"]

_FIRST_PORT = 20_000  # below the ports that systems give to clients
_RANGES = 100
_PORTS = 100  # in a range


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that are free now. Somebody else may take one before it is used."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def check_free(host: str, port: int) -> None:
    """Raise `ConfigurationError` when somebody listens on this port.

    The HTTP proxy would not notice: it shares its port, so two services on one would each get half of the requests.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of an ended service do not count
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as error:
            raise ConfigurationError(
                f"Port {port} of {host} cannot be used ({error.strerror}); choose another with --port, or 0 for any.",
                port=port,
            ) from None


@dataclass(slots=True, kw_only=True)
class PortRange:
    """Ports that no other stack on this machine uses, from `claim` to `release` or the end of this process.

    Its last port is held and not used otherwise: who can bind it has the range.
    """

    first: int
    _claim: socket.socket

    @classmethod
    def claim(cls) -> PortRange:
        """Take a range that nobody has.

        Raises:
            ConfigurationError: All are taken.
        """
        for number in random.sample(range(_RANGES), _RANGES):
            first = _FIRST_PORT + number * _PORTS
            claim = socket.socket()
            try:
                claim.bind(("127.0.0.1", first + _PORTS - 1))
            except OSError:
                claim.close()
            else:
                return cls(first=first, _claim=claim)
        raise ConfigurationError(f"{_RANGES} stacks run on this machine already; stop one.")

    @property
    def last(self) -> int:
        """The last port to be used, itself included."""
        return self.first + _PORTS - 2

    def release(self) -> None:
        """Let others have the range. Idempotent."""
        with contextlib.suppress(OSError):
            self._claim.close()
