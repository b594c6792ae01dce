"""Class activation maps: weighted feature maps (CAM, Grad-CAM, Score-CAM, Ablation-CAM and others)."""
