"""Agents in learned environments, in JAX: synthetic environments evolved by evolution strategies."""

__version__ = "0.1.0"
__all__ = ["__version__", "make", "register"]


def __getattr__(name: str):
    """Load ``make`` on first use, so that importing the package costs nothing."""
    if name == "register":
        from synthenv.core.registry import register

        return register
    if name == "make":
        from synthenv.zoo.registry import make

        return make
    raise AttributeError(f"module 'synthenv' has no attribute {name!r}")
