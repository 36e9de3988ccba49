"""The intrinsic curiosity module (ICM): a bonus for transitions that a learned model does not foresee yet.

A feature net looks at both ends of a transition. An inverse model guesses the action from the two features, and a
forward model guesses the second feature from the first and the action; its error is the bonus. An agent that replays is
made curious by ``curious``: in every gradient step the module is trained on the sampled batch, and the bonus by the
updated module is added to that batch's rewards, never to those in replay.

References:
    Pathak et al. (2017), Curiosity-driven exploration by self-supervised prediction, equations 2-7.
    Burda et al. (2019), Large-scale study of curiosity-driven learning: the residual blocks.
    Ferreira et al. (2022), tables 15 and 19, and the released code. It differs from Pathak et al. in that the bonus and
    the forward loss are means over the features, not half a sum, that the forward loss trains the features too, and
    that the agent's own loss is no part of the sum.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax

from synthenv.agents.config import ICMConfig
from synthenv.agents.training.batch import sum_over_blocks
from synthenv.agents.training.bucket import Bucket
from synthenv.agents.training.on_policy import OnPolicyLearner
from synthenv.agents.training.replay import Replay, Rows
from synthenv.agents.training.schedule import Learner
from synthenv.envs.action_units import Actions
from synthenv.nets.mlp import ACTIVATIONS, Layer, Params, affine, apply_mlp, init_layer, init_mlp

PyTree = Any
AnyLearner = TypeVar("AnyLearner", Learner, OnPolicyLearner)

_DEPTH = 2  # hidden layers of the features, the inverse model and the first part of the forward model
_NUM_BLOCKS = 4
_ADAM = optax.scale_by_adam()
# fold_in(key, i) is split(key)[i], so this lies beyond whatever else is drawn from the key.
_OWN_KEY = 2**31 - 1


class ICMParams(NamedTuple):
    """features [obs] -> [feature]; inverse [2 * feature] -> [action]; the rest is the forward model.

    Attributes:
        features: of an observation.
        inverse: logits of the action, or the action itself if it is continuous.
        first: [feature + action] -> [feature].
        blocks: two layers [feature + action] -> [feature] each.
        last: [feature] -> [feature], one hidden layer.
    """

    features: Params
    inverse: Params
    first: Params
    blocks: tuple[tuple[Layer, Layer], ...]
    last: Params


class ICM(NamedTuple):
    """What training the module changes."""

    params: ICMParams
    opt_state: optax.OptState


def init(key: jax.Array, obs_size: int, actions: Actions, config: ICMConfig) -> ICM:
    """Draw a fresh module."""
    keys = jax.random.split(key, 5)
    hidden, feature = config.hidden_size, config.feature_size
    action = _action_width(actions)
    into = feature + action
    draws = jax.random.uniform(keys[4], (2 * _NUM_BLOCKS, (into + 1) * feature), minval=-1.0)
    layers = [init_layer(chunk, into, feature, into, feature) for chunk in draws]
    params = ICMParams(
        features=init_mlp(keys[0], obs_size, hidden, feature, _DEPTH),
        inverse=init_mlp(keys[1], 2 * feature, hidden, action, _DEPTH),
        first=init_mlp(keys[2], into, hidden, feature, _DEPTH),
        blocks=tuple(zip(layers[::2], layers[1::2], strict=True)),
        last=init_mlp(keys[3], feature, hidden, feature, 1),
    )
    return ICM(params, _ADAM.init(params))


def _action_width(actions: Actions) -> int:
    return 1 if actions.discrete and actions.size == 2 else actions.size


def encode_action(action: jax.Array, actions: Actions) -> jax.Array:
    """Actions as the nets see them: index [B] -> itself [B, 1] of two choices, else one-hot; vectors stay [B, size]."""
    if not actions.discrete:
        return action
    if actions.size == 2:
        return action[:, None].astype(jnp.float32)
    return jax.nn.one_hot(action, actions.size)


def predict_feature(params: ICMParams, feature: jax.Array, action: jax.Array) -> jax.Array:
    """The forward model: the next feature [B, feature] from feature [B, feature] and encoded action [B, action]."""
    beside = lambda x: jnp.concatenate([x, action], axis=-1)  # noqa: E731
    x = apply_mlp(params.first, beside(feature), "leaky_relu")
    for inner, outer in params.blocks:
        x += affine(outer, beside(ACTIVATIONS["leaky_relu"](affine(inner, beside(x)))))
    return apply_mlp(params.last, x, "leaky_relu")


def features_of(params: ICMParams, rows: Rows) -> tuple[jax.Array, jax.Array]:
    """Return the features of both ends of B transitions, [B, feature] each."""
    both = apply_mlp(params.features, jnp.concatenate([rows.obs, rows.next_obs]), "leaky_relu")
    return both[: rows.reward.size], both[rows.reward.size :]


def forward_error(predicted: jax.Array, feature: jax.Array) -> jax.Array:
    """Return the squared error [B], averaged over the features."""
    return jnp.mean(jnp.square(predicted - feature), axis=-1)


def inverse_error(guess: jax.Array, action: jax.Array, actions: Actions) -> jax.Array:
    """Return the error [B] of a guess [B, action]: cross-entropy where actions are choices, else the mean square."""
    if not actions.discrete:
        return jnp.mean(jnp.square(guess - action), axis=-1)
    if actions.size == 2:
        return jnp.sum(jax.nn.softplus(guess) - action * guess, axis=-1)
    return -jnp.sum(action * jax.nn.log_softmax(guess), axis=-1)


def loss(params: ICMParams, rows: Rows, weight: jax.Array, actions: Actions, config: ICMConfig) -> jax.Array:
    """Return (1 - beta) times the inverse loss plus beta times the forward loss.

    No gradient is stopped: the forward loss pulls on the features of both observations, as in the released code.

    Args:
        params: the module's weights, which are differentiated.
        rows: transitions [B], as ``seen``.
        weight: 1/batch_size inside the batch and 0 outside [B].
        actions: the environment's actions.
        config: the module's config.
    """
    action = encode_action(rows.action, actions)
    feature, next_feature = features_of(params, rows)
    guess = apply_mlp(params.inverse, jnp.concatenate([feature, next_feature], axis=-1), "relu")
    inverse = inverse_error(guess, action, actions)
    forward = forward_error(predict_feature(params, feature, action), next_feature)
    return jnp.sum(weight * ((1.0 - config.beta) * inverse + config.beta * forward))


def bonus(params: ICMParams, rows: Rows, actions: Actions, config: ICMConfig) -> jax.Array:
    """Return the intrinsic reward [B]: eta times the forward model's error."""
    feature, next_feature = features_of(params, rows)
    predicted = predict_feature(params, feature, encode_action(rows.action, actions))
    return config.eta * forward_error(predicted, next_feature)


