"""Other libraries' names: their conventions, written out here, and, where they are installed and
there is a GPU for them, they themselves."""

import math

import pytest

torch = pytest.importorskip("torch", reason="no torch")

import transnormer as tnl  # noqa: E402
from plain_torch import attention  # noqa: E402
from test_torch import error, inputs, states  # noqa: E402


def slopes_of_the_triton_package(heads):
    """As its _build_slope_tensor defines them: a geometric row, [H, 1, 1]."""
    def row(n):
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start ** (i + 1) for i in range(n)]
    near = 2 ** math.floor(math.log2(heads))
    values = row(near)
    if near != heads:
        values += slopes_of_the_triton_package(2 * near).flatten().tolist()[0::2][:heads - near]
    return torch.tensor(values).reshape(heads, 1, 1)


@pytest.mark.parametrize("heads", [1, 8, 12, 40])
def test_alibi_slopes_are_those_of_the_triton_package(heads):
    assert torch.allclose(torch.tensor(tnl.alibi_slopes(heads)),
                          slopes_of_the_triton_package(heads).flatten(), rtol=1e-6)


@pytest.mark.parametrize("D,E", [(20, 12), (64, 64), (192, 96)])
def test_lightning_attn_func(device, D, E):
    q, k, v, _ = inputs(device, T=50, D=D, E=E)
    s = slopes_of_the_triton_package(3).to(device)
    by_heads = [x.transpose(1, 2).contiguous().requires_grad_() for x in (q, k, v)]
    o = tnl.lightning_attn_func(*by_heads, s)
    o.sum().backward()
    plain = [x.double().cpu().requires_grad_() for x in (q, k, v)]
    wanted, _ = attention(*plain, s.double().cpu().flatten())
    wanted.sum().backward()
    assert error(o.transpose(1, 2), wanted) < 2e-5
    for a, b in zip(by_heads, plain):
        assert error(a.grad.transpose(1, 2), b.grad) < 2e-5
    assert torch.equal(tnl.lightning_attn_func(*by_heads, s.flatten(), variant="parallel"), o)
    wanted, _ = attention(*(x.detach() for x in plain), torch.zeros(3).double())
    assert error(tnl.lightning_attn_func(*by_heads).transpose(1, 2), wanted) < 2e-5
    with pytest.raises(ValueError, match="variant is 'block'"):
        tnl.lightning_attn_func(*by_heads, s, variant="block")


@pytest.mark.parametrize("head_first", [False, True])
def test_chunk_lightning_attn(device, head_first):
    q, k, v, _ = inputs(device, T=50)
    state = states(2, device)
    turn = (lambda x: x.transpose(1, 2)) if head_first else (lambda x: x)
    o, final = tnl.chunk_lightning_attn(turn(q), turn(k), turn(v), 1, 4, initial_state=state,
                                        output_final_state=True, head_first=head_first)
    decay = torch.tensor([0.0, 1.0, 2.0]).double() * 8 / 3 * (1 - 1 / 4)  # the first: none
    wanted, wanted_state = attention(*(x.double().cpu() for x in (q, k, v)), decay,
                                     state.double().cpu(), scale=20 ** -0.5)
    assert error(turn(o), wanted) < 2e-5 and error(final, wanted_state) < 2e-5
    o, none = tnl.chunk_lightning_attn(turn(q), turn(k), turn(v), 1, 4, 1.0, head_first=head_first)
    wanted, _ = attention(*(x.double().cpu() for x in (q, k, v)), decay)
    assert none is None and error(turn(o), wanted) < 2e-5


def test_chunk_lightning_attn_packed(device):
    q, k, v, _ = inputs(device, B=1, T=50)
    offsets = torch.tensor([0, 20, 50], device=device)
    o, final = tnl.chunk_lightning_attn(q, k, v, 0, 2, output_final_state=True, cu_seqlens=offsets,
                                        chunk_size=64)
    decay = torch.tensor([0.0, 1.0, 2.0]).double() * 8 / 3
    wanted, wanted_state = attention(*(x.double().cpu() for x in (q, k, v)), decay,
                                     cu_seqlens=[0, 20, 50], scale=20 ** -0.5)
    assert error(o, wanted) < 2e-5 and error(final, wanted_state) < 2e-5
    with pytest.raises(TypeError, match="unknown argument 'reverse'"):
        tnl.chunk_lightning_attn(q, k, v, 0, 2, reverse=True)


needs_gpu = pytest.mark.skipif(not (torch.cuda.is_available() and tnl.built_with_cuda()),
                               reason="the other libraries need a GPU")


def compare_with_peer(peer, ours, arguments, T=512, scale=1.0):
    """Both against each other: output and gradients within bf16's rounding."""
    results = []
    for function in (peer, ours):
        x = [t.clone().requires_grad_() for t in arguments]
        o = function(*x)
        o.float().square().sum().backward()
        results.append([o, *(t.grad for t in x)])
    for a, b in zip(*results):
        assert error(b, a) < 2e-2


@needs_gpu
def test_beside_flash_linear_attention():
    fla = pytest.importorskip("fla.ops.lightning_attn", reason="flash-linear-attention is not here")
    q, k, v, _ = inputs("cuda", T=512, H=4, D=128, E=128, dtype=torch.bfloat16)
    compare_with_peer(lambda *x: fla.chunk_lightning_attn(*x, 1, 4)[0],
                      lambda *x: tnl.chunk_lightning_attn(*x, 1, 4)[0], (q, k, v))


@needs_gpu
def test_beside_the_triton_package():
    peer = pytest.importorskip("lightning_attn.ops", reason="lightning_attn is not installed")
    q, k, v, _ = inputs("cuda", T=512, H=4, D=128, E=128, dtype=torch.bfloat16)
    s = slopes_of_the_triton_package(4).cuda()
    by_heads = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
    compare_with_peer(lambda *x: peer.lightning_attn_func(*x, s),
                      lambda *x: tnl.lightning_attn_func(*x, s), by_heads)
