"""A strict S3 service for tests: OpenStack Swift with its S3 interface, four processes below one directory.

Unlike the local stack's server it checks what S3 checks: it answers ranges with 206, and refuses what S3
refuses.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import pwd
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from cluster.local.child import Child
from queryfleet.results.store import StoreOptions
from tests.servers.ports import free_ports

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_ACCESS_KEY = "app:app"
_SECRET = "swift-Secret/of+the=tests"
_START_SECONDS = 40.0
_DEVICE = "disk"

_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder = sys.argv[1]
for kind, port in zip(("account", "container", "object"), sys.argv[2:]):
    device = {"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk"}
    ring = RingBuilder(4, 1, 1)
    ring.add_dev({**device, "weight": 1})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{kind}.ring.gz")
"""

_COMMON = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {etc}
devices = {devices}
mount_check = false
log_level = WARNING
log_address = {folder}/nowhere
"""

_STORAGE = """
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

_PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo \
versioned_writes symlink proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_app_app = {secret} .admin
"""

_FILTERS = {
    "catch_errors": "catch_errors",
    "gatekeeper": "gatekeeper",
    "proxy-logging": "proxy_logging",
    "cache": "memcache",
    "listing_formats": "listing_formats",
    "bulk": "bulk",
    "copy": "copy",
    "slo": "slo",
    "dlo": "dlo",
    "versioned_writes": "versioned_writes",
    "symlink": "symlink",
}


@dataclass(slots=True)
class SwiftServer:
    """The four processes. A context manager that starts and stops them."""

    folder: Path
    options: StoreOptions = field(init=False)
    children: list[Child] = field(init=False, default_factory=list)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Write the configuration, start all processes and wait until the service answers."""
        ports = dict(zip(("account", "container", "object", "proxy"), free_ports(4), strict=True))
        self._configure(ports)
        scripts = Path(sys.executable).parent
        env = {"PATH": os.environ["PATH"], "SWIFT_DIR": str(self.folder), "PYTHONWARNINGS": "ignore"}
        for kind in ports:
            command = [str(scripts / f"swift-{kind}-server"), str(self.folder / f"{kind}.conf")]
            self.children.append(Child(command, env=env, log_path=self.folder / f"{kind}.log"))
        self.options = StoreOptions(
            endpoint_url=f"http://127.0.0.1:{ports['proxy']}",
            access_key_id=_ACCESS_KEY,
            secret_access_key=SecretStr(_SECRET),
        )
        deadline = time.monotonic() + _START_SECONDS
        while not all(_answers(port) for port in ports.values()):
            ended = [child.exit_code for child in self.children if child.exit_code is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-2000:] for path in self.folder.glob("*.log"))
                raise RuntimeError(f"swift did not start: {logs}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End all processes. They are stateless beyond their files, so there is nothing to wait for."""
        for child in self.children:
            child.kill()
        self.children.clear()

    def ensure_bucket(self, bucket: str) -> None:
        """Make a bucket by a signed request."""
        asyncio.run(_make_bucket(self.options, bucket))

    def _configure(self, ports: dict[str, int]) -> None:
        (self.folder / "devices" / _DEVICE).mkdir(parents=True)
        (self.folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_prefix = tests\n")
        values = {
            "user": pwd.getpwuid(os.getuid()).pw_name,
            "etc": self.folder,
            "folder": self.folder,
            "devices": self.folder / "devices",
            "secret": _SECRET,
        }
        for kind, port in ports.items():
            text = _COMMON.format(port=port, **values)
            text += _PROXY.format(**values) if kind == "proxy" else _STORAGE.format(kind=kind)
            if kind == "proxy":
                text += "".join(f"[filter:{name}]\nuse = egg:swift#{egg}\n" for name, egg in _FILTERS.items())
            (self.folder / f"{kind}.conf").write_text(text)
        storage = [str(ports[kind]) for kind in ("account", "container", "object")]
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _RINGS, str(self.folder), *storage],
            check=True,
            capture_output=True,
        )


async def _make_bucket(options: StoreOptions, bucket: str) -> None:
    from aiobotocore.session import AioSession

    assert options.secret_access_key is not None
    client = AioSession().create_client(
        "s3",
        endpoint_url=options.endpoint_url,
        aws_access_key_id=options.access_key_id,
        aws_secret_access_key=options.secret_access_key.get_secret_value(),
        region_name="us-east-1",
    )
    async with client as s3:
        await s3.create_bucket(Bucket=bucket)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status > 0
    except OSError:
        return False
    finally:
        connection.close()
