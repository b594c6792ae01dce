from pathlib import Path

import pytest
import yaml

from adasise_bench.reporting.published import (
    COCO,
    VOC,
    published,
    published_accuracy,
    published_on,
    published_scores,
    published_table1,
    published_table2,
    sources,
)

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "published.yaml"


def test_table1_of_both_papers() -> None:
    assert published_table1()["resnet50"]["ada_sise"]["ebpg"] == 66.4
    assert published_table1()["vgg16"]["extremal_perturbation"]["seconds"] == 87.42
    assert "miou" not in published_table1()["vgg16"]["sise"]
    assert published_table1("sise")["resnet50"]["sise"]["miou"] == 31.37
    assert published_table1("sise")["vgg16"]["sise"]["seconds"] == 5.9


def test_columns_come_in_the_papers_order() -> None:
    for methods in published_table1().values():
        assert list(methods) == ["extremal_perturbation", "sise", "ada_sise"]


def test_accuracies_stand_beside_all_that_they_may_mean() -> None:
    test, top5 = ("map_eleven_points", "map_area", "top1"), ("top5", "top5_pairs")
    assert published_accuracy("vgg16", VOC) == dict.fromkeys(test, 87.18) | dict.fromkeys(top5, 93.29)
    assert published_accuracy("resnet50", VOC) == dict.fromkeys(test, 87.96) | dict.fromkeys(top5, 93.09)
    assert published_accuracy("resnet50", COCO) == published_accuracy("scenes_vgg", VOC) == {}


def test_table2_is_resnet50s() -> None:
    assert published_table2()["ada_sise"] == [26, 114, 179, 420, 551]
    assert published_table2("vgg16") == {}


def test_ada_sises_figures_come_first_and_sises_fill_in() -> None:
    merged, ours, theirs = published_on(VOC), published_table1(), published_table1("sise")
    for model, methods in theirs.items():
        for method, figures in methods.items():
            for metric, value in figures.items():
                expected = ours[model].get(method, {}).get(metric, value)
                assert merged[model][method][metric] == expected
                if expected != value:
                    assert (model, method, metric) == ("vgg16", "sise", "seconds")
        assert merged[model]["ada_sise"] == ours[model]["ada_sise"]
    assert published_on(COCO) == published_scores("sise", "coco2014")
    assert published_on("VOC 2012 val") == published_on("drawn scenes") == {}
    assert published_table2(data=COCO) == {}


def test_sources_are_named_where_something_is_shown() -> None:
    both = [("vgg16", "sise", "miou"), ("vgg16", "sise", "ebpg"), ("vgg16", "mine", "ebpg")]
    assert [text.split(",")[0] for text in sources(VOC, both)] == ["arXiv 2102.07799", "arXiv 2010.00672"]
    assert list(sources(VOC, both[2:])) == list(sources("own", both)) == []
    assert "slides" in next(sources(COCO, both))


def test_unknown_paper_is_refused() -> None:
    with pytest.raises(KeyError):
        published("lime")


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference figures are not beside this checkout")
def test_every_figure_equals_the_reference() -> None:
    reference = yaml.safe_load(REFERENCE.read_text())
    ada_sise, sise = reference["ada_sise"], reference["sise"]
    assert published_table1("ada_sise") == ada_sise["table1"]
    assert published_table2() == ada_sise["table2"]
    assert published("ada_sise")["model_accuracy"] == ada_sise["model_accuracy"]
    figure4 = published("ada_sise")["figure4"]
    assert ada_sise["figure4"] == {
        "sise_seconds": figure4["seconds"]["sise"],
        "ada_sise_seconds": figure4["seconds"]["ada_sise"],
        "images": figure4["images"],
        "device": figure4["device"],
    }
    assert published_table1("sise") == sise["table1"]
    assert published_scores("sise", "coco2014") == sise["coco2014"]
    ablation = published_scores("sise", "mu_ablation")["resnet50"]
    assert {float(mu): row for mu, row in ablation.items()} == sise["mu_ablation"]
    assert set(reference) == {"ada_sise", "sise"}
    assert set(ada_sise) == set(published("ada_sise")) - {"source"}
    assert set(sise) == set(published("sise")) - {"source", "model_top5"}
    assert published("sise")["model_top5"] == {"vgg16": 93.29, "resnet50": 93.09}
