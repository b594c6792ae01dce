"""Class activation maps: one layer's feature maps, weighted in the way of CAM, Grad-CAM, Score-CAM or Ablation-CAM."""
