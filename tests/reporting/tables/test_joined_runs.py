"""Several run folders in one table."""

from collections.abc import Callable
from typing import Any

import pytest
from joined_frames import combine
from table_runs import Folder, build, record

from adasise_bench.records.run import load_run
from adasise_bench.utils.errors import ConfigError

DISAGREEMENTS: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "weights": lambda _, environment: environment["models"]["resnet50"].update(weights_sha256="0" * 64),
    "score": lambda config, _: config.update(score="logit"),
    "data.input_size": lambda config, _: config["data"].update(input_size=64),
    "data.resize": lambda config, _: config["data"].update(resize="short-side"),
    "blocks": lambda config, _: config["models"]["resnet50"].update(blocks="pool-output"),
    "data": lambda _, environment: environment["data"].update(name="drawn scenes"),
    "ada_sise.selector": lambda config, _: config["methods"][0].update(selector="otsu"),
    "precision": lambda _, environment: environment.update(precision="bf16"),
    "adasise-bench": lambda _, environment: environment["tool"].update(version="0.2.0"),
    "definition of ebpg": lambda _, environment: environment["definitions"].update(ebpg="other-v1"),
    "pictures \\(SHA-256\\)": lambda _, environment: environment["data"].update(fingerprint="00"),
    "data.classes.1": lambda _, environment: environment["data"].update(classes=["dog", "tail"]),
    "network.classes.0": lambda _, environment: environment["models"]["resnet50"].update(
        classes=["cat", "dog"]
    ),
    "network.preprocessing.scale": lambda _, environment: environment["models"]["resnet50"].update(
        preprocessing={"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "scale": 1}
    ),
    "network.blocks": lambda _, environment: environment["models"]["resnet50"].update(blocks=["layer4"]),
}


def told(_config: dict[str, Any], environment: dict[str, Any]) -> None:
    """What runs of this version tell of their data and networks, and earlier ones did not."""
    environment["data"] |= {"fingerprint": "ff", "classes": ["dog", "cat"]}
    preprocessing = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "scale": 255}
    environment["models"]["resnet50"] |= {
        "classes": ["dog", "cat"], "preprocessing": preprocessing, "blocks": ["layer3", "layer4"]
    }  # fmt: skip


def test_combine_takes_the_first_value_in_the_order_given(folder: Folder) -> None:
    accuracy = folder([record("sise", "1", ebpg=40.0), record("sise", "2", None, error="torn")], "accuracy")

    def on_gpu(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["device_name"] = "Tesla T4"

    timing = folder(
        [
            record("sise", "1", ebpg=41.0, seconds=9.0, maps_kept=[1, 2, 3, 4, 5]),
            record("sise", "2", None, error="gone"),
            record("sise", "3", ebpg=5.0),
        ],
        "timing",
        on_gpu,
    )
    records = combine([load_run(accuracy), load_run(timing)])
    assert records["image_id"].tolist() == ["1", "2", "3"]
    assert records["ebpg"].dropna().tolist() == [40.0, 5.0]
    assert list(records["maps_kept"][0]) == [1, 2, 3, 4, 5]
    assert records["error"].dropna().tolist() == ["torn"]
    notes = build(accuracy, timing).notes
    assert "Run-time was measured on Tesla T4, fp32 (1 pair)." in notes
    assert any("Run-times: NVIDIA Tesla T4 16 GB, 100 images." in note for note in notes)


def test_run_times_of_a_method_come_from_one_run(folder: Folder) -> None:
    accuracy = folder(
        [
            record(method, image, seconds=3.0, seconds_fusion=1.0)
            for method in ("sise", "mine")
            for image in "12"
        ],
        "accuracy",
    )
    timing = folder([record("sise", "1", seconds=9.0)], "timing")
    records = combine([load_run(timing), load_run(accuracy)]).set_index(["method", "image_id"])
    assert records["seconds"].dropna().to_dict() == {
        ("sise", "1"): 9.0,
        ("mine", "1"): 3.0,
        ("mine", "2"): 3.0,
    }
    assert records["seconds_fusion"].dropna().index.tolist() == [("mine", "1"), ("mine", "2")]
    assert records["timed_on"].notna().tolist() == records["seconds"].notna().tolist()


def test_an_error_does_not_outlive_an_explanation(folder: Folder) -> None:
    failed = folder([record("sise", "1", error="torn"), record("sise", "2", error="gone")], "failed")
    mended = folder([record("sise", "1", score=0.5, ebpg=3.0)], "mended")
    for order in ((failed, mended), (mended, failed)):
        records = combine([load_run(path) for path in order]).set_index("image_id")
        assert records["error"].dropna().to_dict() == {"2": "gone"}


def test_runs_of_earlier_versions_join_those_that_tell_more(folder: Folder) -> None:
    earlier = load_run(folder([record("sise", "1", ebpg=10.0)], "earlier"))
    now = load_run(folder([record("ada_sise", "1", ebpg=20.0)], "now", told))
    assert sorted(combine([earlier, now])["ebpg"]) == [10.0, 20.0]


@pytest.mark.parametrize("setting", DISAGREEMENTS)
def test_runs_that_disagree_are_refused(folder: Folder, setting: str) -> None:
    one = load_run(folder([record("sise", "1")], "one", told))
    two = load_run(
        folder([record("sise", "1")], "two", lambda *both: (told(*both), DISAGREEMENTS[setting](*both)))
    )
    with pytest.raises(ConfigError, match=rf"differ in {setting} of resnet50: .+ and .+") as caught:
        combine([one, two])
    assert "\n" not in str(caught.value)


def test_runs_of_different_models_may_differ(folder: Folder) -> None:
    def only(model: str, score: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
        def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
            config["score"] = score
            environment["models"] = {model: environment["models"][model]}

        return change

    one = folder([record("sise", "1")], "one", only("resnet50", "softmax"))
    two = folder([record("sise", "1", model="vgg16")], "two", only("vgg16", "logit"))
    assert len(combine([load_run(one), load_run(two)])) == 2
