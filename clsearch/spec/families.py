"""Which methods, networks and benchmarks fit together."""

from __future__ import annotations

from clsearch.benchmarks.catalogue import BenchmarkInfo, benchmark_info
from clsearch.errors import UsageError
from clsearch.spec.backbones import find_backbone
from clsearch.spec.settings import method_settings


def check_families(
    method: str,
    backbone: str,
    benchmark: str,
    where_backbone: str = "backbone",
    where_benchmark: str = "benchmark",
) -> BenchmarkInfo:
    """The benchmark's entry, if method, backbone and benchmark have a family in common.

    Raises UsageError with the rule, or with the nearest name of what is unknown.
    """
    found = find_backbone(backbone, where_backbone)
    families = method_settings(method).families
    if found.family not in families:
        raise UsageError(
            f"{where_backbone}: method '{method}' works on {' and '.join(families)} backbones; "
            f"'{backbone}' is of family {found.family}"
        )
    try:
        info = benchmark_info(benchmark)
    except UsageError as error:
        raise UsageError(f"{where_benchmark}: {error}") from None
    if found.family not in info.families:
        raise UsageError(
            f"{where_benchmark}: benchmark '{benchmark}' is for {' and '.join(info.families)} backbones; "
            f"'{backbone}' is of family {found.family}"
        )
    return info
