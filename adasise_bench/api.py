"""The interface for Python and notebooks: explain a picture, evaluate a map, run a benchmark, read a run.

Every function runs the code that the command line runs, and so gives its values::

    from adasise_bench import api

    model = api.load_model("resnet50")
    saliency = api.explain(model, "dog.jpg", method="ada_sise")
    api.evaluate(saliency, boxes=[(48, 240, 195, 371)])
    records = api.run("quickstart")
    api.load_run("results/quickstart-1a2b3c4d").tables()

Errors are a :class:`~adasise_bench.utils.errors.BenchError` with one line that names the cause and the cure.
The module itself is quick to import. torch, pandas and matplotlib are imported by the functions that need
them.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adasise_bench.utils.errors import BenchError, ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import nn

    from adasise_bench.data.boxes import Box
    from adasise_bench.data.pictures import Picture
    from adasise_bench.methods import Method
    from adasise_bench.models.classifier import Classifier
    from adasise_bench.records import Run
    from adasise_bench.reporting.tables import Grouping, Tables
    from adasise_bench.run.config import RunConfig

    AnyImage = str | Path | Image | NDArray[np.uint8]
    AnyMethod = str | Mapping[str, Any] | Method
    AnyBox = Box | Sequence[float]

__all__ = [
    "BenchError",
    "Metrics",
    "Model",
    "ResultTables",
    "Results",
    "SaliencyMap",
    "evaluate",
    "explain",
    "load_model",
    "load_run",
    "run",
]  # fmt: skip

_SHOWN_SIDE = 400
"""Pixels of the longer side of a picture that a notebook shows."""


@dataclass(frozen=True, repr=False)
class Model:
    """A network that is ready to explain; :func:`load_model` makes it.

    Attributes:
        classifier: the network, its classes and how it is run.
        config: the settings that it was loaded with.
    """

    classifier: Classifier
    config: RunConfig

    def __repr__(self) -> str:
        """Its name, classes and device."""
        network = self.classifier
        return f"<Model {network.name}: {len(network.classes)} classes, on {network.device}>"

    @property
    def name(self) -> str:
        """Its name in configurations and records."""
        return self.classifier.name

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the outputs."""
        return self.classifier.classes

    def scores(self, image: AnyImage) -> dict[str, float]:
        """The score Ψ of every class for a picture, the highest first.

        Raises:
            DataError: the picture cannot be used.
            BenchError: scores that are not finite.

        Example:
            >>> import numpy as np
            >>> from adasise_bench import api
            >>> model = api.load_model("scenes_vgg", settings={"data.input_size": 32}, device="cpu")
            >>> scores = model.scores(np.zeros((40, 60, 3), np.uint8))
            >>> sorted(scores) == sorted(model.classes), round(sum(scores.values()), 4)
            (True, 1.0)
        """
        from adasise_bench.run.scored_picture import scored

        return scored(*_picture(image), self.config, self.classifier).scores


