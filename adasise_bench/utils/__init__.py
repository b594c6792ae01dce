"""What all other folders need: errors, files, devices, times. Nothing here knows about saliency."""
