"""A Node script as the other side of a comparison: commands and answers are JSON lines."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["NodeSide"]

_FOLDER = Path(__file__).parent / "node"


class NodeSide:
    """One Node process. A context manager.

    Args:
        script: Name of a file in bench/node.
        setup: Its first line of input; secrets go here and not on a command line.
    """

    def __init__(self, script: str, setup: dict[str, object]) -> None:
        command = ["node", "--max-old-space-size=4096", str(_FOLDER / script)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._write(setup)

    def ask(self, command: dict[str, object]) -> dict[str, Any]:
        """Give one command and return its answer; RuntimeError when the process has ended."""
        self._write(command)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the Node script ended with {self._process.wait(timeout=10)}; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _write(self, document: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
