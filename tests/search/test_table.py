"""Tables of complete trials: a fixed design, the same pairs of seeds for all, more for the best, test rows apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import known_curves
import pytest
from played import CannotLearnError, ledger_of, play

from clsearch.errors import UsageError
from clsearch.execution.job import make_request, search_job
from clsearch.layers.workers import Workers
from clsearch.learning.request import SequenceRequest
from clsearch.results.store import Store
from clsearch.search.ledger import Ledger
from clsearch.search.live import Board
from clsearch.search.proposals import propose, sobol_setting
from clsearch.search.run import run_sweep
from clsearch.search.summary import summary
from clsearch.search.table import dense_trials, table_jobs
from clsearch.spec.sweep import SweepSpec, load_sweep

Make = Callable[..., SweepSpec]
TABLES = Path(__file__).parents[2] / "experiments" / "tables"
TABLE = ("sampler.name=sobol", "trials=5", "table.pairs=2", "table.dense=2", "table.dense_pairs=3")


@pytest.mark.usefixtures("ray_cluster")
def test_a_table_is_complete_and_goes_on_where_it_stood(make_spec: Make, store: Store) -> None:
    spec = make_spec(*TABLE)
    assert run_sweep(spec, store, known_curves.learn) == 0
    rows = store.read_rows(spec.name).to_pylist()
    cells = {(row["phase"], row["split"], row["trial"], row["run_seed"], row["order_seed"]) for row in rows}
    counted = Counter((phase, split, trial) for phase, split, trial, *_ in cells)
    ledger = Ledger(spec, store)
    ledger.refresh()
    dense = dense_trials(ledger, range(5), [spec.seeds, *spec.race_seeds(1)])
    assert len(dense) == 2
    assert 0 in dense
    for trial in range(5):
        more = trial in dense
        assert counted["search", "validation", trial] == 1
        assert counted["race", "validation", trial] == 1 + more
        assert counted["analysis", "test", trial] == 2 + more
    assert {split for phase, split, *_ in cells if phase != "analysis"} == {"validation"}
    assert {row["eval_setting"] for row in rows if row["phase"] == "analysis"} == {
        row["eval_setting"] for row in rows if row["phase"] == "search"
    }
    before = store.list("")
    assert run_sweep(spec, store, known_curves.raise_in_trial_1) == 0
    assert store.list("") == before


def test_a_setting_that_fails_on_a_further_pair_leaves_the_table_to_the_others(make_spec: Make, store: Store) -> None:
    """Trial 1, the best, fails in validation and trial 3 on test."""
    spec = make_spec(*TABLE)
    ledger = ledger_of(spec, store, [5e-4, 1e-3, 1.5e-3, 4e-3, 9e-4])

    def learn(request: SequenceRequest, *rest: Any) -> Any:
        if (request.trial, request.phase) in ((1, "race"), (3, "analysis")):
            raise CannotLearnError("RuntimeError: the loss is no number")
        return known_curves.learn(request, *rest)

    jobs = play(ledger, learn, follow_up=table_jobs)
    tried = Counter((job.phase, job.trial) for job in jobs)
    assert tried == {
        **{("race", trial): 1 for trial in (1, 2, 3)},
        **{("race", trial): 2 for trial in (0, 4)},  # the published one and the best that is left
        **{("analysis", trial): 2 for trial in (2, 3)},
        **{("analysis", trial): 3 for trial in (0, 4)},
    }
    assert {row["trial"] for row in store.read_rows(spec.name, phase="analysis").to_pylist()} == {0, 2, 4}
    text = summary(ledger, Board(spec, None), 2)
    assert "trial 1 failed, and is not in the table: RuntimeError: the loss is no number" in text


def test_the_dense_settings_are_the_published_one_and_the_best(make_spec: Make, store: Store) -> None:
    spec = make_spec(*TABLE, "table.dense=3")
    ledger = Ledger(spec, store)
    rates = [5e-4, 1.5e-3, 1e-3, 4e-3, 9e-4]  # the known curves are best at 1e-3
    for trial, rate in enumerate(rates):
        ledger.claim(trial, spec.published_setting() | {"learning_rate": rate})
        request = make_request(spec, search_job(spec, trial, ledger.setting(trial)), attempt=1)
        known_curves.learn(request, store, Workers(), lambda _: None)
    assert dense_trials(ledger, range(5), [spec.seeds]) == [0, 2, 4]


def test_the_design_is_fixed_and_covers_the_space(make_spec: Make) -> None:
    spec = make_spec("sampler.name=sobol", "trials=48")
    design = [sobol_setting(spec, number) for number in range(1, 48)]
    assert design == [propose(spec, number, [], lambda _: {}) for number in range(1, 48)]
    assert propose(spec, 0, [], lambda _: {}) == spec.published_setting()
    for parameter in spec.space:
        values = [setting[parameter.name] for setting in design]
        assert all(parameter.contains(value) for value in values)
        shares = (
            Counter(values)
            if parameter.choices
            else Counter(value < 5e-4 if parameter.name == "learning_rate" else value < 0.0173 for value in values)
        )
        expected = len(design) / len(shares)
        assert all(abs(count - expected) <= 4 for count in shares.values())  # even to a few points


def test_the_shipped_tables_keep_their_design() -> None:
    """Rows of the tables exist: these numbers must not change."""
    mora = load_sweep(str(TABLES / "mora_pocket.yaml"))
    assert sobol_setting(mora, 1) == {
        "activation_budget": 2,
        "learning_rate": 0.0018157998798081566,
        "new_rank": 8,
        "temperature": 0.053641903873125285,
    }
    fm_lora = load_sweep(str(TABLES / "fm_lora_pocket.yaml"))
    assert sobol_setting(fm_lora, 1) == {
        "candidate_ranks": (4, 8, 16, 32),
        "learning_rate": 0.0334955874032254,
        "prompt_tokens": 10,
        "selector_temperature": 0.15073893969870478,
        "weight_decay": 0.001,
    }


def test_a_table_claims_nothing(make_spec: Make) -> None:
    with pytest.raises(UsageError, match="a table chooses and claims nothing"):
        make_spec(*TABLE, "confirm.pairs=2")
