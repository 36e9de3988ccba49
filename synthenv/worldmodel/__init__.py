"""One-shot world models: priors of synthetic environments, and what is learned from them."""
