"""NumPy arrays: the recurrence written out here, in float64, is what the results must equal."""

import os
import subprocess
import sys

import numpy as np
import pytest

import transnormer as tnl

TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-3}


def recurrence(q, k, v, decay, initial_state=None, cu_seqlens=None, scale=1.0):
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    B, T, H, D = q.shape
    ranges = [(b, 0, T) for b in range(B)]
    if cu_seqlens is not None:
        ranges = [(0, a, b) for a, b in zip(cu_seqlens, cu_seqlens[1:])]
    keep = np.exp(-np.asarray(decay, dtype=np.float64))[:, None, None]
    o, states = np.zeros(v.shape), np.zeros((len(ranges), H, D, v.shape[3]))
    for n, (row, begin, end) in enumerate(ranges):
        state = states[n]
        if initial_state is not None:
            state += initial_state[n]
        for t in range(begin, end):
            state *= keep
            state += k[row, t, :, :, None] * v[row, t, :, None, :]
            o[row, t] = scale * np.einsum("hd,hde->he", q[row, t], state)
    return o, states


def draw(*shape, seed=0, dtype="float32"):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def error(got, wanted):
    """Largest difference, over the largest number that is wanted."""
    return np.abs(got.astype(np.float64) - wanted).max(initial=0) / max(
        np.abs(wanted).max(initial=0), 1e-30)


def inputs(B=2, T=70, H=3, D=20, E=12, dtype="float32"):
    q, k, v = (draw(B, T, H, n, seed=s, dtype=dtype) for s, n in ((1, D), (2, D), (3, E)))
    return q, k, v, np.array([0, 0.05, 3.0])[:H]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("T", [1, 3, 64, 65, 300])
def test_against_the_recurrence(dtype, T):
    q, k, v, decay = inputs(T=T, dtype=dtype)
    state = draw(2, 3, 20, 12, seed=4)
    wanted, wanted_state = recurrence(q, k, v, decay, state, scale=0.5)
    o, final = tnl.lightning_attention(q, k, v, decay, state, True, scale=0.5)
    assert o.dtype == q.dtype and error(o, wanted) < TOLERANCE[dtype]
    assert final.dtype == (np.float64 if dtype == "float64" else np.float32)
    assert error(final, wanted_state) < 2e-5


def test_bfloat16():
    dtype = pytest.importorskip("ml_dtypes", reason="no ml_dtypes: NumPy alone has no bfloat16"
                                ).bfloat16
    q, k, v, decay = inputs(dtype=dtype)
    o = tnl.lightning_attention(q, k, v, decay)
    assert o.dtype == dtype and error(o, recurrence(q, k, v, decay)[0]) < 8e-3


def test_layouts_and_strides_are_read_in_place():
    q, k, v, decay = inputs()
    wanted = tnl.lightning_attention(q, k, v, decay)
    by_heads = [np.ascontiguousarray(x.swapaxes(1, 2)) for x in (q, k, v)]
    o = tnl.lightning_attention(*by_heads, decay, head_first=True)
    assert o.shape == (2, 3, 70, 12) and np.array_equal(o.swapaxes(1, 2), wanted)
    o = tnl.lightning_attention(*(x.swapaxes(1, 2) for x in by_heads), decay)  # views
    assert np.array_equal(o, wanted)
    every_other = [np.repeat(x, 2, axis=1)[:, ::2] for x in (q, k, v)]
    assert np.array_equal(tnl.lightning_attention(*every_other, decay), wanted)
    gaps = [np.repeat(x, 2, axis=3)[..., ::2] for x in (q, k, v)]  # these are copied
    assert np.array_equal(tnl.lightning_attention(*gaps, decay), wanted)
    backwards = [np.ascontiguousarray(x[:, ::-1])[:, ::-1] for x in (q, k, v)]
    assert np.array_equal(tnl.lightning_attention(*backwards, decay), wanted)


@pytest.mark.parametrize("offsets", [[0, 70], [0, 0, 1, 33, 33, 70, 70], list(range(71))])
def test_variable_length(offsets):
    q, k, v, decay = inputs(B=1)
    state = draw(len(offsets) - 1, 3, 20, 12, seed=4)
    wanted, wanted_state = recurrence(q, k, v, decay, state, offsets)
    o, final = tnl.lightning_attention(q, k, v, decay, state, True, cu_seqlens=offsets)
    assert error(o, wanted) < 2e-5 and error(final, wanted_state) < 2e-5


