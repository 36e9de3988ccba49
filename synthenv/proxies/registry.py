"""Proxies by their config."""

from typing import Any

from synthenv.proxies import synthetic_env
from synthenv.proxies.config import ProxyConfig, RewardConfig
from synthenv.proxies.reward_network import RewardNetwork
from synthenv.proxies.synthetic_env import SyntheticBandit, SyntheticMDP

AnyProxy = SyntheticMDP | SyntheticBandit | RewardNetwork


def make(real_env: Any, real_params: Any, config: ProxyConfig) -> AnyProxy:
    """Build the proxy of a real environment that ``config`` describes.

    Raises:
        UserError: if it cannot be had for that environment.
    """
    if isinstance(config, RewardConfig):
        return RewardNetwork(real_env, real_params, config)
    return synthetic_env.make(real_env, real_params, config)
