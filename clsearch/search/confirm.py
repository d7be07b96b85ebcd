"""After the search: the race, the verdict, and the confirmation of what the verdict names.

Only the confirmation reads the test split, after search and race have ended on validation rows, for the winner, the
published setting and the named company, under the eval settings that validation froze.
"""

from __future__ import annotations

from collections.abc import Iterator

from clsearch.execution.job import Job, make_job
from clsearch.results.store import parse_row_name
from clsearch.results.trials import best_trial
from clsearch.results.verdicts import Choice, Verdict, read_verdicts, write_verdict
from clsearch.search.ledger import Ledger
from clsearch.search.race import Candidate, Standing, best_of, race_jobs, record, standing
from clsearch.search.stored import tasks_without_rows
from clsearch.spec.sweep import as_json


def follow_up(ledger: Ledger) -> list[Job]:
    """What comes next once the search has ended, from the store alone: the race's next look, then the confirmation.

    Called again when these have ended; nothing is left where it is empty. The verdict is written when the race is over,
    and no job that reads test rows is made before.
    """
    ledger.refresh()
    stands = standing(ledger)
    if stands is not None and not stands.state.is_over:
        return race_jobs(ledger, stands)
    verdict = settle(ledger, stands)
    return [] if verdict is None else list(confirmation_jobs(ledger, verdict))


def settle(ledger: Ledger, stands: Standing | None) -> Verdict | None:
    """The sweep's verdict, written down where it is not yet; None where nothing is complete, or nothing was asked.

    Args:
        stands: the race, which is over; None: the search alone has chosen.
    """
    spec = ledger.spec
    if stands is None and not spec.confirm.pairs:
        return None
    winner = winner_of(ledger, stands)
    if winner is None:
        return None
    complete = {trial.number for trial in ledger.trials if trial.status == "complete"}
    company = {
        name: best_of(ledger, number)
        for number, name in enumerate(spec.named_settings())
        if number and number in complete
    }
    published = Candidate(0, ledger.setting(0), spec.eval_settings()[0]) if 0 in complete else None
    asked = Verdict(
        winner=_choice(winner),
        published=None if published is None else _choice(published),
        company={name: _choice(candidate) for name, candidate in company.items()},
        race=None if stands is None else record(spec, stands),
        seeds=tuple((seeds.run, seeds.order) for seeds in spec.confirm_seeds()),
        claim=spec.confirm.claim and not _tested_before(ledger),
    )
    return write_verdict(ledger.store, spec.name, asked)


def _tested_before(ledger: Ledger) -> bool:
    """Whether test rows are older than every verdict, as in stores of before there were verdicts."""
    if read_verdicts(ledger.store, ledger.spec.name):
        return False
    names = map(parse_row_name, ledger.store.row_names(ledger.spec.name))
    return any(name is not None and name.phase == "confirm" for name in names)


def winner_of(ledger: Ledger, stands: Standing | None) -> Candidate | None:
    """Who won: the race where there was one, else the search; None where every candidate failed."""
    if stands is None:
        best = best_trial(ledger.trials, ledger.spec.objective.direction)
        return None if best is None else best_of(ledger, best.number)
    return None if stands.state.winner is None else stands.candidates[stands.state.winner]


def confirmation_jobs(ledger: Ledger, verdict: Verdict) -> Iterator[Job]:
    """What the confirmation still has to learn: pair by pair, so that an interrupted one is still paired."""
    spec = ledger.spec
    chosen = confirmed(ledger, verdict)
    stored = set(ledger.store.row_names(spec.name))
    for seeds in spec.confirm_seeds():
        for number in dict.fromkeys(candidate.trial for candidate in chosen):
            mine = [candidate for candidate in chosen if candidate.trial == number]
            evals = tuple(candidate.eval_setting for candidate in mine)
            job = make_job(number, mine[0].setting, "confirm", seeds, evals)
            if tasks_without_rows(spec, job, stored):
                yield job


def confirmed(ledger: Ledger, verdict: Verdict) -> list[Candidate]:
    """What a verdict confirms, the winner first, no one twice."""
    spec = ledger.spec
    found = [
        Candidate(choice.trial, ledger.setting(choice.trial), spec.setting_from_json(choice.eval_setting))
        for choice in verdict.choices().values()
    ]
    return [*{candidate.name: candidate for candidate in found}.values()]


def _choice(candidate: Candidate) -> Choice:
    return Choice(candidate.trial, as_json(candidate.eval_setting))
