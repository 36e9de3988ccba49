"""Random tasks that the small model is pretrained on."""
