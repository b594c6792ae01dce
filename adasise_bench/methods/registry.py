"""The saliency methods by name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from adasise_bench.methods.base import Method


class MethodEntry(NamedTuple):
    """One method: where its class is, one line about it, and the name of its definition.

    The definition names what the method computes with its default options. A change that moves the maps by
    more than rounding takes a new name. A control does not look at the network: tables show it, but never
    mark it as the best. Tables and figures print the title; without one, the name.
    """

    location: str
    summary: str
    definition: str
    control: bool = False
    title: str = ""

    def load(self) -> type[Method]:
        """Import the method's options class."""
        module, _, attribute = self.location.partition(":")
        loaded: type[Method] = getattr(import_module(module), attribute)
        return loaded


STORED_MAP: Literal["stored_map"] = "stored_map"
"""The name of an entry under ``methods`` whose maps are read. Only ``adasise-bench measure`` writes it."""

METHODS: Mapping[str, MethodEntry] = {
    "sise": MethodEntry(
        "adasise_bench.methods.sise.sise:Sise",
        "SISE: feature maps with positive gradient as masks, fused over blocks (arXiv 2010.00672)",
        "sise-v1",
        title="SISE",
    ),
    "ada_sise": MethodEntry(
        "adasise_bench.methods.sise.sise:AdaSise",
        "Ada-SISE: SISE with an adaptive threshold on the maps' gradients (arXiv 2102.07799)",
        "ada-sise-v1",
        title="Ada-SISE",
    ),
    "extremal_perturbation": MethodEntry(
        "adasise_bench.methods.extremal_perturbation.extremal_perturbation:ExtremalPerturbation",
        "Extremal Perturbation: optimised masks with areas of the frame (Fong et al., ICCV 2019)",
        "extremal-perturbation-v1",
        title="Extremal Perturbation",
    ),
    "cam": MethodEntry(
        "adasise_bench.methods.cam.cam:Cam",
        "CAM: the averaged maps by the linear layer's weights (Zhou et al., CVPR 2016)",
        "cam-v1",
        title="CAM",
    ),
    "grad_cam": MethodEntry(
        "adasise_bench.methods.cam.grad_cam:GradCam",
        "Grad-CAM: maps weighted by mean gradients (Selvaraju et al., ICCV 2017)",
        "grad-cam-v1",
        title="Grad-CAM",
    ),
    "grad_cam_pp": MethodEntry(
        "adasise_bench.methods.cam.grad_cam:GradCamPlusPlus",
        "Grad-CAM++: positive gradients weighted by position (Chattopadhyay et al., WACV 2018)",
        "grad-cam-pp-v1",
        title="Grad-CAM++",
    ),
    "hires_cam": MethodEntry(
        "adasise_bench.methods.cam.hires_cam:HiResCam",
        "HiResCAM: maps weighted by the gradient of each position (Draelos & Carin, arXiv 2011.08891)",
        "hires-cam-v1",
        title="HiResCAM",
    ),
    "layer_cam": MethodEntry(
        "adasise_bench.methods.cam.layer_cam:LayerCam",
        "LayerCAM: maps weighted by the positive gradient of each position (Jiang et al., TIP 2021)",
        "layer-cam-v1",
        title="LayerCAM",
    ),
    "refine_cam": MethodEntry(
        "adasise_bench.methods.cam.refine_cam:RefineCam",
        "RefineCAM: product of several layers' Grad-CAM++ maps (Domeniconi et al., arXiv 2605.14641)",
        "refine-cam-v1",
        title="RefineCAM",
    ),
    "score_cam": MethodEntry(
        "adasise_bench.methods.cam.score_cam:ScoreCam",
        "Score-CAM: maps weighted by the score of the input they mask (Wang et al., CVPRW 2020)",
        "score-cam-v1",
        title="Score-CAM",
    ),
    "ablation_cam": MethodEntry(
        "adasise_bench.methods.cam.ablation_cam:AblationCam",
        "Ablation-CAM: maps weighted by the fall of the output without them (Desai, WACV 2020)",
        "ablation-cam-v1",
        title="Ablation-CAM",
    ),
    "gradient": MethodEntry(
        "adasise_bench.methods.gradients.gradient:Gradient",
        "Gradient: magnitude of the raw output's gradient at each pixel (Simonyan et al., arXiv 1312.6034)",
        "gradient-v1",
        title="Gradient",
    ),
    "integrated_gradients": MethodEntry(
        "adasise_bench.methods.gradients.integrated_gradients:IntegratedGradients",
        "Integrated Gradients from the mean colour, 50 steps (Sundararajan et al., arXiv 1703.01365)",
        "integrated-gradients-v1",
        title="Integrated Gradients",
    ),
    "full_grad": MethodEntry(
        "adasise_bench.methods.gradients.full_grad:FullGrad",
        "FullGrad: gradients of the input and of all biases (Srinivas & Fleuret, arXiv 1905.00780)",
        "full-grad-v1",
        title="FullGrad",
    ),
    "lrp": MethodEntry(
        "adasise_bench.methods.gradients.lrp:Lrp",
        "LRP: z+ rule, flat at the first layer, ε in linear layers (Kohlbrenner et al., arXiv 1910.09840)",
        "lrp-v1",
        title="LRP",
    ),
    "random": MethodEntry(
        "adasise_bench.methods.controls:Random",
        "control: uniform noise",
        "random-v1",
        control=True,
        title="Random",
    ),
    "centre": MethodEntry(
        "adasise_bench.methods.controls:Centre",
        "control: Gaussian in the middle of the picture",
        "centre-v1",
        control=True,
        title="Centre Gaussian",
    ),
    "edge": MethodEntry(
        "adasise_bench.methods.controls:Edge",
        "control: edges of the grey picture (Sobel)",
        "edge-v1",
        control=True,
        title="Edge detector",
    ),
    "box_oracle": MethodEntry(
        "adasise_bench.methods.controls:BoxOracle",
        "control: the class's own boxes, which no method may know",
        "box-oracle-v1",
        control=True,
        title="Box oracle",
    ),
    "rise": MethodEntry(
        "adasise_bench.methods.rise.rise:Rise",
        "RISE: random masks weighted by the score they leave (Petsiuk et al., BMVC 2018)",
        "rise-v1",
        title="RISE",
    ),
    "information_bottleneck": MethodEntry(
        "adasise_bench.methods.information_bottleneck.information_bottleneck:InformationBottleneck",
        "Information Bottleneck Attribution: bits that must pass a layer (Schulz et al., ICLR 2020)",
        "information-bottleneck-v1",
        title="Information Bottleneck",
    ),
}
