"""Reads a configuration file, applies overrides, and says in one line what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adasise_bench.run.config import RunConfig
from adasise_bench.run.shipped_configs import find_config, shipped_configs
from adasise_bench.utils import plain_yaml
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.settings import first_problem, suggest


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return plain_yaml.parse(text)
    except ValueError as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from None


def load_config(
    path: Path,
    overrides: Sequence[str] = (),
    models: Iterable[str] = (),
    methods: Iterable[str] = (),
) -> RunConfig:
    """Read and validate a configuration.

    Args:
        path: YAML file, or the name of a configuration that comes with the tool.
        overrides: see :func:`apply_overrides`.
        models: keep only these models, if any are named.
        methods: keep only these method labels, if any are named.

    Raises:
        ConfigError: one line naming the file or key and the nearest valid one.
    """
    path, models, methods = find_config(path), list(models), list(methods)
    try:
        text = plain_yaml.read_text(path)
    except (OSError, ValueError) as error:
        named = f"; `--config {path.stem}` is the one of the tool" if path.stem in shipped_configs() else ""
        raise ConfigError(f"{path}: cannot read the configuration: {error}{named}") from None
    tree = _parse_yaml(text, str(path))
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{path}: not a configuration, which maps keys to values, such as `seed: 0`; `ls configs` names "
            "those that come with the tool"
        )
    apply_overrides(tree, overrides)
    tree.setdefault("name", re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:100] or "run")
    if models and isinstance(tree.get("models"), dict):
        tree["models"] = _pick(tree["models"], models, "--models")
    if methods and isinstance(tree.get("methods"), list):
        entries = {_label(entry): entry for entry in tree["methods"]}
        tree["methods"] = list(_pick(entries, methods, "--methods").values())
    try:
        return validate(tree, str(path))
    except ConfigError:
        return validate(tree, _at_fault(path, overrides, models, methods))


def _at_fault(path: Path, overrides: Sequence[str], models: Iterable[str], methods: Iterable[str]) -> str:
    """What a message about a configuration names: the file, or ``--set`` where the file alone can be used."""
    if overrides:
        with suppress(ConfigError):
            load_config(path, (), models, methods)
            return f"--set, over {path}"
    return str(path)


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    """Change a configuration given as plain data, in place.

    Args:
        tree: the configuration.
        overrides: ``key=value`` pairs; the key is dotted (list entries by label, name or index), the
            value YAML; ``null`` removes a model or method.

    Raises:
        ConfigError: one line naming the key.
    """
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {override!r}: write it as key=value")
        try:
            _override(tree, key.split("."), _parse_yaml(value, f"--set {key}"), f"--set {key}")
        except RecursionError:
            raise ConfigError(f"--set {key}: has more levels than any key of a configuration") from None


def validate(tree: dict[str, Any], source: str) -> RunConfig:
    """Validate a configuration given as plain data.

    Raises:
        ConfigError: one line naming ``source``, the key and the nearest valid one.
    """
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{source}: {first_problem(error, RunConfig)}") from None
    for method in config.methods:
        method.check_settings()
    return config


def _label(entry: Any) -> str:
    """The label that an entry under ``methods`` will have: its own, or the last part of its name."""
    if not isinstance(entry, dict):
        return str(entry).rpartition(":")[2]
    return str(entry["label"]) if "label" in entry else str(entry.get("name")).rpartition(":")[2]


def _pick(available: dict[str, Any], wanted: Iterable[str], flag: str) -> dict[str, Any]:
    picked, wanted = {}, list(wanted)
    for name in wanted:
        if name not in available:
            others = " (--set methods=[...] runs others)" if flag == "--methods" else ""
            nearest = suggest(name, available, wanted)
            raise ConfigError(f"{flag}: this configuration has no {name!r}{nearest}{others}")
        picked[name] = available[name]
    return picked


def _override(tree: dict[str, Any], keys: list[str], value: Any, source: str) -> None:
    models = tree.get("models")
    if keys[0] == "models" and len(keys) == 2 and value is None and isinstance(models, dict):
        _pick(models, keys[1:], source)
        del models[keys[1]]
    else:
        if keys[0] == "rules" and len(keys) > 1 and isinstance(tree.get("rules"), str):
            tree["rules"] = {"set": tree["rules"]}  # the named set, of which one rule is changed
        _assign(tree, keys, value, source)


def _assign(tree: Any, keys: list[str], value: Any, source: str) -> None:
    key, rest = keys[0], keys[1:]
    if isinstance(tree, list):
        key, rest = _label_and_rest(tree, keys)
        index = _list_index(tree, key, source)
        if not rest:
            if value is None:
                del tree[index]
            else:
                tree[index] = value
            return
        if isinstance(tree[index], str):
            tree[index] = {"name": tree[index]}
        _assign(tree[index], rest, value, source)
    elif isinstance(tree, dict):
        if rest:
            if tree.get(key) is None:
                tree[key] = {}
            _assign(tree[key], rest, value, source)
        else:
            tree[key] = value
    else:
        raise ConfigError(f"{source}: {tree!r} is a value and has no keys below it")


def _label_and_rest(entries: list[Any], keys: list[str]) -> tuple[str, list[str]]:
    """Split keys after the label with which they begin; a label may contain dots."""
    labels = {_label(entry) for entry in entries}
    for count in range(len(keys), 1, -1):
        if ".".join(keys[:count]) in labels:
            return ".".join(keys[:count]), keys[count:]
    return keys[0], keys[1:]


def _list_index(entries: list[Any], key: str, source: str) -> int:
    labels = [_label(entry) for entry in entries]
    if key in labels:
        return labels.index(key)
    if key in map(str, range(len(entries))):
        return int(key)
    raise ConfigError(f"{source}: no entry {key!r}{suggest(key, labels)}")
