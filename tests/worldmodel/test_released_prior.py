"""The OSWM prior: against a step-by-step NumPy replay of its drawn parameters, and its documented distribution."""

from dataclasses import replace
from functools import partial

import jax
import numpy as np
import pytest

from synthenv.worldmodel.paper.prior import momentum
from synthenv.worldmodel.paper.prior import sample as prior
from synthenv.worldmodel.paper.prior.momentum import KINDS
from synthenv.worldmodel.paper.prior.worlds import draw_worlds

SHOWN, ROWS = 6, 130  # environments and rows that are replayed: two episodes and a part of a third


def network(nets, k, x):
    """Network k in float64 on one input vector."""
    kernels = (*(layer.kernel for layer in nets.layers), nets.out)
    inward, hidden, outward = (np.asarray(kernel[k], np.float64) for kernel in kernels)
    # A sine repeats, or need not.
    f, g = (np.sin if layer.curve.bound[k] < 5 else np.tanh for layer in nets.layers)
    z = x @ inward
    y = (f(z) + z) @ hidden
    y = (y - y.mean()) / np.sqrt(y.var() + 1e-5)
    return (g(y) + z) @ outward[:, 0]


class Pair:
    """A position and its velocity, written as the released code is: one at a time, branch by branch."""

    def __init__(self, pairs, b, k, config):
        self.kind = KINDS[pairs.kind[b, k]]
        self.control, self.inverted = pairs.control[b, k], pairs.inverted[b, k]
        self.g, self.damping = pairs.gravity[b, k], pairs.damping[b, k]
        self.elasticity, self.shift = pairs.elasticity[b, k], pairs.shift[b, k]
        self.config = config

    def reset(self, position, velocity):
        self.p, self.v = float(position), float(velocity)

    def step(self, action):
        self.v += action[self.control] * 0.01
        if self.kind in ("sin", "cos", "rad"):
            if self.g > 0:
                self.v -= self.g * np.cos(self.p) * 0.01 * 5
        elif self.kind == "y":
            self.v -= self.g * 0.01 * (1 if self.config.gravity == "constant" else self.p)
        if self.kind in ("sin", "cos", "rad") and self.g > 0:
            self.v *= self.damping
        self.v = min(max(self.v, -7.0), 7.0)
        self.p += self.v * 0.01
        low, high = {"x": (-1.0, 1.0), "y": (0.0, 1.0)}.get(self.kind, (-np.inf, np.inf))
        if self.p > high or self.p < low:
            self.p = high if self.p > high else low
            self.v = -self.elasticity * self.v

    def seen(self):
        p = {"sin": np.sin(self.p), "cos": np.cos(self.p), "x": self.p, "y": self.p}.get(self.kind)
        if self.kind == "rad":
            angle = np.arctan2(np.sin(self.p), np.cos(self.p))
            p = (np.cos(angle) if self.config.radians_are_cosines else angle) + self.shift
        if self.config.hidden_velocity:
            return p, self.v * (-1 * self.inverted)
        return p, -self.v if self.inverted else self.v


def replay(drawn, config, b, num_rows):
    """Rows of environment b, one step after the other, in float64."""
    worlds, episodes = drawn.worlds, drawn.episodes
    d, m = int(worlds.obs_size[b]), int(worlds.num_momentum[b])
    slot = np.argsort(worlds.order[b])  # of each dimension
    active = worlds.order < (worlds.obs_size - 2 * worlds.num_momentum)[:, None]
    first = active[:b].sum()
    nets = {s: first + i for i, s in enumerate(np.flatnonzero(active[b]))}
    payer = (~worlds.constant_reward)[:b].sum()
    pairs = [Pair(worlds.pairs, b, k, config) for k in range(m)]
    x, y = [], []
    for t in range(num_rows):
        e, s = divmod(t, 51)
        if s == 0:
            state = episodes.network_start[b, :, e].astype(np.float64)
            for k, pair in enumerate(pairs):
                pair.reset(episodes.position[b, k, e], episodes.velocity[b, k, e])
                state[slot[d - 2 * m + 2 * k : d - 2 * m + 2 * k + 2]] = pair.seen()
        used, shown = (part[s, b, :, e].astype(np.float64) for part in (episodes.used, episodes.shown))
        following = np.zeros(11)
        for s, k in nets.items():
            following[s] = network(drawn.state_networks, k, np.concatenate([state, used]))
        for k, pair in enumerate(pairs):
            pair.step(used)
            following[slot[d - 2 * m + 2 * k : d - 2 * m + 2 * k + 2]] = pair.seen()
        paid = 1.0
        if not worlds.constant_reward[b]:
            paid = network(drawn.reward_networks, payer, np.concatenate([state, following, used]))
        x.append(np.concatenate([state, shown]))
        y.append(np.concatenate([following, [0.0, 0.0, paid]]))
        state = following
    return np.array(x), np.array(y)


