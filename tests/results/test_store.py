"""What every store must do, on a local folder and on a real S3 server."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from made_up_store import row, write_sequence
from seaweed import SECRET_KEY, SeaweedServer

from clsearch.errors import UsageError
from clsearch.results.rows import rows_table
from clsearch.results.store import Store, StoreConflict, StoreError, open_store, parse_row_name, resolve_uri

HASH = "0123456789ab"


@pytest.fixture(params=["local", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "store") if request.param == "local" else str(request.getfixturevalue("s3_uri"))


@pytest.fixture
def store(uri: str) -> Store:
    return open_store(uri)


# Objects


def test_an_object_is_created_once(store: Store) -> None:
    assert store.put("a/b/c", b"first")
    assert not store.put("a/b/c", b"second")
    assert not store.put("a/b/c", b"first")  # the same bytes, and still somebody else's object
    assert store.get("a/b/c") == b"first"
    assert store.exists("a/b/c")
    assert not store.exists("a/b")
    with pytest.raises(FileNotFoundError):
        store.get("a/b/d")
    assert store.put("empty", b"")
    assert store.get("empty") == b""


def test_listing_is_fresh_sorted_and_by_prefix(store: Store) -> None:
    assert store.list("") == []  # the self-test left nothing
    for path in ("rows/x/2", "rows/x/10", "rows/xy/1", "trials/x/0/claim.json"):
        store.put(path, b"-")
    assert store.list("rows/") == ["rows/x/10", "rows/x/2", "rows/xy/1"]
    assert store.list("rows/x/") == ["rows/x/10", "rows/x/2"]
    assert store.list("rows/x/1") == ["rows/x/10"]
    assert store.list("nothing/") == []
    store.delete("rows/x/2")
    store.delete("rows/x/2")
    assert store.list("rows/x") == ["rows/x/10", "rows/xy/1"]
    assert open_store(store.uri, create=False).list("") == ["rows/x/10", "rows/xy/1", "trials/x/0/claim.json"]


def test_one_of_eight_threads_wins(store: Store) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for turn in range(10):
            path = f"race/{turn}"
            won = list(pool.map(lambda i, path=path: store.put(path, b"%d" % i), range(8)))
            assert sum(won) == 1
            assert store.get(path) == b"%d" % won.index(True)


_RACER = """
    import sys
    from clsearch.results.store import open_store
    store = open_store(sys.argv[1], create=False)
    print("ready", flush=True)
    sys.stdin.readline()
    print([store.put(f"race/{turn}", sys.argv[2].encode()) for turn in range(20)])
"""


def _python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_one_of_four_processes_wins(store: Store) -> None:
    racers = [_python(_RACER, store.uri, str(number)) for number in range(4)]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    results = []
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        results.append(eval(racer.communicate(timeout=60)[0]))
    for turn, won in enumerate(zip(*results, strict=True)):
        assert sum(won) == 1
        assert store.get(f"race/{turn}") == str(won.index(True)).encode()


_WRITER = """
    import itertools, sys
    from clsearch.results.store import open_store
    store = open_store(sys.argv[1], create=False)
    for turn in itertools.count():
        assert store.put(f"torn/{turn}", turn.to_bytes(4, "big") * 500_000)
        print(turn, flush=True)
