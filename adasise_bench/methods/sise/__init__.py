"""SISE and Ada-SISE: feature maps as masks, chosen by their gradients and fused over the blocks."""
