"""Class activation maps: the weighted feature maps of one layer (CAM, Grad-CAM, Score-CAM, Ablation-CAM)."""