@dataclass(frozen=True, repr=False, eq=False)
class SaliencyMap:
    """A saliency map, the picture that it explains, and what made it.

    :func:`explain` returns one. Give the first three yourself for a map that another tool made. A notebook
    shows the map over its picture, and ``numpy.asarray`` gives its values.

    Attributes:
        values: (H, W) float32 map of the whole picture; to be evaluated, at least 0 and of the size of the
            network's input.
        picture: the picture as Pillow's RGB image. A file's name or a (H, W, 3) uint8 array is turned into
            one.
        class_name: the class that is explained.
        method: label of the method.
        score: Ψ of the class for the whole picture; ``None`` where it is not known.
        model: the network that was explained; ``None`` where it is not known.
        made_by: the method with its options; ``None`` where it is not known.

    Raises:
        DataError: ``values`` is no finite map, or ``picture`` is no picture.

    Example:
        >>> import numpy as np
        >>> from adasise_bench import api
        >>> mine = api.SaliencyMap(np.eye(4), np.zeros((8, 8, 3), np.uint8), "dog", method="mine")
        >>> mine
        <SaliencyMap of dog by mine: 4x4>
        >>> mine.overlay().size
        (8, 8)
    """

    values: NDArray[np.float32]
    picture: Image
    class_name: str
    method: str = "map"
    score: float | None = None
    model: Model | None = None
    made_by: Method | None = None

    def __post_init__(self) -> None:
        """Turn what was given into a float32 map and an RGB picture."""
        import numpy as np

        from adasise_bench.data.map_files import as_map

        try:
            values = as_map(np.asarray(self.values))
        except ValueError as error:
            raise DataError(f"the map of {self.class_name}: {error}") from None
        for name, value in (("values", values), ("picture", _picture(self.picture)[1].image)):
            object.__setattr__(self, name, value)  # the class is frozen

    def __repr__(self) -> str:
        """Class, method and size."""
        height, width = self.values.shape
        return f"<SaliencyMap of {self.class_name} by {self.method}: {width}x{height}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The values, for NumPy."""
        import numpy as np

        return np.array(self.values, dtype=dtype, copy=copy)

    def overlay(self) -> Image:
        """The picture in grey under the map's colours, in the picture's size."""
        from adasise_bench.reporting.overlay import overlay

        return overlay(self.picture, self.values)

    def figure(self) -> Figure:
        """The picture and the map over it, side by side, for matplotlib."""
        from adasise_bench.reporting.captions import score_line
        from adasise_bench.reporting.overlay import overlay
        from adasise_bench.reporting.panels import Panel, side_by_side
        from adasise_bench.reporting.tables import title_of

        shown = self.picture.copy()
        shown.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
        score = "" if self.score is None else f"\n{score_line(self.score)}"
        over = Panel(title_of(self.method), overlay(shown, self.values))
        return side_by_side([[Panel(f"{self.class_name}{score}", shown), over]], self._small_print())

    def _small_print(self) -> str:
        """What is known of the network, the score and the method, in sentences."""
        from adasise_bench.reporting.captions import options_notes, score_note
        from adasise_bench.reporting.overlay import COLOURING
        from adasise_bench.run.scored_picture import weights_note

        sentences = []
        if self.model is not None:
            config = self.model.config
            sentences.append(f"{weights_note(self.model.classifier, config.data.kind)}.")
            if self.score is not None:
                sentences.append(score_note(config.score))
        return " ".join([*sentences, COLOURING, *options_notes([self.made_by] if self.made_by else [])])

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from adasise_bench.reporting.notebook import figure_png

        return figure_png(self.figure())


class Metrics(dict[str, "float | None"]):
    """The metrics of one map by name, in the order of ``adasise-bench ls``; a notebook shows a table.

    A metric that does not exist for the pair is ``None``.
    """

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from markupsafe import escape

        from adasise_bench.metrics.registry import METRICS
        from adasise_bench.reporting.notebook import html_table
        from adasise_bench.reporting.tables import number
        from adasise_bench.reporting.tables.grid import ARROWS

        lines = []
        for name, value in self.items():
            metric = METRICS[name]
            arrow = ARROWS[metric.direction] if metric.direction else ""
            shown = "-" if value is None else number(value, metric.unit)
            lines.append((f"{escape(metric.title)} {arrow}", [shown, str(escape(metric.summary))]))
        return html_table(["value", "meaning"], lines, words=["meaning"])


@dataclass(frozen=True, repr=False)
class ResultTables:
    """Tables of runs. A notebook shows them as HTML, and ``print`` as the command line does."""

    tables: Tables

    def __str__(self) -> str:
        """As ``adasise-bench table`` prints them."""
        return self.text()

    def text(self, fmt: str = "terminal") -> str:
        """The tables in one of the formats of ``adasise-bench table``: terminal, md, latex, csv or json.

        Raises:
            ConfigError: there is no such format.
        """
        from adasise_bench.reporting.tables.formats import FORMATS, render
        from adasise_bench.utils.settings import suggest

        if fmt not in FORMATS:
            raise ConfigError(f"no format {fmt!r}{suggest(fmt, FORMATS)}")
        return render(self.tables, fmt)

    def frame(self) -> pd.DataFrame:
        """All numbers unrounded, one cell of the tables a row; the columns are those of ``--format csv``."""
        import io

        import pandas as pd

        return pd.read_csv(io.StringIO(self.text("csv")))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from adasise_bench.reporting.notebook import tables_html

        return tables_html(self.tables)


