"""Fixtures for every room's tests."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside this file

from seaweed import SeaweedServer, make_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[SeaweedServer]:
    """A real S3 server for the session; `server.environment` is what a client needs, `server.create_bucket` a place."""
    folder = Path(tempfile.mkdtemp(prefix="weed"))  # short, and not pytest's: it holds sockets
    server = make_server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def s3_uri(s3_server: SeaweedServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """An empty place in a bucket of the test server, with the environment set for it."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return f"{s3_server.create_bucket('clsearch-tests')}/{abs(hash(request.node.nodeid)):x}"