def test_any_split_is_the_whole():
    q, k, v, decay = inputs(dtype="float64")
    whole, last = tnl.lightning_attention(q, k, v, decay, output_final_state=True)
    for cut in (1, 7, 64, 69):
        a, state = tnl.lightning_attention(q[:, :cut], k[:, :cut], v[:, :cut], decay,
                                           output_final_state=True)
        b, state = tnl.lightning_attention(q[:, cut:], k[:, cut:], v[:, cut:], decay, state, True)
        assert error(np.concatenate([a, b], axis=1), whole) < 1e-13
        assert error(state, last) < 1e-13


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_gradients_by_differences(dtype):
    """The loss is linear in each input: differences of the recurrence are exact but for rounding."""
    q, k, v, decay = inputs(T=9, dtype=dtype)
    state = draw(2, 3, 20, 12, seed=4)
    do, dstate = draw(2, 9, 3, 12, seed=5, dtype=dtype), draw(2, 3, 20, 12, seed=6)
    got = tnl.lightning_attention_backward(do, q, k, v, decay, state, dstate, scale=0.5)
    places = [x.astype(np.float64) for x in (q, k, v, state)]

    def loss(inputs):
        o, final = recurrence(*inputs[:3], decay, inputs[3], scale=0.5)
        return (o * do).sum() + (final * dstate).sum()

    rng = np.random.default_rng(7)
    for place, gradient in enumerate(got):
        direction = rng.standard_normal(gradient.shape)
        ahead, behind = ([x + s * direction if i == place else x for i, x in enumerate(places)]
                         for s in (0.5, -0.5))
        slope = loss(ahead) - loss(behind)
        assert abs((gradient.astype(np.float64) * direction).sum() - slope) < (
            {"float64": 1e-9, "float32": 1e-3, "float16": 0.5}[dtype])


def test_gradients_of_packed_sequences_and_layouts():
    q, k, v, decay = inputs(B=1)
    do = draw(*v.shape, seed=5)
    offsets = [0, 5, 5, 70]
    got = tnl.lightning_attention_backward(do, q, k, v, decay, cu_seqlens=offsets)
    assert got[3] is None
    for a, b in zip(offsets, offsets[1:]):
        part = tnl.lightning_attention_backward(*(x[:, a:b] for x in (do, q, k, v)), decay)
        for whole, piece in zip(got[:3], part):
            assert error(piece, whole[:, a:b].astype(np.float64)) < 1e-5
    turned = tnl.lightning_attention_backward(*(x.swapaxes(1, 2) for x in (do, q, k, v)), decay,
                                              cu_seqlens=offsets, head_first=True)
    for whole, other in zip(got[:3], turned):
        assert np.array_equal(whole, other.swapaxes(1, 2))


def test_steps_in_place_equal_the_whole():
    q, k, v, decay = inputs(B=3, T=12)
    wanted, last = tnl.lightning_attention(q, k, v, decay, output_final_state=True)
    pool, slots = np.full((5, 3, 20, 12), np.nan, np.float32), np.array([4, 0, 2])
    pool[slots] = 0
    for t in range(12):
        o = tnl.lightning_attention_step(q[:, t], k[:, t], v[:, t], decay, pool, slots)
        assert error(o, wanted[:, t].astype(np.float64)) < 1e-5
    assert error(pool[slots], last.astype(np.float64)) < 1e-5
    assert np.isnan(pool[[1, 3]]).all()
    o = tnl.lightning_attention_step(q[:, 0], k[:, 0], v[:, 0], decay, pool, [-1, -1, -1])
    assert error(o, wanted[:, 0].astype(np.float64)) < 1e-5 and np.isnan(pool[[1, 3]]).all()


def test_no_tokens_and_no_sequences():
    q, k, v, decay = inputs(T=0)
    state = draw(2, 3, 20, 12, seed=4)
    o, final = tnl.lightning_attention(q, k, v, decay, state, True)
    assert o.shape == (2, 0, 3, 12) and np.array_equal(final, state)
    q, k, v, decay = inputs(B=0)
    assert tnl.lightning_attention(q, k, v, decay).shape == (0, 70, 3, 12)


