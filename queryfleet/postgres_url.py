"""URLs of databases that refer to the environment for their secrets.

    postgresql://reader:${PASSWORD}@db.example.com:5432/analytics?sslmode=require
    ${DATABASE_URL}

Whether a URL holds a password is judged more strictly than libpq reads it: a password with an unencoded `/`
or `@` in it, which libpq would misread, must be noticed as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from queryfleet.environment_reference import has_reference, is_only_references, substituted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["URL_SECRET_ADVICE", "resolved_url", "url_fault"]

URL_SECRET_ADVICE = "set an environment variable, and write ${NAME} with its name here"  # noqa: S105 (advice)

_SCHEME = re.compile(r"postgres(?:ql)?://")
_ANY_SCHEME = re.compile(r"[a-z][a-z0-9_]*(?:\+[a-z][a-z0-9_]*)?://")
_SECRET_NAME = re.compile("password|secret|token|passwd|pwd", re.IGNORECASE)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]|[^:\[\]]*)(?::(?P<port>.*))?")


def url_fault(url: str, *, any_dialect: bool = False) -> str | None:
    """Return what is wrong with a URL in a configuration, without repeating any of it, or None.

    Checked: the scheme; that a password consists of references, as user information and as a parameter; that ports
    are numbers, because what stands there may be a password whose `@` was forgotten.

    Args:
        url: With references or without.
        any_dialect: It may begin with any `dialect://` or `dialect+driver://`; else with `postgresql://` only.
    """
    if is_only_references(url):
        return None
    scheme = (_ANY_SCHEME if any_dialect else _SCHEME).match(url)
    if scheme is None:
        example = "dialect+driver://" if any_dialect else "postgresql://"
        return f"must begin with {example} (or be a reference such as ${{DATABASE_URL}})"
    user_info, _, after = url[scheme.end() :].rpartition("@")
    _, colon, password = user_info.partition(":")
    if colon and password and not is_only_references(password):
        return f"must not contain the password: {URL_SECRET_ADVICE}"
    for parameter in url.partition("?")[2].split("&"):
        name, _, value = parameter.partition("=")
        if _SECRET_NAME.search(unquote(name)) and value and not is_only_references(value):
            return f"must not contain a secret parameter: {URL_SECRET_ADVICE}"
    for host in re.split("[/?]", after, maxsplit=1)[0].split(","):
        match = _HOST.fullmatch(host)
        port = (match["port"] or "") if match is not None else "?"
        if port and not (port.isascii() and port.isdecimal()) and not is_only_references(port):
            return "has a port that is not a number; in a password write : as %3A, / as %2F and @ as %40"
    return None


def resolved_url(url: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the URL with the environment's values.

    A value that is put into user information, database name or parameters is percent-encoded first, so that a
    password may hold any character. One that stands for the whole URL, or for the host, is inserted as it is.

    Raises:
        ConfigurationError: A variable is missing.
    """
    if url is None:
        return None
    if is_only_references(url) or not has_reference(url):
        return substituted(url, environ, field="warehouse.url")
    host_start = url.rfind("@") + 1
    ends = [url.find(mark, host_start or url.find("://") + 3) for mark in "/?"]
    host_end = min((end for end in ends if end >= 0), default=len(url))

    def spelled(position: int, value: str) -> str:
        in_host = host_start <= position < host_end
        return value if in_host else quote(value, safe="")

    return substituted(url, environ, field="warehouse.url", spell=spelled)
