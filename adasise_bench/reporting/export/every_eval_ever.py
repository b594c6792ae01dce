"""Writes the results of a network as a log of Every Eval Ever, a schema for results of all evaluation tools.

Source: evaleval/every_eval_ever, ``eval.schema.json``, version 0.3.0.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adasise_bench.data.coco import MASKS
from adasise_bench.reporting.export.files import TextFile, json_without
from adasise_bench.reporting.export.scores import NetworkResults, Score
from adasise_bench.reporting.statistics import CONFIDENCE, RESAMPLES
from adasise_bench.reporting.tables import title_of
from adasise_bench.utils.file_names import file_name
from adasise_bench.utils.messages import json_text, printable

SCHEMA_VERSION = "0.3.0"
COLLECTION = "adasise-bench"

_SOURCES = {
    "VOC 2007 test": "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
    "COCO 2014 val": "https://cocodataset.org/",
}
"""Where public data sets come from, by the names that runs give them."""

_NO_FOLDER = re.compile(r"data|(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?|.*[. ]", re.IGNORECASE)
"""Names that the data store takes for no folder: its own, and those that Windows cannot make."""


def log_file(results: NetworkResults, folder: Path, organization: str) -> TextFile:
    """The log as ``data/adasise-bench/DEVELOPER/MODEL/UUID.json``, as the data store asks for.

    The UUID is made from the results, so that the same results get the same file. When the log was made does
    not count where it is asked whether the file is there already.

    Args:
        results: of one network.
        folder: gets ``data``.
        organization: who ran the evaluation.
    """
    content = log(results, organization, int(time.time()))
    developer, model = content["model_info"]["id"].split("/", 1)
    stable = json.dumps([content["model_info"], content["evaluation_results"]], sort_keys=True)
    name = uuid.UUID(bytes=hashlib.sha256(stable.encode()).digest()[:16], version=4)
    path = folder / "data" / COLLECTION / _folder_name(developer) / _folder_name(model) / f"{name}.json"
    return TextFile(path, json_text(content) + "\n", json_without("evaluation_id", "retrieved_timestamp"))


def _folder_name(name: str) -> str:
    safe = file_name(name)
    return f"~{safe}~" if _NO_FOLDER.fullmatch(safe) else safe


def log(results: NetworkResults, organization: str, now: int) -> dict[str, Any]:
    """The log as plain data.

    Args:
        results: of one network.
        organization: who ran the evaluation.
        now: seconds since 1970, when the log is made.
    """
    environment = results.environment
    model, tool = _model(results), environment["tool"]
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{COLLECTION}/{model['id']}/{now}",
        "retrieved_timestamp": str(now),
        "source_metadata": {
            "source_name": "adasise-bench",
            "source_type": "evaluation_run",
            "source_organization_name": printable(organization),
            "evaluator_relationship": "third_party",
        },
        "eval_library": {
            "name": "adasise-bench",
            "version": printable(tool["version"]),
            "additional_details": _texts({"commit": tool["commit"], "torch": environment["torch"]}),
        },
        "model_info": model,
        "evaluation_results": [_result(results, score) for score in results.scores],
    }


def _model(results: NetworkResults) -> dict[str, Any]:
    weights, environment = results.weights, results.environment
    published = weights["published"]
    developer = "TorchRay" if published else "unknown"
    return {
        "name": printable(results.model),
        "id": f"{developer}/{printable(results.model)}",
        "developer": developer,
        "inference_engine": {"name": "torch", "version": printable(environment["torch"])},
        "additional_details": {
            "deployment_type": "self_deployed",
            "model_availability": "open_weights" if published else "unknown",
        }
        | _texts(
            {
                "weights_file": weights["weights_file"],
                "weights_sha256": weights["weights_sha256"],
                "device": environment["device_name"],
                "precision": environment["precision"],
            }
        ),
    }


def _result(results: NetworkResults, score: Score) -> dict[str, Any]:
    metric, data = score.metric, results.data
    config = results.runs[0].config
    return {
        "evaluation_result_id": printable(f"{score.method}.{score.name}"),
        "evaluation_name": printable(f"{data['name']}: {metric.title} ({title_of(score.method)})"),
        "source_data": _data(results),
        "metric_config": {
            "evaluation_description": metric.summary,
            "metric_id": f"{COLLECTION}.{results.definition(score.name) or score.name}",
            "metric_name": metric.title,
            "metric_kind": score.name,
            "metric_unit": metric.unit,
            "lower_is_better": metric.direction == "down",
            "score_type": "continuous",
            **_range(score, config["score"]),
        },
        "score_details": {
            "score": score.value,
            "details": _texts({"pairs": score.pairs, "images": score.images}),
        }
        | _uncertainty(score),
        "generation_config": {
            "additional_details": _texts(
                {
                    "method": score.method,
                    "method_definition": results.definition(score.method),
                    "options": json.dumps(results.options(score.method), sort_keys=True),
                    "input_size": config["data"]["input_size"],
                    "resize": config["data"]["resize"],
                    "score": config["score"],
                }
            )
        },
    }


def _range(score: Score, psi: str) -> dict[str, float | str]:
    possible = score.metric.possible(psi) or score.metric.range
    return {"min_score": _bound(possible.low), "max_score": _bound(possible.high)}


def _bound(value: float) -> float | str:
    """A number, or the word that the schema has for none."""
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _uncertainty(score: Score) -> dict[str, Any]:
    if score.low is None or score.high is None:
        return {}
    interval = {
        "lower": score.low,
        "upper": score.high,
        "confidence_level": CONFIDENCE,
        "method": "percentile bootstrap over images",
    }
    uncertainty = {"confidence_interval": interval, "num_bootstrap_samples": RESAMPLES}
    if score.images is not None:
        uncertainty["num_samples"] = score.images
    return {"uncertainty": uncertainty}


def _data(results: NetworkResults) -> dict[str, Any]:
    data = results.data
    facts = {name: data.get(name) for name in ("images", "pairs", "full_images", "full_pairs", "fingerprint")}
    source = {"dataset_name": printable(data["name"]), "additional_details": _texts(facts)}
    if public := _SOURCES.get(data["name"].removesuffix(MASKS)):
        return source | {"source_type": "url", "url": [public]}
    return source | {"source_type": "other"}


def _texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as the schema has them: every value a text; those that are not known are left out."""
    return {name: printable(str(value)) for name, value in facts.items() if value not in (None, "")}
