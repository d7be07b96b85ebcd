"""From a sweep file, a profile and overrides to a SweepSpec: every check that needs no data, no network, no store."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

from clsearch.errors import UsageError, nearest
from clsearch.spec.layers import Layers, Override, as_tree, parse_overrides
from clsearch.spec.locate import find_sweep
from clsearch.spec.parameters import Parameter, show
from clsearch.spec.protocol_fit import check_fit, without_choice
from clsearch.spec.protocols import Protocol, read_protocol
from clsearch.spec.schema import KEYS, OBJECTIVES, REQUIRED, check_path, check_tree
from clsearch.spec.settings import acts, coerce, fields, method_settings
from clsearch.spec.spaces import bounded, read_company, read_space
from clsearch.spec.sweep import (
    PAIRS_FOR_A_CLAIM,
    Budget,
    Confirm,
    Constraints,
    Objective,
    Race,
    Sampler,
    Seeds,
    Stopping,
    SweepSpec,
    TableDesign,
)
from clsearch.spec.text import read_mapping

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def read_sweep(name_or_path: str, override_texts: Sequence[str]) -> SweepSpec:
    """The sweep; raises UsageError naming the file or the override, the key, and what would be valid."""
    path = find_sweep(name_or_path)
    where = _short(path)
    overrides = parse_overrides(override_texts)
    stated = read_mapping(path)
    profiles = stated.pop("profiles", None) or {}
    tree = as_tree(overrides)
    method = tree.get("method", stated.get("method"))
    if not isinstance(method, str):
        raise UsageError(f"{where}: method is missing or not a text")
    method_settings(method)
    check_tree(stated, method, where)
    _check_profiles(profiles, method, where)
    for override in overrides:
        check_path(override.path, method, f"override '{override.text}'")
    check_tree(tree, method, "override")

    layers = Layers()
    layers.add(stated, "yaml")
    profile = KEYS["profile"].read(tree.get("profile", stated.get("profile")), where)
    if profile is not None:
        if profile not in profiles:
            raise UsageError(f"{where}: no profile '{profile}': {nearest(profile, profiles)}")
        layers.add(profiles[profile] or {}, f"profile {profile}")
    layers.add(tree, "override")
    return _Reader(layers, where, overrides).spec(profile, path.stem)


def _check_profiles(profiles: Any, method: str, where: str) -> None:
    if not isinstance(profiles, Mapping):
        raise UsageError(f"{where}: 'profiles' must be a mapping of names to what each changes")
    for name, overlay in profiles.items():
        if overlay is not None and not isinstance(overlay, Mapping):
            raise UsageError(f"{where}: profile '{name}' must be a mapping of keys to values")
        for key in ("name", "method", "profile", "profiles"):
            if key in (overlay or {}):
                raise UsageError(f"{where}: profile '{name}' cannot change '{key}'")
        check_tree(overlay or {}, method, f"{where}, profile '{name}'")


def _short(path: Path) -> str:
    """The path as a reader of the message would type it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


