"""Static shape of a proxy. Imports nothing heavy, so that ``synthenv --help`` stays quick."""

from typing import Literal, NamedTuple


class SyntheticConfig(NamedTuple):
    """Networks and episodes of a synthetic environment.

    Attributes:
        form: mdp has state, reward and done networks; bandit has an initial-state and a reward network and
            episodes of one step.
        hidden_size: Units per hidden layer of every network.
        depth: Hidden layers of every network.
        activation: Activation of every hidden layer.
        done: raw passes 1 - (linear done output) on as the bootstrap factor, as the released code does (it may
            leave [0, 1]); threshold passes 0 or 1; never has no done network and ends episodes at the time
            limit only. With raw and threshold an episode ends when the output exceeds 0.5.
        reset: real draws initial states from the real task; learned from a network fed with noise.
        max_steps: Length of a synthetic episode.
    """

    form: Literal["mdp", "bandit"] = "mdp"
    hidden_size: int = 128
    depth: int = 1
    activation: Literal["tanh", "relu", "leaky_relu", "prelu"] = "leaky_relu"
    done: Literal["raw", "threshold", "never"] = "raw"
    reset: Literal["real", "learned"] = "real"
    max_steps: int = 200
