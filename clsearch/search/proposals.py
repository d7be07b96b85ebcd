"""What to try next: a pure function of the sweep, the trial number, and the trials before it.

    tpe      Optuna's TPE: multivariate, grouped by the parameters active together, constant liar for running trials
    gp       Optuna's Gaussian process; an inactive parameter is told at its published value, which is what it has
    random   independent draws
    grid     the next setting, in a fixed order, that nobody claimed
    sobol    a scrambled Sobol sequence of the sweep's own: a design that looks at no result

An interrupted search proposes what an undisturbed one would have proposed: each sampler is made anew for each trial,
seeded by the sweep's name and the trial's number, and told the store's records in number order.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

from clsearch.results.trials import TrialRecord
from clsearch.search.designs import next_cell, sobol_setting
from clsearch.search.study import Problem, as_optuna, distribution, make_study, quiet
from clsearch.spec.conditions import active_setting, count_settings, every_setting, is_active, same_setting
from clsearch.spec.parameters import Parameter
from clsearch.spec.seeds import derive_seed
from clsearch.spec.sweep import SweepSpec

REDRAWS = 3  # how often a sampler may think again where its proposal was claimed before (our choice)
_LISTED = 10_000  # settings; in a larger space a claimed one is hardly ever proposed again and again


def propose(
    spec: SweepSpec, number: int, trials: Sequence[TrialRecord], setting_of: Callable[[int], Mapping[str, Any]]
) -> dict[str, Any]:
    """The setting of trial `number`: the named ones first (trial 0 is the published), then what the sampler says.

    It holds the active parameters. Where TPE, GP or random come to a setting that was claimed already, they draw up to
    REDRAWS times more; then one that was not claimed is drawn, each equally likely. Only once all are claimed a setting
    is repeated: it costs a trial's number and, its stages being in the store, hardly more.

    Args:
        trials: what is known, in number order; trials still running repel TPE and GP.
        setting_of: the setting each of them claimed.
    """
    named = list(spec.named_settings().values())
    if number < len(named):
        return named[number]
    if spec.sampler.name == "sobol":
        return sobol_setting(spec, number)
    records = [(trial, setting_of(trial.number)) for trial in trials]
    tried = {same_setting(spec.space, setting) for setting in (*named, *(setting for _, setting in records))}
    return next_cell(spec, tried) if spec.sampler.name == "grid" else _ask(spec, number, records, tried)


def _ask(
    spec: SweepSpec,
    number: int,
    records: Sequence[tuple[TrialRecord, Mapping[str, Any]]],
    tried: set[tuple[Any, ...]],
) -> dict[str, Any]:
    problem = Problem.of(spec)
    # A Gaussian process has one space for all trials; the others ask for what is active alone.
    whole = {p.name: p.published for p in spec.space} if spec.sampler.name == "gp" else None
    told = [
        as_optuna(problem, record, setting if whole is None else whole | dict(setting)) for record, setting in records
    ]
    left = _unclaimed(spec, tried)
    with warnings.catch_warnings(), quiet(), _one_thread() if spec.sampler.name == "gp" else nullcontext():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        study = make_study(problem, told, _sampler(spec, number))
        for _ in range(1 if left == [] else 1 + REDRAWS):
            # A setting that is drawn again stays behind as a running trial, which repels the next draw.
            setting = _asked(spec, study, whole is not None)
            if same_setting(spec.space, setting) not in tried:
                return setting
    return left[derive_seed(spec.name, number, "unclaimed") % len(left)] if left else setting


def _unclaimed(spec: SweepSpec, tried: set[tuple[Any, ...]]) -> list[dict[str, Any]] | None:
    """Every setting that nobody claimed; None where they cannot be listed."""
    count = count_settings(spec.space)
    if count is None or count > _LISTED:
        return None
    return [setting for setting in every_setting(spec.space) if same_setting(spec.space, setting) not in tried]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread: its many small products are slower on several (20 times, measured, beside busy trials)."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _asked(spec: SweepSpec, study: optuna.Study, whole: bool) -> dict[str, Any]:
    """What the study's sampler says: of one parameter after the other, as long as it is active, or of all."""
    if whole:
        values = study.ask({parameter.name: distribution(parameter) for parameter in spec.space}).params
        return active_setting(spec.space, {p.name: p.value(values[p.name]) for p in spec.space})
    trial = study.ask()
    setting: dict[str, Any] = {}
    for parameter in spec.space:
        if is_active(spec.space, parameter, setting):
            setting[parameter.name] = parameter.value(_suggest(trial, parameter))
    return setting


def _suggest(trial: optuna.Trial, parameter: Parameter) -> Any:
    """The label of a value, of the distribution that `distribution` makes of the parameter."""
    known = distribution(parameter)
    if isinstance(known, CategoricalDistribution):
        return trial.suggest_categorical(parameter.name, known.choices)
    if isinstance(known, IntDistribution):
        return trial.suggest_int(parameter.name, known.low, known.high, step=known.step, log=known.log)
    assert isinstance(known, FloatDistribution)
    return trial.suggest_float(parameter.name, known.low, known.high, step=known.step, log=known.log)


def _sampler(spec: SweepSpec, number: int) -> BaseSampler:
    seed = derive_seed(spec.name, number) % 2**32  # what numpy's RandomState takes
    if spec.sampler.name == "random":
        return RandomSampler(seed=seed)
    if spec.sampler.name == "gp":
        return GPSampler(seed=seed, n_startup_trials=spec.sampler.startup, warn_independent_sampling=False)
    return TPESampler(
        multivariate=True, group=True, constant_liar=True, n_startup_trials=spec.sampler.startup, seed=seed
    )
