"""Print the versions of this environment, for pip's -c: what clsearch and its tests were run with.

Local version labels (`+cpu`) are cut: the same release may be built for a processor or for a GPU.
"""

from __future__ import annotations

import importlib.metadata

OWN = {"clsearch", "pip", "setuptools", "wheel"}


def main() -> None:
    """One `name==version` a line, sorted."""
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    print("# Made by `make lock`. Python 3.11, Linux x86-64.")
    for name, version in sorted(found.items()):
        if name not in OWN:
            print(f"{name}=={version.partition('+')[0]}")


if __name__ == "__main__":
    main()
