"""Explains a picture of the user, and writes the maps, their overlays, and all overlays side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from adasise_bench.methods import Explanation, Request
from adasise_bench.models.batching import torch_failures
from adasise_bench.models.lost_device import named_if_lost
from adasise_bench.records import environment
from adasise_bench.records import folder as run_folder
from adasise_bench.records.maps import write_map
from adasise_bench.reporting.captions import options_notes, score_line, score_note
from adasise_bench.reporting.overlay import COLOURING, overlay
from adasise_bench.reporting.panels import Panel, side_by_side
from adasise_bench.reporting.tables import title_of
from adasise_bench.run import network
from adasise_bench.run.scored_picture import Subject
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.file_names import file_name
from adasise_bench.utils.files import write_atomically, write_text_atomically
from adasise_bench.utils.step_watch import watched

FACTS = "explanation.json"
"""The file that says where the maps of a folder come from. Only folders of this command have it."""

_MAX_SIDE = 2048
_BAR_DELAY = 0.5


def refuse_foreign(folder: Path) -> None:
    """Refuse a folder that holds anything other than explanations.

    Raises:
        OutputError: it holds other files.
    """
    run_folder.refuse_foreign(folder, (FACTS,), "explanation")


def explain_picture(subject: Subject, folder: Path, *, footer: bool = True) -> None:
    """Explain the subject's classes with every method, and write the results.

    The folder gets ``explanation.json``, ``METHOD_CLASS.npy`` (float32 at the input's resolution),
    ``METHOD_CLASS.png`` (overlay at the picture's resolution, at most 2048 pixels a side) and
    ``side_by_side.png``, whose metadata say in ``Description`` what stands at its foot. Earlier explanations
    in it are renamed to ``<folder>.1``, ``.2``, ...

    Args:
        subject: the picture and how it is explained.
        folder: is made, or its earlier explanation is moved aside.
        footer: whether the small print at the foot is shown.

    Raises:
        OutputError: the folder holds other files, is in use or cannot be written.
        BenchError: a map that is not finite.
    """
    refuse_foreign(folder)
    if (folder / FACTS).exists():
        with run_folder.exclusive(folder):
            run_folder.move_aside(folder)
    with run_folder.exclusive(folder):
        write_text_atomically(folder / FACTS, json.dumps(_facts(subject), indent=2) + "\n")
        shown = subject.picture.image.copy()
        shown.thumbnail((_MAX_SIDE, _MAX_SIDE))
        panels: dict[tuple[str, str], Panel] = {}
        for request, explanation in explanations(subject):
            label, name = request.method.label, subject.classifier.classes[request.target]
            saliency = finite_map(request, explanation, name)
            flat = "\nno evidence: all pixels are equal" if saliency.min() == saliency.max() else ""
            drawn = overlay(shown, saliency)
            panels[name, label] = Panel(f"{title_of(label)}{flat}", drawn)
            stem = file_name(label, name)
            write_map(folder / f"{stem}.npy", saliency)
            write_atomically(folder / f"{stem}.png", partial(drawn.save, format="PNG"))
        rows = [
            [
                Panel(f"{name}\n{score_line(subject.scores[name])}", shown),
                *(panels[name, method.label] for method in subject.config.methods),
            ]
            for name in subject.classes
        ]
        small_print = _small_print(subject)
        figure = side_by_side(rows, small_print if footer else "")
        write = partial(figure.savefig, format="png", metadata={"Description": small_print})
        write_atomically(folder / "side_by_side.png", write)


def finite_map(request: Request, explanation: Explanation, name: str) -> NDArray[np.float32]:
    """The (H, W) map of the class that is called ``name``.

    Raises:
        BenchError: it is not finite.
    """
    saliency: NDArray[np.float32] = explanation.saliency.cpu().numpy()
    if not np.isfinite(saliency).all():
        raise BenchError(f"{request.method.label}: the map of {name} is not finite for this picture")
    return saliency


def explanations(subject: Subject) -> Iterator[tuple[Request, Explanation]]:
    """The same explanations as of ``run`` with ``share_forwards``; a bar shows how far they are.

    Yields:
        Every request of a method and a class, with its explanation.

    Raises:
        BenchError: a method cannot explain the picture, or a device failed.
    """
    classifier = subject.classifier
    groups: dict[str, list[Request]] = {}
    for method in subject.config.methods:
        for name in subject.classes:
            request = Request(method, subject.image, classifier.classes.index(name))
            groups.setdefault(method.group, []).append(request)
    for group in groups.values():
        size = group[0].method.requests_at_once(classifier.batch_size.with_gradients.value) or len(group)
        for start in range(0, len(group), size):
            chunk = group[start : start + size]
            titles = dict.fromkeys(title_of(request.method.label) for request in chunk)
            with (
                tqdm(desc=", ".join(titles), delay=_BAR_DELAY, disable=None, file=sys.stderr) as bar,
                watched(partial(_show, bar)),
                named_if_lost(classifier.device),
                torch_failures(),
            ):
                made = group[0].method.explain_together(classifier, chunk)
            yield from zip(chunk, made, strict=True)


def _show(bar: tqdm[Any], done: int, total: int) -> None:
    bar.total = total
    bar.update(done - bar.n)


def _facts(subject: Subject) -> dict[str, Any]:
    config, classifier = subject.config, subject.classifier
    definitions = network.definitions(config.methods, [classifier], config.rules)
    return environment.describe(classifier.device, config.precision, definitions) | {
        "model": {"name": classifier.name} | network.facts(classifier),
        "picture": {
            "file": subject.path.name,
            "sha256": subject.picture.sha256,
            "size": subject.picture.image.size,
            "input": list(subject.image.shape[2:]),
        },
        "settings": config.model_dump(
            mode="json",
            include={
                "models": True,
                "methods": True,
                "rules": True,
                "score": True,
                "data": {"resize", "input_size"},
            },
        ),
        "scores": subject.scores,
        "explained": subject.classes,
    }


def _small_print(subject: Subject) -> str:
    """What the maps rest on, in sentences."""
    data = subject.config.data
    height, width = subject.image.shape[2:]
    sentences = [
        f"{subject.weights_note()}.",
        score_note(subject.config.score),
        f"Input {width}x{height} px ({data.resize}), {subject.config.precision}.",
        COLOURING,
        *options_notes(subject.config.methods),
    ]
    return " ".join(sentences)