@partial(jax.jit, static_argnums=(1, 2, 3, 4))
def drawn_and_rows(key, config, batch, num_rows, packed):
    drawn = prior.draw(key, config, batch, num_rows)
    return drawn, prior.rows_of(drawn, config, num_rows, packed)


@pytest.fixture(scope="module")
def many():
    out = {}
    with jax.numpy_rank_promotion("raise"):
        for name, batch, num_rows in (("RELEASED", 256, 1001), ("PAPER", 64, 1001), ("NN_ONLY", 8, ROWS)):
            played = drawn_and_rows(jax.random.key(1), getattr(prior, name), batch, num_rows, False)
            out[name] = jax.device_get(played)
    return out


@pytest.mark.parametrize("name", ["RELEASED", "PAPER", "NN_ONLY"])
def test_rows_equal_a_replay_step_by_step(many, name):
    drawn, rows = many[name]
    config = getattr(prior, name)
    assert 0 < drawn.worlds.constant_reward[:SHOWN].sum() < SHOWN
    for b in range(SHOWN):
        x, y = replay(drawn, config, b, ROWS)
        apart = np.abs(rows.x[b, :ROWS, :11] - x[:, :11]), np.abs(rows.y[b, :ROWS] - y)
        if not config.radians_are_cosines:  # where the angle jumps, either side is right
            apart = [np.minimum(part, np.abs(part - 2 * np.pi)) for part in apart]
        assert max(part.max() for part in apart) < 2e-4
        np.testing.assert_allclose(rows.x[b, :ROWS, 11:], x[:, 11:], atol=1e-6)


@pytest.mark.parametrize("gravity", ["height_proportional", "constant"])
def test_pairs_move_as_one_by_one(gravity):
    config = replace(prior.RELEASED, gravity=gravity)
    rng = np.random.default_rng(0)
    words = rng.integers(0, 2**32, (40, 5, momentum.WORDS), dtype=np.uint32)
    order = np.tile([2, 0, 1], (40, 1))
    pairs = jax.device_get(momentum.draw(words, order, np.full(40, 3), config))
    position = rng.uniform(0, 1, (40, 5, 1)).astype(np.float32)
    velocity = rng.uniform(-9, 9, (40, 5, 1)).astype(np.float32)
    action = rng.uniform(-3, 3, (40, 3)).astype(np.float32)
    push = np.take_along_axis(action, pairs.control, axis=1)[:, :, None] * 0.01
    constants = momentum.coefficients(pairs, 1, config)
    for _ in range(30):
        moved = jax.device_get(momentum.step(constants, position, velocity, push))
        for b in range(40):
            for k in range(5):
                pair = Pair(pairs, b, k, config)
                pair.reset(position[b, k, 0], velocity[b, k, 0])
                pair.step(action[b])
                np.testing.assert_allclose(
                    (moved[0][b, k, 0], moved[1][b, k, 0]), (pair.p, pair.v), atol=1e-5
                )
        position, velocity = moved


def test_padding_is_zero_and_slots_agree(many):
    for _, rows in many.values():
        state, action = (np.broadcast_to(m[:, None], (*rows.x.shape[:2], m.shape[1])) for m in rows[5:])
        assert np.all(rows.x[:, :, :11][~state] == 0) and np.all(rows.y[:, :, :11][~state] == 0)
        assert np.all(rows.x[:, :, 11:][~action] == 0) and np.all(rows.y[:, :, 11:13] == 0)
        np.testing.assert_array_equal(rows.state_mask.sum(1), rows.obs_size)
        np.testing.assert_array_equal(rows.action_mask.sum(1), rows.action_size)


def test_states_go_on_within_an_episode_and_start_afresh_after_51_steps(many):
    _, rows = many["RELEASED"]
    same = np.all(rows.x[:, 1:, :11] == rows.y[:, :-1, :11], axis=2)
    ends = np.arange(1, 1001) % 51 == 0
    assert np.all(same[:, ~ends]) and not np.any(same[:, ends])