class _Reader:
    """Reads typed values out of the merged layers, naming in each error the layer that the value came from."""

    def __init__(self, layers: Layers, where: str, overrides: Sequence[Override]) -> None:
        self.tree = layers.tree
        self.sources = layers.sources
        self.file = where
        self.texts = {".".join(override.path): override.text for override in overrides}

    def where(self, dotted: str) -> str:
        source = self.sources.get(dotted, "yaml")
        if source == "override":
            return f"override '{self.texts.get(dotted, dotted)}'"
        return self.file if source == "yaml" else f"{self.file}, {source}"

    def get(self, dotted: str) -> Any:
        place: Any = self.tree
        for name in dotted.split("."):
            place = place.get(name) if isinstance(place, Mapping) else None
        key = KEYS[dotted]
        if place is None and dotted not in self.sources:
            if key.default is REQUIRED:
                raise UsageError(f"{self.file}: '{dotted}' is missing")
            return key.default
        return key.read(place, self.where(dotted))

    def section(self, name: str) -> dict[str, Any]:
        return self.tree.get(name) or {}

    def spec(self, profile: str | None, stem: str) -> SweepSpec:
        method = self.get("method")
        metric = self.get("objective.metric")
        space = read_space(method, self.section("space"), self.parameter_where)
        settings = self.settings(method)
        eval_grid = self.eval_grid(method, settings)
        self.check_disjoint(space, settings, eval_grid)
        spec = SweepSpec(
            name=self.name(profile, stem),
            method=method,
            backbone=self.get("backbone"),
            benchmark=self.get("benchmark"),
            protocol=self.protocol(),
            objective=Objective(metric, OBJECTIVES[metric]),
            space=space,
            eval_grid=eval_grid,
            settings=settings,
            sampler=Sampler(self.get("sampler.name"), self.get("sampler.startup")),
            profile=profile,
            seeds=Seeds(self.get("seeds.run"), self.get("seeds.order")),
            precision=self.get("precision"),
            stopping=Stopping(*(self.get(f"stopping.{key}") for key in ("name", "value", "first_rung"))),
            constraints=Constraints(*(self.get(f"constraints.{field.name}") for field in fields_of(Constraints))),
            company=self.company(method, space),
            trials=self.get("trials"),
            budget=self.budget(),
            race=self.race(),
            confirm=self.confirm(),
            table=self.table(),
            runner=self.get("runner"),
            workers=self.get("resources.workers"),
            cpus_per_worker=self.get("resources.cpus"),
            gpus_per_worker=self.get("resources.gpus"),
            max_parallel=self.get("max_parallel"),
            storage=self.get("storage"),
            keep=self.get("keep"),
            file=self.file,
            sources=dict(self.sources),
        )
        check_fit(spec, self.where)
        if spec.runner == "process" and spec.workers > 1:
            raise UsageError(
                f"{self.where('resources.workers')}: runner 'process' has one worker, not {spec.workers}: runner=train"
            )
        if spec.protocol.kind == "published":
            return without_choice(spec, self.where)
        named = len(spec.named_settings())
        if spec.trials < named:
            raise UsageError(
                f"{self.where('trials')}: trials={spec.trials} is fewer than the {named} settings named beforehand: "
                f"give trials={named} or more"
            )
        return bounded(spec, self.parameter_where)

    def name(self, profile: str | None, stem: str) -> str:
        name = self.get("name")
        if self.sources.get("name") != "override":
            name = (name or stem) + (f"-{profile}" if profile else "")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(
                f"{self.where('name')}: a sweep's name is letters, digits, '_', '-' and '.', at most 100, not {name!r}"
            )
        return name

    def parameter_where(self, name: str) -> str:
        """The file, and the other layers that had a say in this parameter's range."""
        said = {source for key, source in self.sources.items() if key.startswith(f"space.{name}.")} - {"yaml"}
        return ", ".join([self.file, *sorted(said)])

    def settings(self, method: str) -> dict[str, Any]:
        given = self.section("settings").items()
        return {
            name: coerce(method, name, value, f"{self.where(f'settings.{name}')}: settings") for name, value in given
        }

    def eval_grid(self, method: str, settings: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
        """The grid, the published value of each parameter first."""
        result: dict[str, tuple[Any, ...]] = {}
        for name, values in self.section("eval_grid").items():
            where = f"{self.where(f'eval_grid.{name}')}: eval_grid.{name}"
            if acts(method, name) == "train":
                raise UsageError(f"{where} acts in training: put its range under 'space'")
            if not isinstance(values, list) or not values:
                raise UsageError(f"{where} must be a list of values that is not empty, not {values!r}")
            coerced = [coerce(method, name, value, where) for value in values]
            if len(set(coerced)) < len(coerced):
                raise UsageError(f"{where} has a value twice")
            published = fields(method)[name].default
            if published not in coerced:
                raise UsageError(f"{where} must hold the published value {show(published)}")
            result[name] = (published, *(value for value in coerced if value != published))
        return result

    def protocol(self) -> Protocol:
        return read_protocol(self.get("protocol"), self.where("protocol"))

    def budget(self) -> Budget:
        budget = Budget(self.get("budget.hours"), self.get("budget.gpu_hours"))
        if budget.gpu_hours is not None and not self.get("resources.gpus"):
            raise UsageError(
                f"{self.where('budget.gpu_hours')}: budget.gpu_hours={budget.gpu_hours:g} is never spent, because no "
                "trial holds a GPU (resources.gpus=0): give budget.hours, or resources.gpus"
            )
        return budget

    def race(self) -> Race:
        top, pairs = self.get("race.top"), self.get("race.pairs")
        if top == 1:
            raise UsageError(
                f"{self.where('race.top')}: race.top=1 is a race of one: give at least 2, or 0 for no race"
            )
        if top and not pairs:
            raise UsageError(f"{self.where('race.top')}: a race needs pairs of seeds: give race.pairs, or race.top=0")
        return Race(top, pairs if top else 0, self.get("race.level"))

    def confirm(self) -> Confirm:
        pairs, claim = self.get("confirm.pairs"), self.get("confirm.claim")
        if claim and pairs < PAIRS_FOR_A_CLAIM:
            raise UsageError(
                f"{self.where('confirm.claim')}: a claim takes at least {PAIRS_FOR_A_CLAIM} pairs of seeds, fixed "
                f"beforehand, not confirm.pairs={pairs}: give more pairs, or confirm.claim=false for mean and interval"
            )
        return Confirm(pairs, pairs >= PAIRS_FOR_A_CLAIM if claim is None else claim)

    def table(self) -> TableDesign:
        table = TableDesign(*(self.get(f"table.{field.name}") for field in fields_of(TableDesign)))
        if table.pairs and (self.get("race.top") or self.get("confirm.pairs")):
            raise UsageError(
                f"{self.where('table.pairs')}: a table chooses and claims nothing: take table.pairs away, or race and "
                "confirm (race.top=0 confirm.pairs=0)"
            )
        if table.pairs and self.get("stopping.name") != "none":
            raise UsageError(
                f"{self.where('stopping.name')}: a table holds complete trials, and stopping.name="
                f"{self.get('stopping.name')} ends some early: take stopping.name=none, or table.pairs away"
            )
        if table.dense_pairs and not table.dense:
            raise UsageError(
                f"{self.where('table.dense_pairs')}: table.dense_pairs={table.dense_pairs} is for dense settings, of "
                "which table.dense=0 has none: give table.dense, or take table.dense_pairs away"
            )
        if table.dense and not 0 < table.pairs < table.dense_pairs:
            raise UsageError(
                f"{self.where('table.dense')}: the {table.dense} dense settings get more pairs than the others: "
                f"table.dense_pairs={table.dense_pairs} must be above table.pairs={table.pairs}, and that above 0"
            )
        return table

    def company(self, method: str, space: Sequence[Parameter]) -> dict[str, dict[str, Any]]:
        for label in self.section("company"):
            if label in ("published", "best", "other") or not _NAME.fullmatch(label):
                raise UsageError(f"{self.where(f'company.{label}')}: company.{label} must have a name of your own")
        return read_company(method, space, self.section("company"), self.where)

    def check_disjoint(self, space: Sequence[Parameter], settings: Mapping[str, Any], grid: Mapping[str, Any]) -> None:
        searched = {parameter.name for parameter in space}
        for first, second, names in (
            ("space", "settings", searched & set(settings)),
            ("eval_grid", "settings", set(grid) & set(settings)),
            ("space", "eval_grid", searched & set(grid)),
        ):
            for name in sorted(names):
                raise UsageError(
                    f"{self.where(f'{second}.{name}')}: '{name}' is in '{first}' and in '{second}': "
                    f"take one away ({first}.{name}=null)"
                )
