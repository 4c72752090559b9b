"""The local stack's S3 server: where its secret is, how it ends, what it keeps."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from cluster.local.s3 import S3Server
from queryfleet.errors import ConfigurationError
from queryfleet.results.store import open_store

pytestmark = pytest.mark.integration

SECRET = SecretStr("very/Secret+value=")
PARENT = """
import signal, sys
from pathlib import Path
from pydantic import SecretStr
from cluster.local.s3 import S3Server
server = S3Server(Path(sys.argv[1]), access_key_id="KEYID", secret_access_key=SecretStr("secret"))
server.start()
print(server.pid, flush=True)
signal.pause()
"""


def server_in(folder: Path, **options: object) -> S3Server:
    """Return a server over `folder`, not yet started."""
    return S3Server(folder / "data", access_key_id="KEYID", secret_access_key=SECRET, **options)


def names_in(folder: Path) -> list[str]:
    """List what is in a directory."""
    return [path.name for path in folder.iterdir()]


def is_running(pid: int) -> bool:
    """Tell whether the process exists and is not merely unburied."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.anyio
async def test_server_restarted_keeps_port_and_data(tmp_path):
    """After a stop and after a crash the same store finds the same objects at the same address."""
    server = server_in(tmp_path)
    server.ensure_bucket("bucket")
    with server:
        store = open_store("s3://bucket/x", server.options)
        await store.put("a", b"data")
        for end in (server.stop, server.kill):
            endpoint_url, pid = server.endpoint_url, server.pid
            end()
            end()
            assert server.pid is None
            assert not is_running(pid)
            server.start()
            server.start()
            assert endpoint_url == server.endpoint_url
            assert await store.get("a") == b"data"
        await store.close()


def test_server_running_keeps_its_secret_out_of_the_process_list_and_log(tmp_path):
    """Neither the command line nor the log nor any representation shows the secret."""
    with server_in(tmp_path) as server:
        shown = Path(f"/proc/{server.pid}/cmdline").read_text() + (tmp_path / "data.log").read_text()
        assert "serve" in shown
        assert SECRET.get_secret_value() not in shown + repr(server) + repr(server.options)
        assert os.getpgid(server.pid) == server.pid


def test_server_of_a_killed_parent_ends_too(tmp_path):
    """A server never outlives the process that started it, even one killed without warning."""
    command = [sys.executable, "-c", PARENT, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_start_port_taken_is_a_clear_error(tmp_path):
    """A port somebody else listens on is named, and the other one is not mistaken for the server."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            server_in(tmp_path, port=port).start()


@pytest.mark.parametrize(("key", "secret"), [("a,b", "secret"), ("abc", 'se"cret'), ("ab", "secret"), ("abc", "")])
def test_server_credentials_it_cannot_be_told_are_refused(tmp_path, key, secret):
    """A credential that would be cut or misread is refused, without being shown."""
    with pytest.raises(ConfigurationError) as caught:
        S3Server(tmp_path, access_key_id=key, secret_access_key=SecretStr(secret))
    assert not secret or secret not in caught.value.message.replace("secret key", "")


def test_ensure_bucket_wrong_name_is_refused(tmp_path):
    """A bucket is a directory below the data, never elsewhere."""
    server = server_in(tmp_path)
    for name in ("..", "a", "a/b", "../escape", "Upper"):
        with pytest.raises(ConfigurationError):
            server.ensure_bucket(name)
    server.ensure_bucket("bucket")
    server.ensure_bucket("bucket")
    assert names_in(tmp_path / "data") == ["bucket"]
