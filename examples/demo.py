"""Watch one real question go through the real system.

Starts the local stack, asks a question over HTTP whose answer has more than a million rows, shows the progress, prints
the first page and one from the far end, asks the models a question without any SQL, and leaves the service up. `--once`
stops it at the end.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from queryfleet.client import Client, Query, QuerySnapshot, ResultPage

DATA_DIR = Path(".queryfleet")
PORT = 8765
START_SECONDS = 180
PAGE_SIZE = 500
SHOWN_ROWS = 8
QUESTION = """
select o.order_id, o.ordered_at::date as day, c.name as customer, p.name as product, o.amount
from orders o join customers c using (customer_id) join products p using (product_id)
where o.status <> 'cancelled'
order by o.order_id
""".strip()
# The same shop, asked by its models: which customers come back, and what they bring.
EXPLORE = "orders"
DIMENSIONS = ["customers_segment", "orders_ordered_at_year"]
METRICS = ["orders_revenue", "orders_buyer_count", "orders_revenue_per_buyer"]

console = Console()


def main() -> int:
    """Run the demonstration and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="stop the service at the end")
    once = parser.parse_args().once
    ready_file = DATA_DIR / "demo-ready.json"
    ready_file.unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("queryfleet")), "up", "--data-dir", str(DATA_DIR)]
    began = time.monotonic()
    service = subprocess.Popen([*command, "--port", str(_free_port()), "--ready-file", str(ready_file)])
    # `make` passes a SIGTERM on to us alone; a Ctrl-C reaches the service too, and it stops by itself.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        place = _wait_ready(service, ready_file)
        console.print(f"[dim]started in {time.monotonic() - began:.1f} s[/dim]\n")
        _ask(place)
        if not once:
            _say_goodbye(place)
            service.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if service.poll() is None:
            service.terminate()
        service.wait()
    return 0 if service.returncode in (0, 130) else 1


def _free_port() -> int:
    """Return the usual port, or another when that is taken."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_ready(service: subprocess.Popen[bytes], ready_file: Path) -> dict[str, str]:
    deadline = time.monotonic() + START_SECONDS
    while not ready_file.exists():
        if service.poll() is not None or time.monotonic() > deadline:
            sys.exit("The service did not start; its last words are above.")
        time.sleep(0.05)
    place = json.loads(ready_file.read_text(encoding="utf-8"))
    return place | {"project": place["project_uuids"][0]}


def _ask(place: dict[str, str]) -> None:
    console.print("[bold]The question[/bold]")
    console.print(Text(QUESTION, style="cyan"))
    with Client(place["url"], token=place["token"], project=place["project"]) as client:
        query = client.sql(QUESTION)
        console.print(f"\naccepted as [bold]{query.query_uuid}[/bold]")
        ended = _watch(query)
        ended.raise_if_failed()
        pages = -(-ended.progress.rows // PAGE_SIZE)
        for number in (1, pages - 1):
            began = time.perf_counter()
            snapshot = query.poll(page=number, page_size=PAGE_SIZE)
            elapsed = (time.perf_counter() - began) * 1000
            if snapshot.page is not None:
                _show(snapshot.page, f"page {number:,} of {pages:,} ({PAGE_SIZE} rows): {elapsed:.0f} ms")
        _ask_models(client)


def _ask_models(client: Client) -> None:
    console.print("\n[bold]A question without SQL[/bold]")
    console.print(Text(f"{', '.join(METRICS)} by {', '.join(DIMENSIONS)}", style="cyan"))
    began = time.perf_counter()
    query = client.query(
        EXPLORE,
        dimensions=DIMENSIONS,
        metrics=METRICS,
        filters="orders_status!=cancelled",
        sorts=DIMENSIONS,
        wait_seconds=60,
    )
    page = query.result().page()
    elapsed = (time.perf_counter() - began) * 1000
    labels = {name: str(item.get("label")) for name, item in query.fields.items() if isinstance(item, dict)}
    _show(page, f"{page.total_rows} rows: {elapsed:.0f} ms", labels)


def _watch(query: Query) -> QuerySnapshot:
    """Show progress until the query has ended: one line that changes, or many where output is not a terminal."""
    began = time.monotonic()
    with Live(console=console, refresh_per_second=12, auto_refresh=console.is_terminal) as live:
        for snapshot in query.watch(interval_seconds=0.2, page_size=PAGE_SIZE):
            line = _progress(snapshot, time.monotonic() - began)
            if console.is_terminal:
                live.update(line)
            else:
                console.print(line)
    return snapshot


def _progress(snapshot: QuerySnapshot, seconds: float) -> Text:
    progress = snapshot.progress
    return Text(
        f"{snapshot.status:<8} {snapshot.phase or '':<11} {progress.rows:>11,} rows {progress.bytes / 1e6:>8.1f} MB "
        f"{progress.chunks:>4} chunks {seconds:>6.1f} s",
        style="green" if snapshot.is_ended else "yellow",
    )


def _show(page: ResultPage, title: str, labels: dict[str, str] | None = None) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in page.columns:
        heading = (labels or {}).get(column.reference, column.reference)
        table.add_column(heading, justify="right" if column.type == "number" else "left", no_wrap=True)
    for row in list(page.formatted())[:SHOWN_ROWS]:
        table.add_row(*row)
    console.print()
    console.print(table)
    console.print(f"[dim]the first {SHOWN_ROWS} of this page's {len(page.rows)} rows[/dim]")


def _say_goodbye(place: dict[str, str]) -> None:
    body = json.dumps({"sql": "select status, count(*) as orders from orders group by 1 order by 2 desc"})
    console.print(f"\n[bold]The service is up at {place['url']}[/bold] (documentation: {place['url']}/docs)")
    print(f"token: {place['token']}\n")
    print(f"curl -s '{place['url']}/api/v2/projects/{place['project']}/query/sql?waitMs=10000' \\")
    print(f"  -H 'Authorization: ApiKey {place['token']}' -H 'Content-Type: application/json' \\")
    print(f"  -d '{body}'\n")
    print("queryfleet query orders -d orders_status -m orders_revenue\n")
    print("Ctrl-C stops everything.")


if __name__ == "__main__":
    sys.exit(main())
