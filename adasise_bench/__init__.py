"""Benchmark of saliency methods on PASCAL VOC 2007, after Ada-SISE (arXiv 2102.07799)."""

__version__ = "0.1.0"
