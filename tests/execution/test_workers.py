"""Whose error it is when a group of workers breaks off."""

from __future__ import annotations

from ray.exceptions import ActorDiedError

from clsearch.errors import UsageError
from clsearch.execution.workers import _own_error


def test_the_error_behind_broken_connections_is_found() -> None:
    broken, cause = RuntimeError("[gloo] Connection closed by peer [127.0.0.1]"), ValueError("the loss is no number")
    assert _own_error([broken, cause]) is cause
    assert _own_error([broken]) is broken


def test_an_error_for_the_user_comes_first() -> None:
    cause = UsageError("no connection to the hub, and the weights are not in the cache")
    assert _own_error([ValueError("x"), cause]) is cause


def test_a_lost_process_is_nobodys_error() -> None:
    assert _own_error([ActorDiedError(), ValueError("x")]) is None
    assert _own_error([]) is None