def test_same_key_same_rows_and_packing_changes_nothing():
    sample = jax.jit(prior.sample, static_argnums=(1, 2, 3))
    packed, again, other = (sample(jax.random.key(i), prior.RELEASED, 2, 60) for i in (0, 0, 1))
    drawn, whole = drawn_and_rows(jax.random.key(0), prior.RELEASED, 2, 60, False)
    assert drawn.worlds.num_networks.sum() < 15  # a smaller bucket was taken
    for a, b, c in zip(packed, again, whole, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-6)
    assert not np.array_equal(other.x, packed.x)


@pytest.mark.long
def test_vmap_equals_loop():
    keys = jax.random.split(jax.random.key(5), 3)
    one = lambda key: drawn_and_rows(key, prior.RELEASED, 1, 20, False)[1]  # noqa: E731
    together = jax.jit(jax.vmap(one))(keys)
    for i, key in enumerate(keys):
        alone = one(key)
        np.testing.assert_allclose(together.x[i], alone.x, atol=1e-5)
        np.testing.assert_allclose(together.y[i], alone.y, atol=1e-5)


@pytest.fixture(scope="module")
def worlds():
    return jax.device_get(
        jax.jit(draw_worlds, static_argnums=(1, 2))(jax.random.key(0), prior.RELEASED, 4096)
    )