@dataclass(frozen=True, repr=False)
class Results:
    """A run folder; :func:`load_run` reads it. A notebook shows its tables."""

    run: Run

    def __repr__(self) -> str:
        """The folder, and how many records it holds."""
        return f"<Results in {self.folder}: {len(self.records)} records>"

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.folder

    @property
    def config(self) -> dict[str, Any]:
        """The run's configuration."""
        return self.run.config

    @property
    def environment(self) -> dict[str, Any]:
        """What the values depend on: versions, weights, data, definitions of methods and metrics."""
        return self.run.environment

    @cached_property
    def records(self) -> pd.DataFrame:
        """One row for each explanation; ``docs/run-folders.md`` describes the columns."""
        return self.run.records

    def tables(
        self,
        *others: Results,
        metrics: Sequence[str] = (),
        by: Grouping | None = None,
        against: str | None = None,
    ) -> ResultTables:
        """The tables of ``adasise-bench table``.

        Args:
            others: further runs; each value comes from the first run that has it.
            metrics: names of the rows of Table 1; by default, the usual ones.
            by: ``class``, ``size``, ``score`` or ``outcome``: one table for each metric instead.
            against: adds the paired differences of all other methods from the method of this label.

        Raises:
            ConfigError: an unknown name, or runs that do not fit together.
            DataError: there is not one record.
        """
        from adasise_bench.reporting.tables import build_tables

        runs = [self.run, *(other.run for other in others)]
        return ResultTables(build_tables(runs, metrics=metrics, by=by, against=against))

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.tables()._repr_html_()


def load_model(
    model: str | nn.Module,
    *,
    name: str | None = None,
    device: str | None = None,
    settings: Mapping[str, Any] | None = None,
    **entry: Any,
) -> Model:
    """Load a network once, to explain many pictures with it.

    Args:
        model: name of a network that comes with the tool, such as ``resnet50``; any name, with ``source``;
            or a torch module, of which a copy is used. A module needs ``mean`` and ``std``, and ``classes``.
        name: how a module is called; by default, as its class.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        settings: other keys of a configuration, such as ``{"data.input_size": 96, "score": "sigmoid"}``;
            those that ``adasise-bench explain --set`` takes.
        entry: keys of the configuration below ``models.NAME``: ``checkpoint``, ``sha256``, ``blocks``,
            ``source``, ``arch``, ``weights``, ``options``, ``classes``, ``mean``, ``std`` and ``scale``.

    Raises:
        ConfigError: a name or key is unknown, or the network cannot be used as it is.
        WeightsError: the weights are missing, altered, or of another network.
        DeviceError: no such device.

    Example:
        >>> from torch import nn
        >>> from adasise_bench import api
        >>> layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.ReLU()]
        >>> net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
        >>> facts = {"classes": list("abcd"), "mean": [0.5] * 3, "std": [0.25] * 3}
        >>> api.load_model(net, name="four", settings={"data.input_size": 32}, device="cpu", **facts)
        <Model four: 4 classes, on cpu>
    """
    from adasise_bench.run import network
    from adasise_bench.run.scored_picture import explain_config
    from adasise_bench.utils.devices import pick_device

    module = None if isinstance(model, str) else model
    named = model if isinstance(model, str) else name or type(model).__name__
    if module is not None:
        entry = {"source": f"python:{type(module).__name__}"} | entry
    keys = {f"models.{named}.{key}": value for key, value in entry.items()}
    config = explain_config(
        named, ["random"], device=device, overrides=_overrides(keys | dict(settings or {}))
    )
    classifier = network.load(config, named, pick_device(config.device), module=module)
    return Model(network.with_engine(config, classifier), config)


