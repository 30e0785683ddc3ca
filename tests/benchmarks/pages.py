"""How long each page takes on a release of 500,000 rows, and what the server's memory does, beside one of 5,000.

    PYTHONPATH=include .venv/bin/python tests/benchmarks/pages.py [--rows 500000] [--folder /tmp/large]

The state (two releases of random texts, a build, as many known pages as rows, a queue of 500) is generated once
below the folder. The pages' app runs in a process of its own (uvicorn, Airflow's session check left out, its rights
kept), once on the small state and once on the large; each page is asked `--times` times, after one round that is not
counted. The last lines say the server's memory after each round, and the slowest page. Wanted: 300 ms on an idle
machine, and memory that does not grow with the release. CPU says what a page costs where other work slows the clock.
Measured on two cores shared with other work: the slowest page a trace with 157 ms, a search 80, rows 31; memory 463 MB
after four rounds, 446 with 5,000 rows.
"""

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import large_release
import psutil

V, BEFORE = "2026.11.22", "2026.11.15"


def serve(port: int) -> None:
    """The pages' app for a user who may read and edit."""
    import uvicorn
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.api_fastapi.core_api.security import get_user
    from airflow.utils.db import initdb

    from chimed_airflow.web import app

    initdb()
    create_auth_manager()
    app.dependency_overrides[get_user] = lambda: SimpleAuthManagerUser(username="one", role="ADMIN")
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def pages(client: httpx.Client) -> dict[str, str]:
    """Every page by a name; the record is one from the middle of the release."""
    middle = client.get(f"/releases/{V}/examples?table=sft/train&start={client.rows // 3}").text
    record = middle.split("/records/")[1][:16]
    return {
        "overview": "/",
        "build": f"/builds/{V}",
        "sources": "/sources",
        "statistics": f"/releases/{V}",
        "card": f"/releases/{V}/card",
        "examples": f"/releases/{V}/examples?table=sft/train",
        "examples, deep": f"/releases/{V}/examples?table=sft/train&start={client.rows // 3}",
        "filtered": f"/releases/{V}/examples?table=sft/train&source=ask39&department=%E5%84%BF%E7%A7%91",
        "words": f"/releases/{V}/examples?table=sft/train&words={large_release.NEEDLE}",
        "words in documents": f"/releases/{V}/examples?table=pretrain/train&words=%E6%B2%A1%E6%9C%89%E8%BF%99%E5%8F%A5",
        "trace": f"/releases/{V}/records/{record}",
        "changes": f"/releases/{V}/changes?against={BEFORE}",
        "files": f"/releases/{V}/files",
        "review": "/review",
        "review items": f"/review/items?build={V}&stage=screen",
        "scores": "/scores",
    }


class Client(httpx.Client):
    """A client that knows how many rows the release has."""

    rows = 0


def measure(folder: Path, rows: int, times: int) -> tuple[dict[str, dict], list[int]]:
    """By page the median seconds and CPU seconds of the server; and the server's resident bytes after each round."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"CHIMED_DATA": f"{folder}/lake", "CHIMED_STORE": f"sqlite:///{folder}/store.db"}  # read at import
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(port,), daemon=True)
    server.start()
    client = Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
    client.rows = rows
    while True:
        try:
            client.get("/scores")
            break
        except httpx.TransportError:
            time.sleep(0.5)
    process, found, resident = psutil.Process(server.pid), {}, []
    asked = pages(client)
    for turn in range(times + 1):
        for name, address in asked.items():
            before, start = sum(process.cpu_times()[:2]), time.perf_counter()
            answer = client.get(address)
            seconds, cpu = time.perf_counter() - start, sum(process.cpu_times()[:2]) - before
            assert answer.status_code == 200, (name, answer.text[:300])
            if turn:
                found.setdefault(name, []).append((seconds, cpu))
        resident.append(process.memory_info().rss)
    server.terminate()
    server.join()
    medians = {
        name: {"seconds": statistics.median(s for s, _ in several), "cpu": statistics.median(c for _, c in several)}
        for name, several in found.items()
    }
    return medians, resident


def main() -> None:
    """Generates what is missing, measures both states, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/chimed-pages"))
    chosen = parser.parse_args()
    os.environ |= {"AIRFLOW_HOME": str(chosen.folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    measured = {}
    for rows in (5_000, chosen.rows):
        folder = chosen.folder / str(rows)
        if not (folder / "lake/releases" / V / "manifest.json").exists():
            subprocess.run([sys.executable, large_release.__file__, str(folder), str(rows)], check=True)
        measured[rows] = measure(folder, rows, chosen.times)
    small, large = measured.values()
    print(f"{'page':22}{'5,000 rows':>14}{f'{chosen.rows:,} rows':>16}{'its CPU':>10}   (median ms)")
    for name, took in large[0].items():
        few = 1e3 * small[0][name]["seconds"]
        print(f"{name:22}{few:14.0f}{1e3 * took['seconds']:16.0f}{1e3 * took['cpu']:10.0f}")
    for rows, (_, resident) in measured.items():
        print(f"memory with {rows:,} rows, MB after each round: {[size >> 20 for size in resident]}")
    slowest = max(large[0], key=lambda name: large[0][name]["seconds"])
    print(json.dumps({"slowest": slowest, **{name: round(1e3 * s) for name, s in large[0][slowest].items()}}))


if __name__ == "__main__":
    main()
