"""Random networks and mechanics that the paper's model is pretrained on, as the released code draws them."""
