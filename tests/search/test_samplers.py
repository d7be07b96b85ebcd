"""What every sampler must do, over every space it takes; then what each alone promises."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clsearch.errors import UsageError
from clsearch.results.trials import TrialRecord
from clsearch.search.proposals import propose, sobol_setting
from clsearch.spec.conditions import active_setting, every_setting, same_setting
from clsearch.spec.sweep import SweepSpec, load_sweep

HEAD = """\
method: fm_lora
backbone: nano_vit
benchmark: nano_cil
objective: {metric: final_acc_micro}
sampler: {startup: 3}
trials: 24
"""
FINITE = """\
space:
  batch: {choices: [64, 128, 256]}
  prompt_tokens: {low: 0, high: 20, step: 10}
  weight_decay: {low: 0.0, high: 3.0e-4, step: 1.0e-4}
  candidate_ranks: {choices: {small: [2, 4], wide: [2, 4, 8, 16]}}
"""
RANGES = """\
space:
  learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
  selector_epochs: {low: 1, high: 64, log: true}
  weight_decay: {low: 0.0, high: 0.01}
  label_smoothing: {low: 0.0, high: 0.3, step: 0.1}
  combination: {choices: [sum, last, continue]}
"""
# A chain: the tolerance is asked for one kind of selector, the schedule's warm-up for one tolerance.
CONDITIONS = """\
space:
  rank_selector: {choices: [gumbel, validate, fixed]}
  selector_temperature: {choices: [0.5, 1.0, 2.0], if: {rank_selector: gumbel}}
  selector_tolerance: {choices: [0.5, 1.0], if: {rank_selector: [validate]}}
  warmup: {low: 0, high: 2, if: {selector_tolerance: 1.0}}
  epochs: {choices: [20, 30]}
