"""`ray job submit -- python -m clsearch.sweep ...` on a Ray head with token authentication, with and without a working
directory; the results are seen from the shell that submitted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from clsearch.results.store import open_store
from clsearch.results.trials import read_trials

ROOT = Path(__file__).parents[2]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


@dataclass
class Head:
    """A Ray head of its own ports and folder; `environment` is what the submitting shell needs."""

    environment: dict[str, str]
    store: Path

    def submit(self, *words: str, working_dir: Path | None = None) -> str:
        where = ["--working-dir", str(working_dir)] if working_dir else []
        extent = ["profile=pocket", "trials=2", "confirm.pairs=0", "race.top=0"]
        command = ["python", "-m", "clsearch.sweep", "mora_clip", *extent, *words]
        done = subprocess.run(
            [*RAY, "job", "submit", *where, "--", *command],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.store.parent,  # not the checkout: without a working directory the installed package must do
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def statuses(self, sweep: str) -> list[str]:
        return [trial.status for trial in read_trials(open_store(str(self.store)), sweep)]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    scratch = tempfile.mkdtemp(prefix="cls-j-", dir="/tmp")  # Ray's sockets need a short path
    names = ("port", "dashboard-port", "ray-client-server-port", "dashboard-agent-listen-port")
    names += ("dashboard-agent-grpc-port", "metrics-export-port", "node-manager-port", "object-manager-port")
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    folder = tmp_path_factory.mktemp("jobs")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # `python` of the job
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "a-token-of-this-test-" + "0" * 32,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ADDRESS": f"http://127.0.0.1:{ports['dashboard-port']}",
        "CLSEARCH_STORE": str(folder / "store"),
        "TMPDIR": scratch,
    }
    options = [f"--{name}={port}" for name, port in ports.items()]
    command = [*RAY, "start", "--head", "--block", "--num-cpus=2", "--object-store-memory=150000000", *options]
    with open(folder / "head.log", "w") as log:
        process = subprocess.Popen(
            [*command, "--dashboard-host=127.0.0.1", f"--temp-dir={scratch}", "--disable-usage-stats"],
            env={name: value for name, value in environment.items() if name != "RAY_ADDRESS"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_jobs_are_taken(environment, process, folder / "head.log")
        yield Head(environment, folder / "store")
    finally:
        _end_session(process)
        shutil.rmtree(scratch, ignore_errors=True)


def test_without_working_dir_and_the_leaderboard_afterwards(head: Head) -> None:
    text = head.submit()
    assert "trials: 2 complete, 0 failed, 0 incomplete" in text
    assert head.statuses("mora_clip-pocket") == ["complete", "complete"]
    shown = subprocess.run(
        [sys.executable, "-m", "clsearch.leaderboard", "--format", "json"],
        capture_output=True,
        text=True,
        env=head.environment,
        check=True,
    )
    assert '"mora_clip-pocket"' in shown.stdout


def test_with_working_dir_and_again_after_an_edit(head: Head, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    for name in ("clsearch", "search_spaces"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "README.md").write_text("before\n")
    text = head.submit("name=from_folder", "seeds.run=7", working_dir=checkout)
    assert "stages: 10 learned, 0 from the store" in text
    (checkout / "README.md").write_text("after\n")
    text = head.submit("name=from_folder", "seeds.run=7", working_dir=checkout)
    assert "stages: 0 learned, 0 from the store" in text
    assert head.statuses("from_folder") == ["complete", "complete"]


def test_without_the_token_nothing_is_taken(head: Head) -> None:
    environment = {**head.environment, "RAY_AUTH_TOKEN": "another-token-of-this-test-" + "0" * 32}
    done = subprocess.run([*RAY, "job", "list"], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode != 0


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until_jobs_are_taken(environment: dict[str, str], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        done = subprocess.run([*RAY, "job", "list"], capture_output=True, env=environment, timeout=60)
        if done.returncode == 0:
            return
        time.sleep(1)
    pytest.fail("the Ray head did not start:\n" + log.read_text())


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """End the head as Ray would, then whatever else is left of the session that this test started."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=20)
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    process.wait()
