"""Gradient steps: the same on two devices as on one, and operations counted as by hand."""

import json
import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from synthenv.runs.oswm.pretrain import device_arithmetic, gradient_step
from synthenv.runs.oswm.pretrain.device_arithmetic import count_flops, measure_peak
from synthenv.runs.oswm.pretrain.gradient_step import Stepper

LOSSES = """
import json, jax, jax.numpy as jnp, numpy as np
from functools import partial
from synthenv.runs.oswm.pretrain.gradient_step import Stepper
from synthenv.worldmodel.small import train_step as pretrain
from synthenv.worldmodel.small.training_examples import Examples
from synthenv.worldmodel.small.network import NUM_EXPERTS, ModelConfig, Question, Rows
from synthenv.worldmodel.small.train_step import PretrainConfig

sizes = ModelConfig(max_obs=3, width=8, num_heads=2, hidden_size=8, num_layers=1, column_size=4, head_size=8)
config = PretrainConfig(sizes, num_steps=5, warmup_steps=1, learning_rate=1e-2)
B, C, Q, D, Y, K = 4, 12, 6, sizes.num_inputs, sizes.num_targets, NUM_EXPERTS
draw = np.random.default_rng(0).normal
normal = lambda *shape: jnp.asarray(draw(size=shape), jnp.float32)
yes = lambda *shape: jnp.ones(shape, bool)
error = normal(B, K, Y) ** 2 + 0.1
shares, local = jnp.full((B, Q, K, Y), 1 / K), jnp.broadcast_to(error[:, None], (B, Q, K, Y))
questions = Question(normal(B, Q, D), normal(B, Q, K, Y), error, shares, local, yes(B, Y))
rows = Rows(normal(B, C, D), normal(B, C, Y), normal(B, C, Y), jnp.zeros((B, C)), yes(B, C))
examples = Examples(rows, questions, normal(B, Q, Y), ~yes(B, Q), yes(B, Y))
step = Stepper(partial(pretrain.train_step, config=config), B)
state, losses = pretrain.init(jax.random.key(0), config), []
for _ in range(5):
    state, loss = step(state, examples)
    losses.append(float(loss))
average = [float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(state.average)]
devices = len(state.params.query.kernel.sharding.device_set)
# What else is made of the weights and of batches that are on one device alone.
score = jax.jit(partial(pretrain.score, config=sizes))(state.average, examples=examples)
print(json.dumps([devices, losses, average, float(score.loss), len(step._programs)]))
"""


@pytest.mark.long
def test_two_devices_are_one(run_on_devices):
    one, two = (json.loads(run_on_devices(LOSSES, num_devices)) for num_devices in (1, 2))
    assert (one[0], two[0]) == (1, 2)
    assert one[1][0] != pytest.approx(one[1][-1], rel=1e-3), "nothing is learnt, so nothing is compared"
    # A key's bias shifts all scores alike and has no gradient: nothing but rounding, 1e-6 in all, moves it.
    for mine, other in zip(one[1:4], two[1:4], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
    assert one[4] == two[4] == 1


def test_devices_divide_the_batch(monkeypatch):
    """Of two devices one has nothing to do with a batch of seven, and the user hears of it."""
    told = []
    assert Stepper(lambda state, x: (state, x), 7, told.append).mesh.size == 1 and not told
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert Stepper(lambda state, x: (state, x), 7, told.append).mesh.size == 1
    assert told == ["gradient steps use 1 of 2 devices: a batch has 7 tasks"]


def test_one_trace_for_each_shape():
    @chex.assert_max_traces(n=2)
    def train_step(state, examples):
        return state + 1, jnp.sum(examples)

    step, state = Stepper(train_step, 2), jnp.int32(0)
    for num in (3, 4, 3, 4):
        state, loss = step(state, jnp.ones((2, num)))
        assert loss == 2 * num
    assert state == 4


def test_steps_and_waiting_are_told_apart():
    def slow():
        for _ in range(2):
            time.sleep(0.05)
            yield jnp.ones((2, 300, 300))

    step, state = Stepper(lambda state, x: (state, jnp.sum(x @ x)), 2), jnp.int32(0)
    for examples in step.waited(slow()):
        state, _ = step(state, examples)
    numbers = step.numbers()
    assert 0.1 <= numbers["wait_seconds"] < 5 and numbers["step_seconds"] > 0
    did = 2 * 2 * 2 * 300**3 / numbers["step_seconds"]
    assert numbers["flops_share"] == pytest.approx(did / step.peak)
    assert step.numbers() == {"step_seconds": 0.0, "wait_seconds": 0.0, "flops_share": 0.0}


@pytest.mark.parametrize("precision", [None, "BF16_BF16_F32"])
def test_products_are_traced_in_the_devices_precision(monkeypatch, precision):
    """A CPU is asked and does not listen, so what is asked is looked at. Weights and results stay float32."""
    monkeypatch.setattr(gradient_step, "precision_of", lambda platform: precision)
    asked = []

    def train_step(state, x):
        asked.append(str(jax.make_jaxpr(lambda a: a @ a)(x[0])))
        return state + jnp.sum(x[0] @ x[0]), jnp.sum(x)

    state, loss = Stepper(train_step, 1)(jnp.float32(0), jnp.ones((1, 4, 4)))
    assert ("BF16_BF16_F32" in asked[0]) == (precision is not None)
    assert state.dtype == loss.dtype == jnp.float32 and state == 64


def test_precision_is_lower_only_where_that_is_faster():
    assert gradient_step.precision_of("cpu") is None
    assert gradient_step.precision_of("gpu") == gradient_step.precision_of("tpu") == "BF16_BF16_F32"


# ---------------------------------------------------------------- arithmetic


def flops(function, *shapes):
    return count_flops(jax.jit(function).trace(*(jnp.zeros(shape) for shape in shapes)).jaxpr)


def test_operations_by_hand():
    assert flops(lambda a, b: a @ b, (3, 5), (5, 7)) == 2 * 3 * 5 * 7
    assert flops(jax.vmap(lambda a, b: a @ b), (4, 3, 5), (4, 5)) == 4 * 2 * 3 * 5
    assert flops(lambda a: jnp.tanh(a) + a, (3, 5)) == 0


def test_operations_of_loops_branches_and_gradients():
    def loop(a):
        return jax.lax.scan(lambda x, _: (x @ a, None), a, length=6)[0]

    def branch(a):
        return jax.lax.cond(a[0, 0] > 0, lambda: a @ a @ a, lambda: a)

    one = 2 * 4**3
    assert flops(loop, (4, 4)) == 6 * one
    assert flops(branch, (4, 4)) == 2 * one
    # The product itself is not needed for the gradient of its sum by both factors.
    assert flops(jax.grad(lambda ab: jnp.sum(ab[0] @ ab[1])), (2, 4, 4)) == 2 * one


def test_what_nothing_depends_on_is_not_counted():
    def dead(a):
        return jax.jit(lambda a: (a @ a, a + 1))(a)[1]

    assert flops(dead, (4, 4)) == 0


def test_peak_is_that_of_the_shortest_product(monkeypatch):
    """Five products, by a clock of our own: the third takes half a second, the others one."""
    times = iter([0, 1, 1, 2, 2, 2.5, 3, 4, 4, 5])
    monkeypatch.setattr(device_arithmetic.time, "perf_counter", lambda: next(times))
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",))
    assert measure_peak(mesh, None) == 2 * 1024**3 / 0.5
