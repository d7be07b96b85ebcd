"""The confirmation: what a verdict names, which runs it still lacks, and what is said of the result."""

from __future__ import annotations

import json

import pytest
from played import Make, ledger_of, play

from clsearch.leaderboard import main
from clsearch.results.store import Store
from clsearch.results.verdicts import read_verdicts
from clsearch.search.confirm import follow_up
from clsearch.search.ledger import Ledger
from clsearch.search.live import Board
from clsearch.search.summary import summary
from clsearch.spec.plan import make_plan
from clsearch.spec.show import render
from clsearch.spec.sweep import SweepSpec


def said(ledger: Ledger) -> str:
    return summary(ledger, Board(ledger.spec, None), 0)


def test_the_best_is_confirmed_under_the_eval_setting_that_validation_chose(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=2", "confirm.pairs=2")
    play(ledger_of(spec, store, [5e-4, 1e-3]))
    (verdict,) = read_verdicts(store, spec.name)
    assert (verdict.winner.trial, verdict.winner.eval_setting) == (1, {"threshold": 0.1})
    assert verdict.published is not None
    assert (verdict.published.trial, verdict.published.eval_setting) == (0, {"threshold": 0.2})
    assert verdict.seeds == tuple((seeds.run, seeds.order) for seeds in spec.confirm_seeds())
    assert verdict.race is None


def test_only_missing_pairs_are_learned(make_spec: Make, store: Store) -> None:
    ledger = ledger_of(make_spec("trials=2", "confirm.pairs=2"), store, [5e-4, 1e-3])
    assert len(play(ledger)) == 4
    assert play(ledger) == []
    grown = ledger_of(make_spec("trials=2", "confirm.pairs=3"), store, [])
    assert make_plan(grown.spec, store).confirm_left == 2 * 3
    assert len(play(grown)) == 2
    # Half of 10 points for the learning rate, and 0.5 for the threshold.
    assert "best - published: +5.50 points, 95 % interval [+5.50, +5.50], n = 3" in said(grown)


def test_published_weights_under_another_eval_setting_are_one_run(make_spec: Make, store: Store) -> None:
    ledger = ledger_of(make_spec("trials=2", "confirm.pairs=2"), store, [1e-3, 5e-4])
    jobs = follow_up(ledger)
    assert [job.trial for job in jobs] == [0, 0]
    assert jobs[0].eval_settings == ({"threshold": 0.1}, {"threshold": 0.2})


def test_the_published_setting_alone_is_confirmed_alone(make_spec: Make, store: Store) -> None:
    ledger = ledger_of(make_spec("trials=1", "confirm.pairs=2", "eval_grid.threshold=[0.2]"), store, [1e-3])
    assert len(play(ledger)) == 2
    assert "no difference to report: the published setting is the best" in said(ledger)


def test_no_claim_is_fixed_after_test_rows_were_read(make_spec: Make, store: Store) -> None:
    """A store of before there were verdicts: the confirmation's rows are there, and nothing says what they were for."""
    spec = make_spec("trials=2", "confirm.pairs=8")
    play(ledger_of(spec, store, [5e-4, 1e-3]))
    store.delete(store.verdict_path(spec.name, 1))
    ledger = ledger_of(spec, store, [])
    assert play(ledger) == []
    assert [verdict.claim for verdict in read_verdicts(store, spec.name)] == [False]
    assert "no claim: none was fixed before test rows were read" in said(ledger)


def test_the_plan_says_what_is_settled_of_the_claim(make_spec: Make, store: Store) -> None:
    play(ledger_of(make_spec("trials=2", "confirm.pairs=2"), store, [5e-4, 1e-3]))
    text = render(make_plan(make_spec("trials=2", "confirm.pairs=9"), store))
    assert "of trial 1, the winner so far, 2 pairs and no claim were fixed before, and that stands" in text


def test_nothing_complete_confirms_nothing(make_spec: Make, store: Store) -> None:
    spec = make_spec("confirm.pairs=2")
    assert follow_up(Ledger(spec, store)) == []
    assert read_verdicts(store, spec.name) == []


def test_nothing_asked_settles_nothing(make_spec: Make, store: Store) -> None:
    spec = make_spec("trials=2", "confirm.pairs=0")
    assert follow_up(ledger_of(spec, store, [5e-4, 1e-3])) == []
    assert read_verdicts(store, spec.name) == []


def with_company(make_spec: Make, *overrides: str) -> SweepSpec:
    return make_spec("trials=4", "company.prior_work.learning_rate=0.0015", *overrides)


def test_the_company_is_confirmed_beside(make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    spec = with_company(make_spec, "confirm.pairs=8")
    assert [*spec.named_settings()] == ["published", "prior_work"]
    ledger = ledger_of(spec, store, [5e-4, 1.5e-3, 1e-3, 2e-3])
    jobs = play(ledger)
    assert {job.trial for job in jobs} == {0, 1, 2}
    text = said(ledger)
    test = "paired t test on the 8 pairs fixed beforehand, p = 0"
    assert f"best - published: +5.50 points, 95 % interval [+5.50, +5.50], n = 8: separated at 5 % ({test})" in text
    assert "best - prior_work: +5.00 points, 95 % interval [+5.00, +5.00], n = 8\n" in text
    store.put_json(store.sweep_path(spec.name), spec.identity())
    assert main([store.uri, "--format", "json"]) == 0
    (board,) = json.loads(capsys.readouterr().out)["tables"]
    lines = {line["setting"]: line for line in board["lines"]}
    assert sorted(lines) == ["best", "prior_work", "published"]
    assert all(line["rank"] and line["n"] == 8 for line in lines.values())
    first, second = board["differences"]
    assert (first["against"], first["separated"], first["pairs"]) == ("published", True, 8)
    assert (second["against"], second["separated"], second["said"]) == ("prior_work", None, "")
    assert main([store.uri]) == 0
    assert f"(95 % t), n = 8 pairs: separated at 5 % ({test})" in capsys.readouterr().out
    # Of another metric than the sweep's there is no claim.
    assert main([store.uri, "--metric", "forgetting", "--format", "json"]) == 0
    (board,) = json.loads(capsys.readouterr().out)["tables"]
    assert board["differences"][0]["separated"] is None
    assert board["differences"][0]["said"].endswith("no claim: the sweep's claim is about average")


def test_the_company_may_win(make_spec: Make, store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    spec = with_company(make_spec, "confirm.pairs=2")
    ledger = ledger_of(spec, store, [5e-4, 1e-3, 1.5e-3])
    assert {job.trial for job in play(ledger)} == {0, 1}
    assert "no difference to report: the prior_work setting is the best" in said(ledger)
    store.put_json(store.sweep_path(spec.name), spec.identity())
    assert main([store.uri, "--format", "json"]) == 0
    (board,) = json.loads(capsys.readouterr().out)["tables"]
    assert [line["setting"] for line in board["lines"]] == ["best = prior_work", "published"]


def test_the_claim_stays_at_the_number_of_pairs_that_was_fixed(make_spec: Make, store: Store) -> None:
    play(ledger_of(make_spec("trials=2", "confirm.pairs=5"), store, [5e-4, 1e-3]))
    grown = ledger_of(make_spec("trials=2", "confirm.pairs=9", "confirm.claim=true"), store, [])
    play(grown)
    assert "n = 9: no claim: 5 pairs were fixed beforehand (8 are needed)" in said(grown)
    assert len(read_verdicts(store, grown.spec.name)) == 1