def explain(
    model: str | nn.Module | Model,
    image: AnyImage,
    method: AnyMethod = "ada_sise",
    class_name: str | None = None,
) -> SaliencyMap:
    """Explain one class of a picture, as ``adasise-bench explain`` does.

    Args:
        model: from :func:`load_model`; or what that takes, which is then loaded for this one picture.
        image: a picture's file, a Pillow image, or an (H, W, 3) uint8 array.
        method: name of a method, or a mapping of its ``name`` and options as in a configuration.
        class_name: the class; by default the one with the highest score.

    Raises:
        ConfigError: an unknown method, option or class, or a method that cannot explain this network.
        DataError: the picture cannot be used.
        BenchError: the map or the scores are not finite, or the method fails.

    Example:
        >>> from adasise_bench import api
        >>> from adasise_bench.data.scenes import draw_scene
        >>> model = api.load_model("scenes_vgg", settings={"data.input_size": 32}, device="cpu")
        >>> saliency = api.explain(model, draw_scene(1, 0).pixels, {"name": "sise", "mu": 0.3}, "disc")
        >>> saliency
        <SaliencyMap of disc by sise: 32x32>
        >>> float(saliency.values.min()) >= 0
        True
    """
    from adasise_bench.run import network
    from adasise_bench.run.explain import explanations, finite_map
    from adasise_bench.run.scored_picture import refuse_regions, scored

    model = _loaded(model)
    path, picture = _picture(image)
    config = _changed(model.config, "explain", methods=[method])
    refuse_regions(config, "method")
    network.check_methods(config, model.classifier)
    subject = scored(path, picture, config, model.classifier, [class_name] if class_name else ())
    ((request, explanation),) = explanations(subject)
    (chosen,) = subject.classes
    return SaliencyMap(
        finite_map(request, explanation, chosen),
        picture.image,
        chosen,
        request.method.label,
        subject.scores[chosen],
        model,
        request.method,
    )


def evaluate(
    saliency: SaliencyMap,
    boxes: Sequence[AnyBox],
    model: str | nn.Module | Model | None = None,
    extra_metrics: Sequence[str] = (),
) -> Metrics:
    """Compute the metrics of a map, as a run does for every pair of picture and class.

    Args:
        saliency: from :func:`explain`, or of another tool.
        boxes: the objects of the map's class on the picture: left, top, right and bottom in pixels from the
            picture's upper left corner, as Pillow and torchvision have them; or a
            :class:`~adasise_bench.data.boxes.Box`, which counts pixels from 1 as VOC does, and whose class
            may be another.
        model: the network whose scores the metrics need; by default the one that was explained.
        extra_metrics: names of metrics that pass more inputs through the network, such as ``insertion``.

    Returns:
        The values by name; those of ``extra_metrics`` only where they were asked for.

    Raises:
        ConfigError: an unknown metric or class, or no network is known.
        DataError: a box that is not on the picture, or a map that has negative values or another size than
            the network's input.
        BenchError: scores that are not finite.

    Example:
        >>> from adasise_bench import api
        >>> from adasise_bench.data.scenes import draw_scene
        >>> scene = draw_scene(1, 0)
        >>> model = api.load_model("scenes_vgg", settings={"data.input_size": 32}, device="cpu")
        >>> saliency = api.explain(model, scene.pixels, "centre", scene.boxes[0].class_name)
        >>> list(api.evaluate(saliency, scene.boxes))[:3]
        ['ebpg', 'bbox', 'drop']
        >>> height, width, _ = scene.pixels.shape
        >>> api.evaluate(saliency, [(0, 0, width, height)])["ebpg"]  # all energy lies in the whole picture
        100.0
    """
    from adasise_bench.metrics.registry import COMPUTED, EXTRA, METRICS
    from adasise_bench.run.evaluation import evaluated
    from adasise_bench.utils.settings import suggest

    given = saliency.model if model is None else model
    if given is None:
        raise ConfigError("evaluate: no network is known for this map; give `model`, whose scores it needs")
    loaded = _loaded(given)
    if saliency.class_name not in loaded.classes:
        nearest = suggest(saliency.class_name, loaded.classes)
        raise ConfigError(f"evaluate: {loaded.name} has no class {saliency.class_name!r}{nearest}")
    config = _changed(loaded.config, "evaluate", extra_metrics=list(extra_metrics))
    record = evaluated(
        saliency.values,
        saliency.picture,
        saliency.class_name,
        [_box(box, saliency) for box in boxes],
        loaded.classifier,
        config,
        saliency.made_by,
    )
    possible = (name for name in COMPUTED if METRICS[name].possible(config.score) is not None)
    shown = (name for name in possible if name not in EXTRA or name in config.extra_metrics)
    return Metrics((name, getattr(record, name)) for name in shown)


