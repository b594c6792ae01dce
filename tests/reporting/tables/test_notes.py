"""The notes under the tables."""

from pathlib import Path
from typing import Any

import pytest
from table_runs import Folder, build, record

from adasise_bench.records.run import load_run
from adasise_bench.reporting.tables import tables_by_network, title_of


def test_notes_say_what_limits_the_comparison(folder: Folder) -> None:
    def weaken(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["models"]["resnet50"].update(published=False, weights_file="mine.pt")
        environment["data"].update(embedded=True, full_images=4952, full_pairs=7632)

    records = [
        record("sise", "1", ebpg=1.0, seconds=0.5, degenerate=True),
        record("sise", "1", "cat", error="boom\n\x1b[31m" + "long " * 100),
        record("sise", "2", None, error="unreadable"),
    ]
    notes = build(folder(records, change=weaken)).notes
    assert notes[0].startswith("Errors: 2 (SISE 2), among them: boom [31mlong")
    assert notes[0].endswith("...; unreadable")
    assert notes[1:4] == (
        "ResNet-50: no best value is marked, because SISE is the only method with a value.",
        "Not comparable with the papers' numbers: ResNet-50 is not the published model but mine.pt, "
        "SHA-256 9ca920d69ca9; drawn scenes, not photographs.",
        "Published: arXiv 2102.07799; where it has no number: arXiv 2010.00672, run-times from its authors' "
        "slides. Run-times: NVIDIA Tesla T4 16 GB, 100 images.",
    )
    (run,) = (note for note in notes if note.startswith("run: "))
    assert run == (
        "run: VOC 2007 test, input 224 px (stretch), score softmax, Some CPU (cpu), fp32, torch 2.8.0, "
        "adasise-bench 0.1.0 (commit abc123)."
    )
    assert "Definitions: ebpg-box-union-v1." in notes
    assert "Degenerate maps (all pixels equal): 1." in notes
    assert all(note.isprintable() for note in notes)


def test_notes_name_options_that_are_not_the_defaults(folder: Folder) -> None:
    def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
        config["models"]["vgg16"]["blocks"] = "pool-output"
        environment["methods"]["sise"] = {"fusion": "soft", "mu": 0.3}

    records = [record("sise", "1"), record("mine", "1", model="vgg16")]
    notes = build(folder(records, change=change)).notes
    said = "VGG16: feature maps are read at the pool-output side of the blocks."
    assert "SISE: options that are not the default: fusion=soft, mu=0.3." in notes
    assert said in notes
    assert said not in build(folder(records[:1], "without", change)).notes  # no explanation of VGG16


def test_published_figures_are_sourced_only_where_shown(folder: Folder) -> None:
    kept = folder([record("sise", "1", maps_kept=[1, 2, 3, 4, 5])], "kept")
    assert any("Map counts: means over 500 images." in note for note in build(kept).notes)
    own = build(folder([record("mine", "1", ebpg=1.0, seconds=1.0)], "own")).notes
    assert not any("ublished" in note for note in own)


def test_run_time_counts_pairs_of_one_method(folder: Folder) -> None:
    """Of one machine, the note on the run tells; where there are several, each is named with its pairs."""

    def on_gpu(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["device_name"] = "Tesla T4"

    def told(*paths: Path) -> str:
        (note,) = (note for note in build(*paths).notes if note.startswith("Run-time was measured"))
        return note

    records = [record(method, image, seconds=1.0) for method in ("mine", "sise") for image in "123"]
    alone = folder(records, "alone")
    assert not any("measured on" in note for note in build(alone).notes)
    other = folder([record("ada_sise", image, seconds=1.0) for image in "12"], "other", on_gpu)
    measured = "Run-time was measured on"
    assert told(alone, other) == f"{measured} Some CPU, fp32 (3 pairs); Tesla T4, fp32 (2 pairs)."
    fewer = folder(records[:-1], "fewer")
    assert "Some CPU, fp32 (2 to 3 pairs, depending on the method)" in told(fewer, other)


def test_complete_published_run_needs_no_warning(folder: Folder) -> None:
    records = [record("sise", image, name) for image, name in (("1", "dog"), ("1", "cat"), ("2", "dog"))]
    notes = build(folder(records)).notes
    assert not any("comparable" in note or "image" in note.replace("100 images", "") for note in notes)
    assert not any("Errors" in note or "Run-time was" in note for note in notes)
    assert not any(table.deviations for table in build(folder(records, "again")).tables)


def test_coverage_of_unknown_size_and_of_an_unfinished_run(folder: Folder) -> None:
    def unknown_pairs(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["data"].update(full_images=4952, full_pairs=None)

    def own_size(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["data"].update(full_images=None, full_pairs=None)

    records = [record("mine", "1")]
    assert "ResNet-50: 1 of 4952 images (1 pair)." in build(folder(records, "a", unknown_pairs)).notes
    assert "ResNet-50: 1 of 2 images (1 of 3 pairs)." in build(folder(records, "b", own_size)).notes


def test_definitions_are_of_what_was_measured(folder: Folder) -> None:
    def define(_: dict[str, Any], environment: dict[str, Any]) -> None:
        names = ("ebpg", "pointing", "insertion", "seconds", "sise", "models.resnet50", "models.vgg16")
        environment["definitions"] = {name: f"{name}-x" for name in names}

    def definitions(path: Path, **options: Any) -> str:
        (note,) = [note for note in build(path, **options).notes if note.startswith("Definitions: ")]
        return note

    path = folder([record("sise", "1", ebpg=1.0, pointing=100.0, seconds=2.0)], change=define)
    assert definitions(path) == "Definitions: ebpg-x, models.resnet50-x, seconds-x, sise-x."
    pointing = definitions(path, metrics=["pointing"])
    assert pointing == "Definitions: models.resnet50-x, pointing-x, sise-x."
    assert "seconds-x" in definitions(path, metrics=["seconds_median"])


def test_tables_of_one_network_have_notes_on_it_alone(folder: Folder) -> None:
    def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
        config["models"]["vgg16"]["blocks"] = "pool-output"
        environment["definitions"] = {"models.resnet50": "res-x", "models.vgg16": "vgg-x", "ebpg": "ebpg-x"}

    both = [record("mine", str(k), model=model, score=score, ebpg=1.0)
            for k in range(2) for model, score in (("resnet50", 0.999), ("vgg16", 1e-3))]  # fmt: skip
    first = folder(both, "both", change)
    second = folder([record("yours", "0", model="vgg16", bbox=1.0)], "second", change)
    apart = tables_by_network([load_run(first), load_run(second)])
    together = build(first, second)
    assert [table for own in apart.values() for table in own.tables] == list(together.tables)
    assert list(apart) == ["vgg16", "resnet50"]
    notes = {model: "\n".join(own.notes) for model, own in apart.items()}
    for text in ("VGG16", "vgg-x", "pool-output"):
        assert text in notes["vgg16"]
        assert text not in notes["resnet50"]
    for text in ("ResNet-50", "res-x"):
        assert text in notes["resnet50"]
        assert text not in notes["vgg16"]
    every = "\n".join(together.notes)
    assert all(text in every for text in ("VGG16", "ResNet-50", "vgg-x", "res-x"))


def test_areas_of_the_frame_are_called_so(folder: Folder) -> None:
    def change(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["methods"] += [
            {"name": "extremal_perturbation", "label": "extremal_perturbation"},
            {"name": "extremal_perturbation", "label": "ep_picture", "areas_of": "picture"},
        ]

    notes = build(folder([record("extremal_perturbation", "1", ebpg=1.0)], change=change)).notes
    (note,) = [note for note in notes if "of the frame" in note]
    assert note.startswith("Extremal Perturbation: areas are shares of the frame")


def test_definitions_are_those_of_the_runs_methods(folder: Folder) -> None:
    def as_now(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["definitions"] = {"ebpg": "ebpg-v9", "sise": "sise-v9", "rise": "rise-v9"}

    notes = build(folder([record("sise", "1", ebpg=1.0)], change=as_now)).notes
    (note,) = [note for note in notes if note.startswith("Definitions")]
    assert note == "Definitions: ebpg-v9, sise-v9."


def test_explanations_whose_masks_were_scored_in_fp32_after_all_are_counted(folder: Folder) -> None:
    records = [
        record("sise", "1", ebpg=40.0, mask_precision="int8"),
        record("sise", "2", ebpg=40.0, mask_precision="fp32"),
        record("mine", "1", ebpg=40.0, mask_precision="int8"),
        record("mine", "2", error="out of memory"),
    ]
    path = folder(records, change=lambda _, environment: environment.update(precision="int8"))
    assert [note for note in build(path).notes if "masks were scored" in note] == [
        "In 1 of 3 explanations the masks were scored in fp32, because int8 disagreed on a sample of them."
    ]
    exact = folder([record("sise", "1", ebpg=40.0)], "exact")
    assert not [note for note in build(exact).notes if "masks were scored" in note]


def test_every_method_that_failed_is_named_once_with_its_number(folder: Folder) -> None:
    records = [
        record(method, image, model=model, error=f"no memory for {image}")
        for model in ("resnet50", "vgg16")
        for method, images in (("sise", "123"), ("mine", "1"))
        for image in images
    ]
    records.append(record("ada_sise", "1", ebpg=1.0))
    (note,) = (note for note in build(folder(records)).notes if note.startswith("Errors"))
    texts = "no memory for 1; no memory for 2; no memory for 3"
    assert note == f"Errors: 8 (SISE 6, mine 2), among them: {texts}"


def test_the_only_method_that_could_be_the_best_is_the_reason_for_no_mark(folder: Folder) -> None:
    def with_control(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["methods"] += [{"name": "box_oracle", "label": "bound"}]

    records = [record(method, "1", ebpg=value) for method, value in (("sise", 10.0), ("bound", 100.0))]
    notes = build(folder(records, change=with_control)).notes
    reason = "because SISE is the only method with a value that is not a control"
    assert f"ResNet-50: no best value is marked, {reason}." in notes
    alone = build(folder(records[:1], "alone")).notes
    assert "ResNet-50: no best value is marked, because SISE is the only method with a value." in alone
    assert not any("different" in note for note in [*notes, *alone])


def test_rows_without_a_mark_tell_their_own_reasons(folder: Folder) -> None:
    def on_gpu(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["device_name"] = "Tesla T4"

    first = folder([record("sise", "1", ebpg=1.0, bbox=1.0, drop=3.0, seconds=2.0)], "first")
    other = [record("mine", "1", ebpg=2.0, bbox=None, drop=3.0, seconds=1.0)]
    other.append(record("ada_sise", "2", ebpg=3.0))
    notes = build(first, folder(other, "other", on_gpu)).notes
    unmarked = [note for note in notes if "no best value" in note]
    begin, because = "ResNet-50: no best value is marked in", "because the methods were measured on different"
    assert unmarked == [
        f"{begin} EBPG, %, {because} pairs.",
        f"{begin} Bbox, %, because SISE is the only method with a value.",
        f"{begin} Run-time, s, {because} devices.",
    ]


def test_shared_forward_passes_are_the_reason_for_missing_run_times(folder: Folder) -> None:
    def sharing(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["share_forwards"] = True

    records = [record(method, "1", ebpg=1.0) for method in ("sise", "mine")]
    expected = "Run-time: none of SISE, mine, because share_forwards explains several pairs together."
    shared = folder(records, "shared", sharing)
    assert expected in build(shared).notes
    assert not any("share_forwards" in note for note in build(shared, metrics=["ebpg"]).notes)
    timed = folder([record(method, "1", seconds=1.0) for method in ("sise", "mine")], "timed")
    assert not any("share_forwards" in note for note in build(timed, shared).notes)
    failed = folder([record("sise", "1", error="gone")], "failed")
    assert not any("share_forwards" in note for note in build(failed).notes)


def test_what_runs_or_networks_have_in_common_is_said_once(folder: Folder) -> None:
    def on_gpu(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment.update(device_name="Tesla T4", device="cuda")

    here = folder([record("mine", "1", model=model, ebpg=1.0) for model in ("resnet50", "vgg16")], "here")
    there = folder([record("mine", "2", ebpg=1.0)], "there", on_gpu)
    notes = build(here, there).notes
    (run,) = (note for note in notes if note.startswith("here, there: "))
    assert run == (
        "here, there: VOC 2007 test, input 224 px (stretch), score softmax, fp32, torch 2.8.0, "
        "adasise-bench 0.1.0 (commit abc123); here: Some CPU (cpu); there: Tesla T4 (cuda)."
    )
    (covered,) = (note for note in build(here).notes if "of 2 images" in note)
    assert covered == "VGG16, ResNet-50: 1 of 2 images (1 of 3 pairs)."


def test_no_two_notes_say_the_same(folder: Folder) -> None:
    def weaken(_: dict[str, Any], environment: dict[str, Any]) -> None:
        for weights in environment["models"].values():
            weights["published"] = False
        environment["data"]["embedded"] = True
        environment["methods"] = {name: {"mu": 0.3} for name in ("sise", "ada_sise", "mine")}

    records = [
        record(method, "1", model=model, ebpg=1.0, seconds=1.0, score=1.0)
        for method in ("sise", "ada_sise", "mine")
        for model in ("resnet50", "vgg16")
    ]
    notes = build(folder(records, change=weaken)).notes
    for words in ("comparable", "mu=0.3", "Some CPU", "arXiv 2102.07799", "Tesla", "drawn"):
        assert sum(words in note for note in notes) == 1, words
        assert sum(note.count(words) for note in notes) == 1, words


def test_the_side_of_the_blocks_is_said_once(folder: Folder) -> None:
    """At the table where it has published numbers, and else in a note."""

    def change(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["models"]["resnet50"]["blocks"] = "pool-output"

    said = "pool-output side of the blocks"
    with_published = build(folder([record("sise", "1", ebpg=1.0)], "published", change))
    assert said in "".join(with_published.tables[0].deviations)
    assert not any(said in note for note in with_published.notes)
    without = build(folder([record("mine", "1", ebpg=1.0)], "own", change))
    assert without.tables[0].deviations == ()
    assert sum(said in note for note in without.notes) == 1


def test_scores_far_from_their_ends_need_no_note(folder: Folder) -> None:
    middle = build(folder([record("sise", str(k), ebpg=1.0, score=0.5) for k in range(3)], "middle"))
    assert not any("the score of the class" in note for note in middle.notes)
    end = build(folder([record("sise", str(k), ebpg=1.0, score=0.5 + 0.499 * k) for k in range(2)], "end"))
    (note,) = (note for note in end.notes if "the score of the class" in note)
    assert "under 0.01 in 0 (0.0 %) and over 0.99 in 1 (50.0 %)" in note
    assert "`" not in note  # which a paper's reader would not understand


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("ada_sise_otsu", "Ada-SISE otsu"),
        ("sise_mu_0.3", "SISE mu 0.3"),
        ("grad_cam_pp_x", "Grad-CAM++ x"),
        ("my_sise", "my_sise"),
        ("sise_", "sise_"),
        ("sise__x", "sise__x"),
        ("sise_x_", "sise_x_"),
        ("sise2", "sise2"),
    ],
)
def test_a_label_that_begins_with_a_method_begins_with_its_title(label: str, title: str) -> None:
    assert title_of(label) == title
