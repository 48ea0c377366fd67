"""JAX arrays, by XLA custom calls: values and gradients, compiled and not, against NumPy's."""

import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="no jax")
jnp = jax.numpy

import transnormer as tnl  # noqa: E402
from test_numpy import draw, error, inputs  # noqa: E402


def on_gpu():
    return jax.default_backend() == "gpu"


if on_gpu() and not tnl.built_with_cuda():
    pytest.skip("JAX is on a GPU, the library built without CUDA", allow_module_level=True)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("head_first", [False, True])
def test_values_and_gradients(compiled, dtype, head_first):
    q, k, v, decay = inputs()
    q, k, v = (np.asarray(jnp.asarray(x, dtype), np.float32) for x in (q, k, v))  # rounded
    state, dstate = draw(2, 3, 20, 12, seed=4), draw(2, 3, 20, 12, seed=6)
    do = np.asarray(jnp.asarray(draw(*v.shape, seed=5), dtype), np.float32)
    wanted, last = tnl.lightning_attention(q, k, v, decay, state, True, scale=0.5)
    gradients = tnl.lightning_attention_backward(do, q, k, v, decay, state, dstate, scale=0.5)
    turn = (lambda x: x.swapaxes(1, 2)) if head_first else (lambda x: x)

    def loss(q, k, v, s):
        o, final = tnl.lightning_attention(q, k, v, jnp.asarray(decay), s, True, scale=0.5,
                                           head_first=head_first)
        total = (o.astype(jnp.float32) * turn(do)).sum() + (final * dstate).sum()
        return total, (o, final)

    run = jax.value_and_grad(loss, argnums=(0, 1, 2, 3), has_aux=True)
    run = jax.jit(run) if compiled else run
    arrays = [jnp.asarray(turn(x), dtype) for x in (q, k, v)]
    (_, (o, final)), got = run(*arrays, jnp.asarray(state))
    bound = {"float32": 2e-5, "bfloat16": 1e-2, "float16": 2e-3}[dtype]
    assert o.dtype == dtype and final.dtype == np.float32
    assert error(turn(np.asarray(o, np.float32)), wanted) < bound
    # 16-bit products may round their decayed operands
    of_state = {"float32": 2e-5, "bfloat16": 4e-3, "float16": 1e-3}[dtype]
    assert error(np.asarray(final), last) < of_state
    for a, b in zip(got[:3], gradients[:3]):
        assert error(turn(np.asarray(a, np.float32)), b) < bound
    assert error(np.asarray(got[3]), gradients[3]) < of_state


def test_packed_sequences_whose_offsets_are_traced():
    q, k, v, decay = inputs(B=1)
    run = jax.jit(lambda c: tnl.lightning_attention(jnp.asarray(q), jnp.asarray(k), jnp.asarray(v),
                                                    jnp.asarray(decay), cu_seqlens=c))
    for offsets in ([0, 30, 70], [0, 0, 70], [0, 69, 70]):
        wanted = tnl.lightning_attention(q, k, v, decay, cu_seqlens=offsets)
        assert error(np.asarray(run(jnp.asarray(offsets))), wanted) < 2e-5


def test_gradients_without_a_state_and_in_float64():
    with jax.enable_x64(True):
        q, k, v, decay = inputs(T=7, dtype="float64")
        do = draw(*v.shape, seed=5, dtype="float64")
        wanted = tnl.lightning_attention_backward(do, q, k, v, decay)
        got = jax.grad(lambda *x: (tnl.lightning_attention(*x, jnp.asarray(decay)) * do).sum(),
                       argnums=(0, 1, 2))(*(jnp.asarray(x) for x in (q, k, v)))
        for a, b in zip(got, wanted):
            assert a.dtype == np.float64 and error(np.asarray(a), b) < 1e-12


def test_vmap():
    q, k, v, decay = inputs()
    run = jax.vmap(lambda q, k, v: tnl.lightning_attention(q[None], k[None], v[None],
                                                           jnp.asarray(decay))[0])
    got = run(*(jnp.asarray(x) for x in (q, k, v)))
    assert error(np.asarray(got), tnl.lightning_attention(q, k, v, decay)) < 2e-5


def test_errors():
    q, k, v, decay = (jnp.asarray(x) for x in inputs(B=1))
    with pytest.raises(ValueError, match=r"k has shape \[1, 69, 3, 20\], wanted that of q"):
        tnl.lightning_attention(q, k[:, 1:], v, decay)
    with pytest.raises(TypeError, match="in place"):
        tnl.lightning_attention_step(q[:, 0], k[:, 0], v[:, 0], decay, q)
    if not on_gpu():  # the values of offsets in a GPU's memory are the caller's word
        with pytest.raises(Exception, match="cu_seqlens ends at 60, wanted T = 70"):
            tnl.lightning_attention(q, k, v, decay, cu_seqlens=jnp.asarray([0, 60]))