"""
SPACES = {"finite": FINITE, "ranges": RANGES, "conditions": CONDITIONS}
CASES = [
    (sampler, space)
    for sampler in ("tpe", "gp", "random", "grid", "sobol")
    for space in SPACES
    if (sampler, space) != ("grid", "ranges")  # refused: it has no cells
]

Make = Callable[..., SweepSpec]
Searched = Callable[[str, str], list[dict[str, Any]]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """`make(sampler, space, "trials=8")`: a sweep of that sampler over that space."""

    monkeypatch.chdir(tmp_path)

    def load(sampler: str, space: str, *overrides: str) -> SweepSpec:
        Path(f"{space}.yaml").write_text(HEAD + SPACES[space])
        return load_sweep(f"{space}.yaml", [f"sampler.name={sampler}", *overrides])

    return load


def ended(number: int, setting: dict[str, Any], direction: str = "max") -> TrialRecord:
    value = -score(setting) if direction == "min" else score(setting)
    return TrialRecord("s", number, {"setting": setting}, 1, {"status": "complete", "objective": value})


def score(setting: dict[str, Any]) -> float:
    """A figure of merit in which every parameter has a say."""
    return 50.0 - sum(len(name) % 5 + sum(map(ord, str(value))) % 17 for name, value in sorted(setting.items()))


def running(number: int, setting: dict[str, Any]) -> TrialRecord:
    return TrialRecord("s", number, {"setting": setting}, 1, None)


def ask(spec: SweepSpec, number: int, trials: list[TrialRecord]) -> dict[str, Any]:
    claims = {trial.number: trial.claim["setting"] for trial in trials if trial.claim}
    return propose(spec, number, trials, claims.__getitem__)


def search(spec: SweepSpec, count: int) -> list[dict[str, Any]]:
    trials: list[TrialRecord] = []
    for number in range(count):
        trials.append(ended(number, ask(spec, number, trials), spec.objective.direction))
    return [dict(trial.claim["setting"]) for trial in trials if trial.claim]


_SEARCHED: dict[tuple[str, str], list[dict[str, Any]]] = {}


@pytest.fixture
def searched(make: Make) -> Searched:
    """The settings of ten complete trials, made once for all tests: a Gaussian process takes its time."""

    def settings(sampler: str, space: str) -> list[dict[str, Any]]:
        if (sampler, space) not in _SEARCHED:
            _SEARCHED[sampler, space] = search(make(sampler, space), 10)
        return _SEARCHED[sampler, space]

    return settings


@pytest.mark.parametrize(("sampler", "space"), CASES)
class TestEverySampler:
    def test_trial_0_is_published_then_comes_the_company(self, make: Make, sampler: str, space: str) -> None:
        parameter = {"finite": "batch", "ranges": "learning_rate", "conditions": "epochs"}[space]
        value = {"finite": 64, "ranges": 0.002, "conditions": 20}[space]
        spec = make(sampler, space, f"company.ours.{parameter}={value}")
        assert ask(spec, 0, []) == spec.published_setting()
        first = ended(0, spec.published_setting())
        assert ask(spec, 1, [first]) == spec.published_setting() | {parameter: value}
        assert ask(spec, 2, [first, ended(1, ask(spec, 1, [first]))]) is not None

    def test_settings_are_valid_and_hold_the_active_parameters_alone(
        self, make: Make, searched: Searched, sampler: str, space: str
    ) -> None:
        spec = make(sampler, space)
        known = {parameter.name: parameter for parameter in spec.space}
        for setting in searched(sampler, space):
            assert all(known[name].contains(value) for name, value in setting.items())
            assert all(type(value) is type(known[name].published) for name, value in setting.items())
            whole = {parameter.name: parameter.published for parameter in spec.space} | setting
            assert active_setting(spec.space, whole) == setting

    def test_a_setting_follows_from_number_and_records(
        self, make: Make, searched: Searched, sampler: str, space: str
    ) -> None:
        settings = searched(sampler, space)
        trials = [ended(number, setting) for number, setting in enumerate(settings)]
        for number in (1, 9):
            assert ask(make(sampler, space), number, trials[:number]) == settings[number]

    def test_nothing_is_tried_twice_while_there_is_more(
        self, make: Make, searched: Searched, sampler: str, space: str
    ) -> None:
        spec = make(sampler, space)
        names = [same_setting(spec.space, setting) for setting in searched(sampler, space)]
        if sampler != "sobol":  # a design looks at nothing
            assert len(set(names)) == 10

    def test_running_trials_are_not_repeated(self, make: Make, searched: Searched, sampler: str, space: str) -> None:
        spec = make(sampler, space)
        trials = [ended(number, setting) for number, setting in enumerate(searched(sampler, space)[:5])]
        for number in range(5, 8):
            trials.append(running(number, ask(spec, number, trials)))
        names = [same_setting(spec.space, trial.claim["setting"]) for trial in trials if trial.claim]
        if sampler != "sobol":
            assert len(set(names)) == 8

    def test_minimising_is_maximising_the_negative(
        self, make: Make, searched: Searched, sampler: str, space: str
    ) -> None:
        down = make(sampler, space, "objective.metric=forgetting")
        assert down.objective.direction == "min"
        settings = searched(sampler, space)
        for number in (4, 9):
            trials = [ended(at, setting, "min") for at, setting in enumerate(settings[:number])]
            assert ask(down, number, trials) == settings[number]


def test_another_process_proposes_the_same(make: Make, tmp_path: Path) -> None:
    specs = {sampler: make(sampler, "conditions") for sampler in ("tpe", "gp")}
    code = (
        "import sys\n"
        "from clsearch.spec.sweep import load_sweep\n"
        "from test_samplers import search\n"
        "print([search(load_sweep(sys.argv[1], ['sampler.name=' + name]), 6) for name in ('tpe', 'gp')])"
    )
    texts = set()
    for seed in ("1", "2"):  # of Python's string hashes, on which an order of sets would depend
        environment = {
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(Path(__file__).parent),
            "PATH": "",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-c", code, str(tmp_path / "conditions.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        texts.add(done.stdout.strip())
    assert texts == {str([search(spec, 6) for spec in specs.values()])}


class TestGrid:
    def test_every_cell_once_in_order_and_the_published_one_first(self, make: Make) -> None:
        spec = make("grid", "conditions", "trials=100")
        cells = [*every_setting(spec.space)]
        # gumbel 3, validate with tolerance 0.5 or with 1.0 and 3 warm-ups, fixed; each x 2 epochs
        assert len(cells) == spec.trials == 2 * (3 + 1 + 3 + 1)
        assert spec.notes == ("the grid has 16 cells: 16 trials instead of 100",)
        found = search(spec, spec.trials)
        assert found[0] == spec.published_setting()
        assert found[1:] == [cell for cell in cells if cell != spec.published_setting()]

    def test_company_does_not_shorten_it(self, make: Make) -> None:
        same = "company.ours.rank_selector=gumbel"  # the published setting by another name: one trial more
        assert make("grid", "conditions", "trials=100", same).trials == 17
        assert make("grid", "conditions", "trials=100", "company.ours.epochs=20").trials == 16

    def test_a_published_value_on_a_step_is_its_cell(self, make: Make) -> None:
        spec = make("grid", "finite", "space.weight_decay.published=3.0e-4", "trials=400")
        assert spec.trials == 3 * 3 * 4 * 2
        assert 1e-4 * 3 != 3e-4
        assert len({same_setting(spec.space, setting) for setting in search(spec, spec.trials)}) == spec.trials

    def test_a_range_without_steps_is_refused(self, make: Make) -> None:
        with pytest.raises(
            UsageError, match=r"ranges.yaml: space.learning_rate is a range without steps.*step or choices"
        ):
            make("grid", "ranges")


def test_a_design_looks_at_no_result_also_with_conditions(make: Make) -> None:
    spec = make("sobol", "conditions")
    settings = [sobol_setting(spec, number) for number in range(1, 9)]
    trials = [ended(number, setting) for number, setting in enumerate(settings)]
    assert [ask(spec, number, trials) for number in range(1, 9)] == settings
    assert {len(setting) for setting in settings} > {3}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random"])
def test_an_exhausted_space_is_repeated_and_said_so(make: Make, sampler: str) -> None:
    spec = make(sampler, "conditions", "trials=18")
    assert spec.trials == 18
    assert "the space holds only 16 settings" in spec.notes[0]
    trials = [ended(number, setting) for number, setting in enumerate(every_setting(spec.space))]
    assert ask(spec, 16, trials) in [*every_setting(spec.space)]


@pytest.mark.parametrize(("sampler", "trials"), [("tpe", 40), ("gp", 12)])
def test_what_costs_too_much_is_avoided(make: Make, sampler: str, trials: int) -> None:
    """The objective rises with the number of tokens, and so do the costs: above 10 tokens nothing is feasible."""

    def too_many(*limit: str) -> int:
        spec = make(sampler, "finite", "space.prompt_tokens={low: 0, high: 20}", *limit)
        records: list[TrialRecord] = []
        for number in range(trials):
            setting = ask(spec, number, records)
            outcome = {
                "status": "complete",
                "objective": 50.0 + setting["prompt_tokens"],
                "costs": {"stored_parameters": 10 * setting["prompt_tokens"]},
            }
            records.append(TrialRecord("s", number, {"setting": setting}, 1, outcome))
        late = [record.claim["setting"] for record in records[trials // 2 :] if record.claim]
        return sum(setting["prompt_tokens"] > 10 for setting in late)

    free = too_many()
    assert free >= trials // 4
    assert too_many("constraints.stored_parameters=100") <= 0.6 * free