def run(
    config: str | Path | Mapping[str, Any] | RunConfig,
    folder: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    devices: Sequence[str] | None = None,
    resume: bool = True,
) -> pd.DataFrame:
    """Run a benchmark, as ``adasise-bench run`` does, and return its records.

    Args:
        config: a YAML file, the name of a configuration that comes with the tool, or what such a file says as
            a mapping.
        folder: run folder; by default ``results/NAME-DIGEST``. A run that was interrupted goes on there.
        settings: changes of the configuration by dotted key, such as ``{"limit": 8, "data.root": "/data"}``.
        devices: one worker for each, such as ``["cuda:0", "cuda:1"]``; by default all GPUs, or the CPU.
        resume: keep what the folder holds; otherwise it is moved aside.

    Returns:
        One row for each explanation, with the columns that ``docs/run-folders.md`` describes.
        ``records.attrs["folder"]`` is the run folder. There is a warning if more explanations failed than
        the configuration tolerates; the column ``error`` says why.

    Raises:
        ConfigError: the configuration cannot be used.
        BenchError: data, weights, device or folder cannot be used; what is done already stays valid.

    Example:
        >>> import tempfile
        >>> from adasise_bench import api
        >>> config = {
        ...     "data": {"root": "embedded", "input_size": 32},
        ...     "models": {"scenes_vgg": {}},
        ...     "methods": ["centre", "random"],
        ... }
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     records = api.run(config, f"{folder}/tiny", settings={"limit": 1}, devices=["cpu"])
        >>> sorted(set(records["method"])), int(records["error"].notna().sum())
        (['centre', 'random'], 0)
    """
    from adasise_bench.run.launchers.choice import choose_launcher
    from adasise_bench.run.runner import default_folder
    from adasise_bench.run.runner import run as run_benchmark

    chosen = _run_config(config, settings or {})
    place = Path(folder) if folder is not None else default_folder(chosen)
    launcher = choose_launcher(chosen, place, "local", devices, None)
    outcome = run_benchmark(chosen, place, resume=resume, launcher=launcher)
    if outcome.errors > chosen.tolerated_errors:
        warnings.warn(
            f"{outcome.errors} of the explanations failed; the column `error` of the records says why",
            stacklevel=2,
        )
    records = load_run(place).records
    records.attrs["folder"] = str(place)
    return records


def load_run(folder: str | Path) -> Results:
    """Read a run folder, finished or not; its files are checked as ``adasise-bench table`` checks them.

    Raises:
        DataError: no run folder, or a file is missing, damaged or was changed.
    """
    from adasise_bench.records import load_run as read

    return Results(read(Path(folder)))


def _loaded(model: str | nn.Module | Model) -> Model:
    return model if isinstance(model, Model) else load_model(model)


def _picture(image: AnyImage) -> tuple[Path, Picture]:
    """A picture, and its name in messages."""
    from adasise_bench.data.pictures import picture_of, read_picture

    if isinstance(image, str | Path):
        return Path(image), read_picture(Path(image))
    return Path("the picture"), picture_of(image)


def _overrides(settings: Mapping[str, Any]) -> list[str]:
    """Settings as ``--set`` takes them; JSON is YAML."""
    return [f"{key}={json.dumps(value, default=str)}" for key, value in settings.items()]


def _changed(config: RunConfig, source: str, **changes: Any) -> RunConfig:
    """The configuration with some of its keys changed, validated; ``source`` names them in messages."""
    from adasise_bench.run.config_file import validate

    return validate(config.written() | changes, source)


def _run_config(config: str | Path | Mapping[str, Any] | RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    from adasise_bench.run.config import RunConfig
    from adasise_bench.run.config_file import apply_overrides, load_config, validate

    if isinstance(config, str | Path):
        return load_config(Path(config), _overrides(settings))
    given = config.written() if isinstance(config, RunConfig) else config
    tree = copy.deepcopy(dict(given))
    apply_overrides(tree, _overrides(settings))
    return validate(tree, "run")


def _box(box: AnyBox, saliency: SaliencyMap) -> Box:
    """A box of the map's class, counted from 1 as VOC does.

    Raises:
        DataError: it is not on the picture.
    """
    from adasise_bench.data.boxes import Box

    if isinstance(box, Box):
        return box
    width, height = saliency.picture.size
    if len(box) != 4 or not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise DataError(
            f"the box {tuple(box)} is not on the picture of {width}x{height} pixels; give left, top, right "
            "and bottom"
        )
    left, top, right, bottom = map(float, box)
    return Box(saliency.class_name, left + 1, top + 1, right, bottom)
