"""The package's layers: which rooms there are, and that every import between them points downwards.

Run as a script, this file prints the rooms, the floors that they stand on and the arrows between them::

    python tests/test_layers.py
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "adasise_bench"
ORDER: tuple[set[str], ...] = (
    {"utils"},
    {"data"},
    {"models"},
    {"methods", "metrics"},
    {"records"},
    {"reporting"},
    {"regression", "run"},
    {"cli", "api"},
)
"""The rooms from the lowest floor to the highest. Rooms of the same floor do not import each other."""

MOST_ROOMS = 12
MOST_FLOORS = 9
LOOSE = {"api.py"}
"""The only modules that may stand beside the folders, apart from the package's own two."""

Graph = dict[str, set[str]]


def rooms_of(package: Path) -> set[str]:
    """The folders and modules at the top of the package, by file name."""
    entries = {path.name for path in package.iterdir() if path.suffix == ".py" or any(path.rglob("*.py"))}
    return entries - {"__init__.py", "__main__.py"}


def imports_of(package: Path) -> Graph:
    """The modules of the package that each of its modules imports.

    An import counts wherever it stands: in a function, and under ``TYPE_CHECKING``, too. That Python runs
    the ``__init__`` of every folder on the way to a module does not count, for only the names do.
    """
    modules = {_dotted(file, package): file for file in package.rglob("*.py")}
    return {name: set(_imported(name, file, modules)) - {name} for name, file in modules.items()}


def arrows_between(imports: Graph, package: str) -> Graph:
    """The rooms that each room imports."""
    arrows: Graph = {}
    for module, targets in imports.items():
        if (here := _room(module)) not in {package, "__main__"}:
            arrows.setdefault(here, set()).update({_room(target) for target in targets} - {here, package})
    return arrows


def upward(arrows: Graph) -> list[str]:
    """The arrows that do not point to a lower floor."""
    floor = {room: number for number, rooms in enumerate(ORDER) for room in rooms}
    pairs = [(room, target) for room, targets in arrows.items() for target in targets]
    return sorted(f"{room} -> {target}" for room, target in pairs if floor[room] <= floor[target])


def circle_in(imports: Graph) -> list[str]:
    """The modules of one import circle, the first one repeated at its end; empty where there is none."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def described(imports: Graph, package: str) -> str:
    """The rooms by floor, from the highest, with the rooms that each imports, and every fault."""
    arrows = arrows_between(imports, package)
    lines = [
        f"{len(arrows)} rooms on {len(ORDER)} floors, {sum(map(len, arrows.values()))} arrows between them",
        f"upward: {', '.join(upward(arrows)) or 'none'}",
        f"circle: {' -> '.join(circle_in(imports)) or 'none'}",
    ]
    for floor, rooms in reversed(list(enumerate(ORDER, 1))):
        lines += [
            f"{floor} {room} -> {', '.join(sorted(arrows[room]))}" for room in sorted(rooms & set(arrows))
        ]
    return "\n".join(lines) + "\n"


def _dotted(file: Path, package: Path) -> str:
    return ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def _imported(name: str, file: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    folder = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), folder)
            names = [f"{source}.{alias.name}" for alias in node.names]
            found = {name if name in modules else source for name in names}
            yield from found & set(modules)


def _room(module: str) -> str:
    return ".".join(module.split(".")[:2]).rpartition(".")[2]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A package of three rooms without a fault."""
    package = tmp_path / "adasise_bench"
    for room in ("utils", "data", "models"):
        (package / room).mkdir(parents=True)
        (package / room / "__init__.py").write_text(f'"""The {room}."""\n')
    (package / "__init__.py").write_text("")
    (package / "utils/files.py").write_text("import os\n")
    (package / "data/voc.py").write_text("from adasise_bench.utils import files\n")
    (package / "models/network.py").write_text("from adasise_bench.data.voc import files\n")
    return package


def test_there_are_few_rooms_and_all_have_a_floor() -> None:
    rooms = rooms_of(PACKAGE)
    assert len(rooms) <= MOST_ROOMS
    assert {room for room in rooms if room.endswith(".py")} <= LOOSE
    assert {room.removesuffix(".py") for room in rooms} <= set.union(*ORDER)


def test_every_import_between_rooms_points_downwards() -> None:
    assert len(ORDER) <= MOST_FLOORS
    assert upward(arrows_between(imports_of(PACKAGE), PACKAGE.name)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle_in(imports_of(PACKAGE)) == []


@pytest.mark.parametrize(
    "line",
    [
        "from adasise_bench.models.network import files",
        "from adasise_bench.models import network",
        "import adasise_bench.models.network",
        "from ..models import network",
        "def late():\n    from adasise_bench import models",
        "if TYPE_CHECKING:\n    from adasise_bench.models.network import files",
    ],
)
def test_an_import_from_above_is_found_wherever_it_stands(planted: Path, line: str) -> None:
    assert upward(arrows_between(imports_of(planted), planted.name)) == []
    (planted / "utils/files.py").write_text(f"{line}\n")
    assert upward(arrows_between(imports_of(planted), planted.name)) == ["utils -> models"]


def test_rooms_of_the_same_floor_may_not_import_each_other() -> None:
    assert upward({"methods": {"metrics"}, "metrics": {"models"}, "models": set()}) == ["methods -> metrics"]


def test_a_circle_is_found_inside_a_room_too(planted: Path) -> None:
    assert circle_in(imports_of(planted)) == []
    (planted / "data/coco.py").write_text("from adasise_bench.data.voc import VOC\n")
    (planted / "data/voc.py").write_text("def late():\n    from adasise_bench.data import coco\n")
    assert set(circle_in(imports_of(planted))) == {"adasise_bench.data.voc", "adasise_bench.data.coco"}


def test_a_loose_module_counts_as_a_room(planted: Path) -> None:
    (planted / "helpers.py").write_text("")
    (planted / "__main__.py").write_text("")
    (planted / "__pycache__").mkdir()
    assert rooms_of(planted) == {"utils", "data", "models", "helpers.py"}


def test_the_description_tells_floors_arrows_and_faults(planted: Path) -> None:
    (planted / "utils/files.py").write_text("from adasise_bench import models\n")
    assert described(imports_of(planted), planted.name).splitlines() == [
        "3 rooms on 8 floors, 3 arrows between them",
        "upward: utils -> models",
        "circle: none",
        "3 models -> data",
        "2 data -> utils",
        "1 utils -> models",
    ]


if __name__ == "__main__":
    sys.stdout.write(described(imports_of(PACKAGE), PACKAGE.name))