def update(icm: ICM, gradient: ICMParams, config: ICMConfig) -> ICM:
    """Take one Adam step along the gradient of ``loss``."""
    updates, opt_state = _ADAM.update(gradient, icm.opt_state)
    params = jax.tree.map(lambda p, u: p - config.learning_rate * u, icm.params, updates)
    return ICM(params, opt_state)


def train_once(icm: ICM, rows: Rows, actions: Actions, config: ICMConfig) -> ICM:
    """Take one Adam step of the module on all rows [B]."""
    weight = jnp.full(rows.reward.shape, 1.0 / rows.reward.size)
    return update(icm, jax.grad(loss)(icm.params, rows, weight, actions, config), config)


class Curious(NamedTuple):
    """A learner's state and the module beside it.

    ``bonus_return`` [N] is the discounted bonus of the current episodes, where a learner steps N environments itself.
    """

    learner: PyTree
    icm: ICM
    bonus_return: Any = None


def with_module(
    learner: AnyLearner,
    learn: Callable[..., Curious],
    actions: Actions,
    config: ICMConfig,
    bonus_return: jax.Array | None = None,
) -> AnyLearner:
    """Put a module beside a learner; all but what it learns with stays.

    Args:
        learner: of ``schedule`` or of ``on_policy``.
        learn: takes what the learner's own does, with ``Curious`` in place of its state.
        actions: of the environment.
        config: the module.
        bonus_return: before the first step.
    """

    def begin(key: jax.Array, obs: jax.Array, hyperparams: Any) -> Curious:
        icm = init(jax.random.fold_in(key, _OWN_KEY), obs.size, actions, config)
        return Curious(learner.init(key, obs, hyperparams), icm, bonus_return)

    def explore(words: jax.Array, state: Curious, *args: Any) -> Any:
        return learner.explore(words, state.learner, *args)

    return learner._replace(
        init=begin, explore=explore, learn=learn, policy=lambda state: learner.policy(state.learner)
    )


def pay(rows: Rows, icm: ICM, learner: Learner, actions: Actions, config: ICMConfig) -> Rows:
    """Add the bonus to the rewards of rows.

    Args:
        rows: transitions [B] as the learner's replay has them.
        icm: the module.
        learner: knows what the environment took for its actions.
        actions: the environment's actions.
        config: the module's config.
    """
    return rows._replace(reward=rows.reward + bonus(icm.params, seen(rows, learner), actions, config))


def seen(rows: Rows, learner: AnyLearner) -> Rows:
    """Return rows as the module sees them, with the actions that the environment took.

    Where a vector stands for a choice, the environment took the index of its largest entry.
    """
    return rows._replace(action=learner.env_action(rows.action))


def curious(
    learner: Learner,
    sample: Callable[[jax.Array, Replay, int], Rows],
    actions: Actions,
    config: ICMConfig,
    bucket: Bucket,
) -> Learner:
    """Give a learner that replays batches an intrinsic reward.

    Args:
        learner: its ``learn`` takes ``transform`` (see ``Learner``).
        sample: (words [block], replay, obs_size) -> rows, as ``learner.learn`` samples them.
        actions: of the environment.
        config: the module.
        bucket: the static shape of the learner's batches.
    """

    def learn(
        words: jax.Array, state: Curious, replay: Replay, obs_size: int, epsilon: jax.Array, hyperparams: Any
    ) -> Curious:
        def gradient(words: jax.Array, weight: jax.Array) -> ICMParams:
            rows = seen(sample(words, replay, obs_size), learner)
            return jax.grad(loss)(state.icm.params, rows, weight, actions, config)

        picks = words.reshape(bucket.batch_rows, -1)[:, 0]
        icm = update(state.icm, sum_over_blocks(picks, hyperparams.batch_size, bucket, gradient), config)
        paid = partial(pay, icm=icm, learner=learner, actions=actions, config=config)
        after = learner.learn(words, state.learner, replay, obs_size, epsilon, hyperparams, transform=paid)
        return Curious(after, icm)

    return with_module(learner, learn, actions, config)
