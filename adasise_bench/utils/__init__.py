"""What every room needs and that knows nothing of saliency: errors, files, devices, time."""
