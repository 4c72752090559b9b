"""TCP ports of this machine: free ones, and whether one is."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from queryfleet.errors import ConfigurationError

__all__ = ["check_free", "free_ports"]


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