"""


def test_kill_9_of_a_writer_tears_nothing(store: Store) -> None:
    for _ in range(3):
        writer = _python(_WRITER, store.uri)
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        time.sleep(0.15)
        writer.send_signal(signal.SIGKILL)
        lines = writer.communicate()[0].splitlines()
        acknowledged = int(lines[-1]) if lines else acknowledged
        paths = store.list("torn/")
        assert len(paths) >= acknowledged + 1
        for path in paths:
            assert store.get(path) == int(path.split("/")[1]).to_bytes(4, "big") * 500_000
            store.delete(path)
    if store.is_local:  # the temporary files of killed writers are there at most, and hidden
        assert all(name.startswith(".") for name in os.listdir(Path(store.uri) / "torn"))


def test_a_large_object_is_exclusive(store: Store) -> None:
    data = os.urandom(2**20) * 120  # 120 MiB: s3fs would send it in parts
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        won = list(pool.map(lambda end: store.put("large", data + end), (b"0", b"1")))
    assert sorted(won) == [False, True]
    assert store.get("large") == data + (b"0" if won[0] else b"1")
    store.delete("large")


# Rows


def test_equal_rows_are_no_conflict_and_other_counts_are(store: Store) -> None:
    path = store.rows_path("alpha", 3, "search", 0, 1, 1, HASH)
    assert path == f"rows/alpha/3-search-0-1-t1-{HASH}.parquet"
    assert store.put_rows(path, rows_table([row(train_seconds=1.0)], {}))
    assert not store.put_rows(path, rows_table([row(train_seconds=2.0, device="other")], {}))
    with pytest.raises(StoreConflict, match=r"3-search-0-1-t1.*correct is 1 in the store and 2 now"):
        store.put_rows(path, rows_table([row(correct=2)], {}))
    with pytest.raises(StoreConflict, match="stage_key"):
        store.put_rows(path, rows_table([row(stage_key="cd" * 32)], {}))
    assert store.read_rows("alpha")["train_seconds"].to_pylist() == [1.0]


def test_reading_rows_with_filters(store: Store) -> None:
    assert store.read_rows().num_rows == 0
    for seed in (0, 1, 2):
        write_sequence(store, [[90, 10], [80, 70]], sweep="alpha", run_seed=seed)
    write_sequence(store, [[90, 10], [80, 70]], sweep="beta", phase="confirm", split="test")
    store.put("rows/alpha/notes.txt", b"not ours")
    store.put("rows/alpha/.5-search-0-0-t1-ab.parquet.tmp", b"PAR1 half")
    assert len(store.row_names("alpha")) == 6
    assert store.read_rows().num_rows == 16
    assert store.read_rows("beta").num_rows == 4
    assert store.read_rows("alpha", run_seed=1, task_learned=2).num_rows == 2
    assert store.read_rows(run_seed=[1, 2]).num_rows == 8
    assert store.read_rows(phase="confirm", task_evaluated=2)["correct"].to_pylist() == [10, 70]
    few = store.read_rows("alpha", columns=["correct"], method="mora")
    assert sorted(few.column_names) == ["correct", "method", "schema_version"]
    assert few.num_rows == 12
    assert store.sweep_names() == ["alpha", "beta"]
    with pytest.raises(UsageError, match="did you mean 'benchmark'"):
        store.read_rows(benchmrk="x")


def test_a_damaged_object_is_named(store: Store) -> None:
    write_sequence(store, [[90, 10], [80, 70]])
    path = store.row_names()[1]
    data = store.get(path)
    store.delete(path)
    store.put(path, data[:-100])
    with pytest.raises(StoreError, match=path.replace(".", r"\.")):
        store.read_rows()
    store.put("trials/alpha/0/claim.json", b'{"half')
    with pytest.raises(StoreError, match=r"trials/alpha/0/claim\.json is damaged"):
        store.get_json("trials/alpha/0/claim.json")


def test_what_is_not_a_store(store: Store) -> None:
    store.require()  # empty: a store without results yet
    store.put("holiday/picture.jpg", b"-")
    with pytest.raises(StoreError, match="is not a store"):
        store.require()
    store.put_json(store.sweep_path("alpha"), {})
    store.require()


# Places that cannot be used


def test_local_places_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("-")
    with pytest.raises(UsageError, match="this is a file, not a folder"):
        open_store(str(file))
    with pytest.raises(UsageError, match=r"file/inside.*cannot be written \(Not a directory\)"):
        open_store(str(file / "inside"))
    with pytest.raises(UsageError, match="cannot be written"):
        open_store("/proc/clsearch")
    nowhere = open_store(str(tmp_path / "nowhere"), create=False)
    assert nowhere.read_rows().num_rows == 0
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UsageError, match="no such folder"):
        nowhere.require()


def test_wrong_secret_is_refused_and_never_shown(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    for create in (True, False):
        with pytest.raises(UsageError, match=r"access refused by http://127.0.0.1:\d+ \(\w+\)") as caught:
            open_store(s3_uri, create=create)
        assert "not-the-secret" not in str(caught.value)
        assert SECRET_KEY not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(UsageError, match="no credentials") as caught:
        open_store("s3://key:secret-part@bucket/prefix")
    assert "secret-part" not in str(caught.value)


def test_missing_bucket_and_silent_endpoint(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="there is no bucket 'clsearch-missing'"):
        open_store("s3://clsearch-missing/x")
    with pytest.raises(UsageError, match="the bucket's name or AWS_ENDPOINT_URL is malformed"):
        open_store("s3://Not_A Bucket/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "nonsense")
    with pytest.raises(UsageError, match="the bucket's name or AWS_ENDPOINT_URL is malformed"):
        open_store(s3_uri)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hidden@127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(UsageError, match=r"http://127.0.0.1:9 does not answer") as caught:
        open_store(s3_uri)
    assert "hidden" not in str(caught.value)
    assert time.monotonic() - started < 15


def test_a_server_that_is_killed_and_restarted_is_waited_for(s3_server: SeaweedServer, s3_uri: str) -> None:
    store = open_store(s3_uri)
    assert store.put("before", b"1")
    s3_server.kill()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        late = pool.submit(store.put, "after", b"2")
        time.sleep(0.5)
        s3_server.start()
        assert late.result(timeout=60)
    assert (store.get("before"), store.get("after")) == (b"1", b"2")


def test_a_lost_answer_is_not_taken_for_another_writer(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from clsearch.results.s3 import S3Objects

    objects = S3Objects(s3_uri)
    real = objects._fs.call_s3
    lost = []

    def call(method: str, **arguments: object) -> object:
        answer = real(method, **arguments)
        if method == "put_object" and not lost:
            lost.append(method)
            raise ConnectionResetError
        return answer

    monkeypatch.setattr(objects._fs, "call_s3", call)
    assert objects.put("x", b"mine")
    assert lost
    assert not objects.put("x", b"mine")


# Names


def test_resolve_uri(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.delenv("CLSEARCH_STORE", raising=False)
    assert resolve_uri() == "/home/someone/clsearch/store"
    monkeypatch.setenv("CLSEARCH_STORE", "results")
    assert resolve_uri() == str(tmp_path / "results")
    assert resolve_uri("~/a/../b/") == "/home/someone/b"
    assert resolve_uri("file:///data/x") == "/data/x"
    assert resolve_uri("s3://bucket/prefix/") == "s3://bucket/prefix"
    for wrong in ("", "gs://bucket", "s3://", "s3://bucket/x?y=1"):
        with pytest.raises(UsageError, match="storage"):
            open_store(wrong)


def test_names_that_are_not_ours(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for wrong in ("../up", "a/b", "", ".hidden", "a b"):
        with pytest.raises(UsageError, match="sweep name"):
            store.claim_path(wrong, 0)
    with pytest.raises(ValueError, match="no row file's name"):
        store.rows_path("a", 0, "final", 0, 0, 1, HASH)
    assert parse_row_name("rows/a/0-search-0-0-t1-xyz.parquet") is None
    name = parse_row_name(store.rows_path("a", 12, "race", 3, 4, 5, HASH))
    assert name is not None
    assert (name.sweep, name.trial, name.phase, name.order_seed, name.run_seed) == ("a", 12, "race", 3, 4)
    assert (name.task_learned, name.eval_hash) == (5, HASH)


def test_opening_a_local_store_is_quick(tmp_path: Path) -> None:
    open_store(str(tmp_path))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        open_store(str(tmp_path))
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.05  # below 1 ms here; disks differ
