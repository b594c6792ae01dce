"""The JSON schema of configurations, by which editors complete keys and mark mistakes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import EXTRA
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.config import CustomModel, ModelConfig
from adasise_bench.run.config import RunConfig

_REFERENCE = "#/$defs/{model}"
_LOCATION = r"^[\w.]+:[\w.]+$"

Schema = dict[str, Any]


def config_schema() -> Schema:
    """The schema of a configuration file, as JSON Schema (draft 2020-12) defines it.

    It knows keys, options and values. What several keys must be together is left to :func:`.load_config`.
    """
    definitions: dict[str, Schema] = {}
    schema = _of(RunConfig, definitions)
    keys = schema["properties"]
    keys["models"] = _models(definitions)
    keys["methods"] = _methods(definitions)
    keys["rules"] |= {"anyOf": [{"enum": ["protocol", "authors-code"]}, {"type": "object"}]}
    keys["rules"].pop("$ref", None)
    keys["extra_metrics"] |= {"type": "array", "items": {"enum": list(EXTRA)}}
    keys["device"] |= {"pattern": r"^(auto|cpu|cuda(:\d+)?)$"}
    keys["measures"] = keys["extra_metrics"] | {"deprecated": True}
    definitions["DataConfig"]["properties"]["year"] |= {"type": ["string", "integer"]}
    definitions["EngineConfig"]["properties"]["compile"] = {"enum": [True, False, "auto"], "deprecated": True}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Configuration of adasise-bench",
        "$defs": definitions,
    }


def _of(model: type[BaseModel], definitions: dict[str, Schema]) -> Schema:
    """The schema of a section; those of the sections below it are added to the definitions."""
    schema = model.model_json_schema(ref_template=_REFERENCE)
    definitions |= schema.pop("$defs", {})
    return schema


def _models(definitions: dict[str, Schema]) -> Schema:
    definitions["ModelConfig"] = _of(ModelConfig, definitions)
    definitions["CustomModel"] = _of(CustomModel, definitions)
    known = {name: {"$ref": "#/$defs/ModelConfig"} for name in ARCHITECTURES}
    return {
        "type": "object",
        "minProperties": 1,
        "description": "networks by name: those of the tool, and your own, which have a `source`",
        "properties": known,
        "additionalProperties": {"$ref": "#/$defs/CustomModel"},
    }


def _methods(definitions: dict[str, Schema]) -> Schema:
    """Names, or mappings with a name and the options of that method."""
    entries: list[Schema] = [{"enum": list(METHODS)}, {"type": "string", "pattern": _LOCATION}]
    for name, method in METHODS.items():
        schema = _of(method.load(), definitions)
        definitions[name] = schema | {"title": method.summary, "required": ["name"]}
        entries.append({"$ref": f"#/$defs/{name}"})
    entries.append(_foreign_method())
    return {"type": "array", "minItems": 1, "items": {"anyOf": entries}}


def _foreign_method() -> Schema:
    """A function of the user's, or a method of an installed package, whose options are its own."""
    from adasise_bench.methods.custom.custom import GROUP
    from adasise_bench.utils.plugins import installed

    names: list[Schema] = [{"type": "string", "pattern": _LOCATION}]
    if others := [name for name in installed(GROUP) if name not in METHODS]:
        names.append({"enum": others})
    return {"type": "object", "required": ["name"], "properties": {"name": {"anyOf": names}}}
