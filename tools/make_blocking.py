"""Write the blocking client: the modules of `queryfleet/client/concurrent` with their waiting taken out.

python tools/make_blocking.py           # write them
python tools/make_blocking.py --check   # write nothing; ends with 1 when a module is not what this would write

The modules must be written for it: no `await` inside parentheses that would be left over, and whatever blocking and
asyncio code do differently is in `lanes`, which is written twice.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CLIENT: Final = ROOT / "queryfleet" / "client"
MODULES: Final = ("chunks", "client", "download", "query", "result", "service", "wire")
_HEAD: Final = "# Made of queryfleet/client/concurrent/{name}.py by tools/make_blocking.py: change that one.\n"
_REPLACED: Final = (
    (r"\basync (?=def|with|for)", ""),
    (r"\bawait ", ""),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit)__", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\baiter_bytes\b", "iter_bytes"),
    (r"\baread\b", "read"),
    (r"\bclient\.concurrent\b", "client.blocking"),
    (
        "An async context manager; belongs to the event loop it is first used on.",
        "A context manager; may be used from several threads.",
    ),
)


def blocking_source(name: str) -> str:
    """Return the blocking twin of a module."""
    source = (CLIENT / "concurrent" / f"{name}.py").read_text(encoding="utf-8")
    for pattern, replacement in _REPLACED:
        source = re.sub(pattern, replacement, source)
    sorted_ = _ruff(
        "check",
        "--fix-only",
        "--unsafe-fixes",
        "--select=I,UP028,C416",
        "--quiet",
        text=_HEAD.format(name=name) + source,
    )
    return _ruff("format", text=sorted_)


def main(arguments: list[str]) -> int:
    """Write or check all modules."""
    stale = []
    for name in MODULES:
        path, text = CLIENT / "blocking" / f"{name}.py", blocking_source(name)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path)
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 1 if stale and "--check" in arguments else 0


def _ruff(*arguments: str, text: str) -> str:
    # By the name of the file it stands for, so that the project's settings apply.
    command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(CLIENT / "blocking" / "made.py"), "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