def test_worlds_are_drawn_as_documented(worlds):
    m, d = worlds.num_momentum, worlds.obs_size
    np.testing.assert_allclose(np.bincount(d, minlength=12)[3:] / 4096, 1 / 9, atol=0.02)
    assert np.all(m <= d // 2)
    np.testing.assert_allclose(m.mean(), 29 / 18, atol=0.07)  # half the mean of floor(d / 2)
    np.testing.assert_allclose(np.mean(m == 0), 0.267, atol=0.03)
    np.testing.assert_allclose(worlds.constant_reward.mean(), 0.5, atol=0.03)
    discrete = worlds.num_choices > 0
    np.testing.assert_allclose(discrete.mean(), 0.5, atol=0.03)
    np.testing.assert_allclose(
        np.bincount(worlds.num_choices[discrete])[2:] / discrete.sum(), 1 / 3, atol=0.05
    )
    np.testing.assert_allclose(
        np.bincount(worlds.action_size[~discrete])[1:] / (~discrete).sum(), 1 / 3, atol=0.05
    )
    assert np.all(worlds.action_size[discrete] == 1)
    assert np.abs(worlds.choice_values).max() < 3 and np.abs(worlds.choice_values).max() > 2.99
    assert 0.5 <= worlds.action_bound.min() < 0.51 and 2.99 < worlds.action_bound.max() < 3.0
    for size, order in ((11, worlds.order), (3, worlds.action_order)):  # every slot takes every dimension
        table = np.stack([np.bincount(order[:, i], minlength=size) for i in range(size)]) / 4096
        np.testing.assert_allclose(table, 1 / size, atol=0.04)


def test_starts_of_networks_are_scaled(worlds):
    """Table 6's last two numbers, over its final values."""
    config = replace(prior.RELEASED, start_scale=2.0, start_offset=5.0)
    other = jax.jit(draw_worlds, static_argnums=(1, 2))(jax.random.key(0), config, 4096)
    np.testing.assert_allclose(other.start_scale, worlds.start_scale * (2 / 18.147661), rtol=1e-5)
    np.testing.assert_allclose(other.start_offset, worlds.start_offset * (5 / 3.2802608), rtol=1e-5)
    assert 1.99 < other.start_scale.max() < 2 and 2.4 < other.start_offset.max() < 2.5


def test_pairs_are_drawn_as_documented(worlds):
    pairs = worlds.pairs
    np.testing.assert_allclose(np.bincount(pairs.kind.ravel()) / pairs.kind.size, 0.2, atol=0.02)
    kind = np.array(KINDS)[pairs.kind]
    angle = np.isin(kind, ("sin", "cos", "rad"))
    np.testing.assert_allclose((pairs.gravity[angle] > 0).mean(), 0.5, atol=0.03)
    assert np.all(pairs.gravity[kind == "x"] == 0)
    pulled = pairs.gravity[kind == "y"]
    assert 5.0 <= pulled.min() < 5.05 and 9.95 < pulled.max() < 10.0
    assert np.all((pairs.damping < 1) == (angle & (pairs.gravity > 0)))
    np.testing.assert_allclose((pairs.elasticity[kind == "x"] == 0).mean(), 0.5, atol=0.03)
    assert pairs.elasticity[kind == "y"].min() >= 0.3
    in_use = np.take_along_axis(worlds.action_mask, pairs.control, axis=1)
    assert np.all(in_use)  # an action that exists


def test_actions_without_momentum_follow_the_ablations_rule():
    worlds = jax.jit(draw_worlds, static_argnums=(1, 2))(jax.random.key(0), prior.NN_ONLY, 2048)
    assert not worlds.num_momentum.any()
    assert set(np.unique(worlds.action_bound)) == {1.0, 2.0, 3.0, 4.0}
    step = np.diff(worlds.choice_values, axis=1)
    assert set(np.unique(step)) == {1.0, 2.0, 3.0, 4.0} and np.all(step == step[:, :1])
    offset = -worlds.choice_values[:, 0] / step[:, 0]
    assert set(np.unique(offset)) == {0.0, 0.5, 1.0}


def columns(drawn, rows, b):
    """x and y of one environment with its dimensions in order: networks first, then position, velocity, ..."""
    slot = np.argsort(drawn.worlds.order[b])
    return rows.x[b][:, slot], rows.y[b][:, slot]


def pair_columns(drawn, rows):
    for b in range(rows.x.shape[0]):
        n = int(rows.obs_size[b] - 2 * rows.num_momentum[b])
        x, y = columns(drawn, rows, b)
        for k in range(int(rows.num_momentum[b])):
            yield KINDS[drawn.worlds.pairs.kind[b, k]], x[:, n + 2 * k : n + 2 * k + 2], y[:, n + 2 * k]


def test_half_of_the_released_velocities_are_hidden_and_none_of_the_papers(many):
    hidden = [np.all(x[:, 1] == 0) for _, x, _ in pair_columns(*many["RELEASED"])]
    assert len(hidden) > 300
    np.testing.assert_allclose(np.mean(hidden), 0.5, atol=0.1)
    visible = [x[:, 1].std() for _, x, _ in pair_columns(*many["PAPER"])]
    assert min(visible) > 0.2


def test_positions_move_little_and_radians_are_what_the_preset_says(many):
    for name, low, high in (("RELEASED", -1.0, 1.0 + np.pi), ("PAPER", -np.pi, 2 * np.pi)):
        for kind, x, y in pair_columns(*many[name]):
            moved = np.abs(y - x[:, 0])
            if name == "PAPER" and kind == "rad":
                moved = np.minimum(moved, np.abs(moved - 2 * np.pi))
            assert moved.max() <= 0.07 + 1e-5
            if kind == "rad":
                assert x[:, 0].min() >= low - 1e-5 and x[:, 0].max() <= high + 1e-5
                assert (np.ptp(x[:, 0]) > 2.01) == (name == "PAPER")


def test_networks_contract_after_their_start_as_measured_on_the_released_code(many):
    """Medians of the released code over 208 environments: |s0| 5.1, |s5| 0.317, kurtosis 6.9, share 0.225.

    Environments differ far more than their columns do: the medians of 256 vary by a fifth.
    """
    drawn, rows = many["RELEASED"]
    start, later, kurtosis, share = [], [], [], []
    first = np.arange(1001) % 51 == 0
    for b in range(256):
        x, y = columns(drawn, rows, b)
        for j in range(int(rows.obs_size[b] - 2 * rows.num_momentum[b])):
            start.append(np.abs(x[first, j])), later.append(np.abs(x[np.arange(1001) % 51 == 5, j]))
            centred = y[:, j].astype(np.float64) - y[:, j].mean()
            kurtosis.append((centred**4).mean() / (centred**2).mean() ** 2)
            share.append((centred[first] ** 2).sum() / (centred**2).sum())
    assert 4.5 < np.median(start) < 7.2
    assert 0.27 < np.median(later) < 0.37
    assert 5.0 < np.median(kurtosis) < 11.0
    assert 0.15 < np.median(share) < 0.35


def test_a_batch_of_the_paper_is_in_order_and_normalized_by_its_context():
    config = replace(prior.PAPER, momentum=False)  # compiles sooner
    batch = jax.jit(prior.draw_batch, static_argnums=(1, 2, 3))
    rows, num_context = batch(jax.random.key(0), config, 2, 1001)
    assert 500 <= num_context < 1000
    x = np.asarray(rows.x)
    np.testing.assert_allclose(x[:, :num_context].mean(1), 0, atol=1e-4)
    assert np.abs(x[:, num_context:].mean(1)).max() > 1e-3
    assert set(np.unique(np.abs(x[:, :num_context].std(1, ddof=1)).round(3))) == {0.0, 1.0}
    # In order: within an episode the next state is the next row's, up to the two standardisations.
    used = np.flatnonzero(rows.state_mask[0])
    after, before = np.asarray(rows.y)[0, :50, used], x[0, 1:51, used]
    assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(after, before, strict=True)) > 0.999