ERRORS = {
    "k's shape": (dict(k=draw(2, 69, 3, 20)), "k has shape [2, 69, 3, 20], wanted that of q, "
                                              "[2, 70, 3, 20] ([B, T, H, D])"),
    "v's shape": (dict(v=draw(2, 70, 4, 12)), "v has shape [2, 70, 4, 12], wanted [2, 70, 3, E]"),
    "q's rank": (dict(q=draw(70, 3, 20)), "q has shape [70, 3, 20], wanted [B, T, H, D]"),
    "head_first": (dict(head_first=True), "decay has shape [3], wanted [70], one rate for each of "
                                          "the 70 heads"),
    "dtypes": (dict(k=draw(2, 70, 3, 20, dtype="float64")), "k is float64, wanted float32 as q"),
    "integers": (dict(q=np.zeros((2, 70, 3, 20), int)), "q is int64, wanted float64"),
    "rates": (dict(decay=[0, -1, 2]), "decay has a rate of -1.0, wanted 0 or more"),
    "state": (dict(initial_state=draw(2, 3, 12, 20)), "initial_state has shape [2, 3, 12, 20], "
                                                      "wanted [2, 3, 20, 12]"),
    "packed batch": (dict(cu_seqlens=[0, 70]), "B is 2, wanted 1: cu_seqlens"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_speak_the_callers_shapes(name):
    changes, message = ERRORS[name]
    q, k, v, decay = inputs()
    with pytest.raises(ValueError) as info:
        tnl.lightning_attention(**{**dict(q=q, k=k, v=v, decay=decay), **changes})
    assert message in str(info.value)


def test_offsets_are_checked():
    q, k, v, decay = inputs(B=1)
    for offsets, message in (([0, 60], "cu_seqlens ends at 60, wanted T = 70"),
                             ([0, 40, 30, 70], "cu_seqlens decreases from 40 to 30"),
                             ([1, 70], "cu_seqlens[0] is 1, wanted 0")):
        with pytest.raises(ValueError) as info:
            tnl.lightning_attention(q, k, v, decay, cu_seqlens=offsets)
        assert message in str(info.value)
    with pytest.raises(ValueError, match="slots.0. is 9, wanted less than states = 5"):
        tnl.lightning_attention_step(q[0, :1], k[0, :1], v[0, :1], decay,
                                     np.zeros((5, 3, 20, 12), np.float32), [9])
    with pytest.raises(TypeError, match="wanted a torch tensor, a NumPy array or a JAX array"):
        tnl.lightning_attention([[1.0]], k, v, decay)


def test_decay_rates():
    assert np.allclose(tnl.alibi_slopes(8), [2.0 ** -n for n in range(1, 9)])
    assert np.allclose(tnl.alibi_slopes(3), [2.0 ** -4, 2.0 ** -8, 2.0 ** -2])
    assert np.allclose(tnl.alibi_slopes(40)[32:], [2 ** (-(2 * i + 1) / 8) for i in range(8)])
    assert np.allclose(tnl.decay_rates(2, 1, 3), np.array([1 / 16, 1 / 256]) * (0.5 + 1e-5))
    assert np.allclose(tnl.decay_rates(4, 1, 2, "paper"), [1, 2, 3, 4])
    assert np.allclose(tnl.decay_rates(4, 1, 2, "fla"), [0, 1, 2, 3])
    assert tnl.decay_rates(2, 0, 1, "none") == [0, 0]
    with pytest.raises(ValueError, match="layer is 3, wanted 0 to 2"):
        tnl.decay_rates(2, 3, 3)


def test_threads_and_forks():
    q, k, v, decay = inputs()
    wanted = tnl.lightning_attention(q, k, v, decay)
    before = tnl.threads()
    tnl.set_threads(1)
    assert tnl.threads() == 1
    assert error(tnl.lightning_attention(q, k, v, decay), wanted.astype(np.float64)) < 1e-6
    tnl.set_threads(0)
    assert tnl.threads() == before
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(tnl.lightning_attention(q, k, v, decay), wanted) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_imports_nothing_that_is_not_used():
    code = ("import sys, numpy, transnormer; "
            "transnormer.lightning_attention(*[numpy.ones((1, 2, 1, 4))] * 3, [0.0]); "
            "sys.exit('torch' in sys.modules or 'jax' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
