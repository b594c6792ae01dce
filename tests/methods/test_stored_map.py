"""Maps from files: which file belongs to which pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TinyVGG, make_classifier
from hypothesis import example, given
from hypothesis import strategies as st

from adasise_bench.methods import Request, parse_method
from adasise_bench.methods.stored_map import StoredMap
from adasise_bench.records.maps import save_map
from adasise_bench.records.record import Key
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.timing import PhaseClock

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
CLOCK = PhaseClock(torch.device("cpu"))


def read(method: StoredMap, image_id: str | None, class_name: str) -> torch.Tensor:
    blocks = ("features.1", "features.4", "features.7")
    classifier = make_classifier(TinyVGG(), blocks, (class_name, "b", "c", "d"))
    request = Request(method, torch.zeros(1, 3, 4, 5), 0, image_id=image_id)
    return method.explain(classifier, request, CLOCK).saliency


@example(".a", "dog", "b")
@given(NAMES, NAMES, NAMES)
def test_the_map_that_a_run_saves_is_found_again_whatever_the_names(
    tmp_path_factory: pytest.TempPathFactory, image_id: str, class_name: str, other: str
) -> None:
    folder = tmp_path_factory.mktemp("run")
    saliency = torch.rand(4, 5)
    if (other, image_id) != (image_id, class_name):
        save_map(folder, Key("tiny", "sise", other, image_id), torch.zeros(4, 5))
    save_map(folder, Key("tiny", "sise", image_id, class_name), saliency)
    method = StoredMap(label="sise", folders={"tiny": folder / "maps/tiny/sise"})
    assert torch.equal(read(method, image_id, class_name), saliency)


def test_names_with_slashes_are_folders(tmp_path: Path) -> None:
    (tmp_path / "a/b/pen").mkdir(parents=True)
    np.save(tmp_path / "a/b/pen/pencil.npy", np.eye(4, 5, dtype=np.float32))
    method = StoredMap(label="x", folders={"tiny": tmp_path})
    assert torch.equal(read(method, "a/b", "pen/pencil"), torch.eye(4, 5))


@pytest.mark.parametrize("image_id", ["../elsewhere", "/etc", "..", "."])
def test_names_that_lead_out_of_the_folder_have_no_map(tmp_path: Path, image_id: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "elsewhere/dog.npy", np.eye(4, 5))
    with pytest.raises(BenchError, match="no map"):
        read(StoredMap(label="x", folders={"tiny": tmp_path / "maps"}), image_id, "dog")


def test_a_picture_without_a_name_or_another_network_has_no_map(tmp_path: Path) -> None:
    for method, image_id in (
        (StoredMap(label="x", folders={"tiny": tmp_path}), None),
        (StoredMap(label="x"), "1"),
    ):
        with pytest.raises(BenchError, match="x: no stored maps of tiny"):
            read(method, image_id, "dog")


def test_its_entry_can_be_read_back() -> None:
    entry = {"name": "stored_map", "label": "mine", "folders": {"vgg16": "maps"}, "resize": True}
    assert parse_method(parse_method(entry).model_dump(mode="json")) == parse_method(entry)
    with pytest.raises(ValueError, match=r"stored_map: unknown key 'folder'; did you mean 'folders'"):
        parse_method(entry | {"folder": "maps"})
