"""Strict YAML: a key twice is an error, `1e-3` is a number, and nothing but plain data is built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from clsearch.errors import UsageError

# YAML 1.1, as PyYAML reads it, takes `1e-3` (no point) for a text; researchers write it for a number.
_SCIENTIFIC = re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$")


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses a mapping with a repeated key and knows every usual spelling of a float."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    loader.flatten_mapping(node)
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a text", key_node.start_mark)
        if key in result:
            raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", key_node.start_mark)
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", _SCIENTIFIC, list("-+.0123456789"))


def parse_text(text: str, where: str) -> Any:
    """The plain data a YAML text stands for; raises UsageError naming `where` and the line."""
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark and "\n" in text else ""
        raise UsageError(f"{where}{line}: {error.problem or 'not valid YAML'}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises UsageError naming the file."""
    try:
        data = parse_text(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None
    if not isinstance(data, dict):
        raise UsageError(f"{path}: must be a mapping of keys to values")
    return data
