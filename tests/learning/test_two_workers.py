"""Two gloo processes compute what one computes: every method, float64, three steps into task 2."""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from clsearch.layers.workers import Workers
from tests.methods.nano import CASES, Nano

STEPS_INTO_TASK_2 = 3


def learn(case: str, workers: Workers) -> dict[str, torch.Tensor]:
    """All of task 1, three steps of task 2, and its end."""
    nano = Nano(case, workers)
    nano.learn(1)
    nano.method.settings = dataclasses.replace(nano.method.settings, iterations=STEPS_INTO_TASK_2)
    nano.learn(2)
    return {name: tensor.clone() for name, tensor in nano.method.state().items()}


def work(rank: int, port: int, folder: str) -> None:
    """One of two workers, kept for all cases: importing torch and timm costs seconds in each new process."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    assert Workers(rank, 2).largest(float(rank)) == 1.0
    for case in CASES:
        state = learn(case, Workers(rank, 2))
        torch.save(state, Path(folder) / f"{case}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mp.spawn(work, args=(port, str(folder)), nprocs=2)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_workers_equal_one(case: str, together: Path) -> None:
    alone = learn(case, Workers())
    for rank in (0, 1):
        state = torch.load(together / f"{case}-{rank}.pt")
        assert state.keys() == alone.keys()
        for name, tensor in alone.items():
            if tensor.is_floating_point() and tensor.numel():
                scale = max(float(tensor.abs().max()), 1e-12)
                assert float((state[name] - tensor).abs().max()) <= 1e-9 * scale, name
            else:
                assert torch.equal(state[name], tensor), name
