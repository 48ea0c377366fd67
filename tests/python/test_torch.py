"""torch tensors, on the CPU and, where there is one, on a GPU: values, gradients, layouts, states."""

import pytest

torch = pytest.importorskip("torch", reason="no torch")

import transnormer as tnl  # noqa: E402
from plain_torch import attention  # noqa: E402

# Of the largest number, for o and gradients: inputs are rounded, sums are float32's.
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}
# Of states and their gradients: float32, but 16-bit products may round their decayed operands.
STATE_TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5, torch.bfloat16: 4e-3,
                   torch.float16: 1e-3}
RATES = [0.0, 0.03, 0.6, 8.0]


def inputs(device, B=2, T=70, H=3, D=20, E=12, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(B, T, H, n, generator=g).to(dtype).to(device) for n in (D, D, E))
    acc = torch.float64 if dtype == torch.float64 else torch.float32
    return q, k, v, torch.tensor(RATES[:H], dtype=acc, device=device)


def states(n, device, H=3, D=20, E=12, seed=9):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, H, D, E, generator=g).to(device)


def error(got, wanted):
    got, wanted = got.detach().double().cpu(), wanted.detach().double().cpu()
    assert got.shape == wanted.shape
    if got.numel() == 0:
        return 0.0
    return ((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30)).item()


def wide(*tensors):
    return [None if x is None else x.detach().double().cpu().requires_grad_(x.is_floating_point())
            for x in tensors]


def compare(device, dtype, shape, cu_seqlens=None, scale=None, with_state=True, head_first=False):
    """Output, final state and every gradient against plain torch in float64 on the same inputs."""
    q, k, v, decay = inputs(device, *shape, dtype=dtype)
    B, T, H, D, E = shape
    n = B if cu_seqlens is None else len(cu_seqlens) - 1
    state = states(n, device, H, D, E) if with_state else None
    do = inputs(device, *shape, dtype=dtype, seed=5)[2]
    dstate = states(n, device, H, D, E, seed=6)
    offsets = None if cu_seqlens is None else torch.tensor(cu_seqlens, device=device)

    turn = (lambda x: x.transpose(1, 2).contiguous()) if head_first else (lambda x: x)
    mine = [turn(x).requires_grad_() for x in (q, k, v)]
    mine.append(state.requires_grad_() if with_state else None)
    o, final = tnl.lightning_attention(*mine[:3], decay, mine[3], True, offsets, scale, head_first)
    ((o.float() * turn(do).float()).sum() + (final * dstate).sum()).backward()

    plain = wide(q, k, v, state)
    wo, wfinal = attention(*plain[:3], decay.double().cpu(), plain[3], cu_seqlens, scale or 1.0)
    ((wo * do.double().cpu()).sum() + (wfinal * dstate.double().cpu()).sum()).backward()
    assert o.dtype == dtype and final.dtype == decay.dtype
    bound = TOLERANCE[dtype]
    assert error(turn(o), wo) < bound
    assert error(final, wfinal) < STATE_TOLERANCE[dtype]
    for a, b in zip(mine[:3], plain[:3]):
        assert error(turn(a.grad), b.grad) < bound
    if with_state:
        # (the tests' states are float32, so their gradients are rounded to that)
        assert error(mine[3].grad, plain[3].grad) < max(STATE_TOLERANCE[dtype], 1e-7)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("T", [1, 2, 64, 65, 200])
def test_lengths(device, dtype, T):
    compare(device, dtype, (2, T, 3, 20, 12))


@pytest.mark.parametrize("D,E", [(16, 16), (64, 64), (96, 128), (128, 128), (192, 80), (256, 256),
                                 (17, 33), (1, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_widths(device, dtype, D, E):
    compare(device, dtype, (1, 130, 4, D, E), scale=0.25)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("offsets", [[0, 130], [0, 0, 1, 64, 64, 129, 130], [0, 65, 130, 130]])
def test_variable_length(device, dtype, offsets):
    compare(device, dtype, (1, 130, 3, 32, 48), offsets)


def test_hundreds_of_short_sequences(device):
    g = torch.Generator().manual_seed(3)
    lengths = torch.randint(0, 6, (300,), generator=g)
    offsets = [0, *lengths.cumsum(0).tolist()]
    compare(device, torch.bfloat16, (1, offsets[-1], 2, 32, 32), offsets)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_head_first(device, dtype):
    compare(device, dtype, (2, 70, 3, 32, 48), head_first=True)


def test_without_states_and_with_scale(device):
    compare(device, torch.float32, (2, 70, 3, 20, 12), scale=0.1, with_state=False)


def test_views_are_read_in_place(device):
    """Slices of a fused projection and transposed memory give the same bits as contiguous copies,
    a key that all heads share the same values."""
    B, T, H, D = 2, 70, 3, 32
    fused = torch.randn(B, T, 3 * H * D, device=device, dtype=torch.bfloat16)
    q, k, v = (x.reshape(B, T, H, D) for x in fused.split(H * D, dim=-1))
    assert not q.is_contiguous()
    decay = torch.tensor(RATES[:3], device=device)
    wanted = tnl.lightning_attention(*(x.contiguous() for x in (q, k, v)), decay)
    assert torch.equal(tnl.lightning_attention(q, k, v, decay), wanted)
    turned = [x.transpose(1, 2) for x in (q, k, v)]
    o = tnl.lightning_attention(*turned, decay, head_first=True)
    assert torch.equal(o.transpose(1, 2), wanted)
    assert o.transpose(1, 2).is_contiguous()  # laid out as q is
    spread = [x.repeat_interleave(2, dim=3)[..., ::2] for x in (q, k, v)]
    assert torch.equal(tnl.lightning_attention(*spread, decay), wanted)
    one_key = k[:, :, :1].expand(B, T, H, D)
    o = tnl.lightning_attention(q, one_key, v, decay)
    wanted = tnl.lightning_attention(q, one_key.contiguous(), v, decay)
    # The copy engine of a GPU takes no stride of 0: another kernel serves, which rounds otherwise.
    assert torch.equal(o, wanted) if device == "cpu" else error(o, wanted) < TOLERANCE[o.dtype]


@pytest.mark.parametrize("head_first", [False, True])
def test_gradcheck(device, head_first):
    q, k, v, decay = inputs(device, T=5, D=3, E=4, dtype=torch.float64)
    state = states(2, device, D=3, E=4).double().requires_grad_()
    q, k, v = ((x.transpose(1, 2) if head_first else x).requires_grad_() for x in (q, k, v))
    assert torch.autograd.gradcheck(
        lambda q, k, v, s: tnl.lightning_attention(q, k, v, decay, s, True, scale=0.7,
                                                   head_first=head_first), (q, k, v, state))
    offsets = torch.tensor([0, 2, 2, 5], device=device)
    states3 = states(3, device, D=3, E=4).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda q, k, v, s: tnl.lightning_attention(q, k, v, decay, s, True, offsets,
                                                   head_first=head_first),
        (q[:1], k[:1], v[:1], states3))


def test_opcheck(device):
    """torch's own checks of a custom operator: schema, fake kernel, autograd, compilation."""
    q, k, v, decay = inputs(device, T=6)
    state = states(2, device).requires_grad_()
    for x in (q, k, v):
        x.requires_grad_()
    for final, head_first in ((True, False), (False, True)):
        h = 6 if head_first else 3
        rates = decay.new_zeros(h)
        first = states(2, device, H=h) if head_first else state
        torch.library.opcheck(torch.ops.transnormer.lightning_forward,
                              (q, k, v, rates, first, None, 1.0, final, head_first))
    pool = states(4, device)
    slots = torch.tensor([3, 1], dtype=torch.int32, device=device)
    torch.library.opcheck(torch.ops.transnormer.lightning_step,
                          (q[:, 0].detach(), k[:, 0].detach(), v[:, 0].detach(), decay, pool,
                           slots, 1.0))


def test_only_the_gradients_that_are_asked_for(device):
    q, k, v, decay = inputs(device)
    v.requires_grad_()
    o, final = tnl.lightning_attention(q, k, v, decay, output_final_state=True)
    (g,) = torch.autograd.grad(final.sum(), v, retain_graph=True)
    assert g.abs().sum() > 0 and q.grad is None
    (g,) = torch.autograd.grad(o.sum(), v)
    assert g.abs().sum() > 0
    with torch.no_grad():
        assert not tnl.lightning_attention(q, k, v, decay).requires_grad
    state = states(2, device, seed=1).to(torch.bfloat16).requires_grad_()  # any dtype
    tnl.lightning_attention(q, k, v, decay, state).sum().backward()
    assert state.grad.dtype == torch.bfloat16


def test_split_anywhere(device):
    q, k, v, decay = inputs(device, dtype=torch.float64)
    whole, last = tnl.lightning_attention(q, k, v, decay, output_final_state=True)
    for cut in (1, 7, 64, 69):
        a, state = tnl.lightning_attention(q[:, :cut], k[:, :cut], v[:, :cut], decay, None, True)
        b, state = tnl.lightning_attention(q[:, cut:], k[:, cut:], v[:, cut:], decay, state, True)
        assert error(torch.cat([a, b], dim=1), whole) < 1e-13 and error(state, last) < 1e-13


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_steps_in_place(device, dtype):
    q, k, v, decay = inputs(device, B=3, T=9, D=64, E=64, dtype=dtype)
    wanted, last = tnl.lightning_attention(q, k, v, decay, output_final_state=True)
    pool = torch.full((5, 3, 64, 64), 7.0, dtype=decay.dtype, device=device)
    slots = torch.tensor([4, 0, 2], device=device)
    pool[slots] = 0
    for t in range(9):
        o = tnl.lightning_attention_step(q[:, t], k[:, t], v[:, t], decay, pool, slots)
        assert error(o, wanted[:, t]) < TOLERANCE[dtype]
    assert error(pool[slots], last) < STATE_TOLERANCE[dtype]
    assert (pool[[1, 3]] == 7).all()
    none = torch.full((3,), -1, device=device)  # no state: from zero, nothing kept
    before = pool.clone()
    o = tnl.lightning_attention_step(q[:, 0], k[:, 0], v[:, 0], decay, pool, none)
    assert error(o, wanted[:, 0]) < TOLERANCE[dtype] and torch.equal(pool, before)
    in_turn = torch.zeros(3, 3, 64, 64, dtype=decay.dtype, device=device)
    for t in range(9):
        o = tnl.lightning_attention_step(q[:, t], k[:, t], v[:, t], decay, in_turn)
    assert torch.equal(in_turn, pool[slots])


def test_no_tokens(device):
    q, k, v, decay = inputs(device, T=0)
    state = states(2, device)
    q.requires_grad_()
    o, final = tnl.lightning_attention(q, k, v, decay, state.requires_grad_(), True)
    assert o.shape == (2, 0, 3, 12) and torch.equal(final, state)
    (o.sum() + (2 * final).sum()).backward()
    assert q.grad.shape == q.shape and torch.equal(state.grad, torch.full_like(state, 2))


def test_bitwise_repeatable(device):
    q, k, v, decay = inputs(device, B=1, T=3000, H=2, D=64, E=64, dtype=torch.bfloat16)
    results = []
    for _ in range(2):
        x = [t.clone().requires_grad_() for t in (q, k, v)]
        o = tnl.lightning_attention(*x, decay)
        o.float().square().sum().backward()
        results.append([o, *(t.grad for t in x)])
    for a, b in zip(*results):
        assert torch.equal(a, b)


def test_autocast(device):
    q, k, v, decay = inputs(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        o, final = tnl.lightning_attention(q.requires_grad_(), k, v, decay, states(2, device), True)
        mixed = tnl.lightning_attention(q.to(torch.bfloat16), k, v, decay)
    assert o.dtype == mixed.dtype == torch.bfloat16 and final.dtype == torch.float32
    o.sum().backward()
    assert q.grad.dtype == torch.float32
    narrow = [x.detach().to(torch.bfloat16) for x in (q, k, v)]
    assert torch.equal(o, tnl.lightning_attention(*narrow, decay, states(2, device)))


def test_checkpointing(device):
    from torch.utils.checkpoint import checkpoint
    q, k, v, decay = inputs(device)
    q.requires_grad_()
    (wanted,) = torch.autograd.grad(tnl.lightning_attention(q, k, v, decay).sum(), q)
    o = checkpoint(tnl.lightning_attention, q, k, v, decay, use_reentrant=False)
    assert torch.equal(torch.autograd.grad(o.sum(), q)[0], wanted)


def test_errors_speak_the_callers_shapes(device):
    q, k, v, decay = inputs(device)

    def message(error=ValueError, **changes):
        with pytest.raises(error) as info:
            tnl.lightning_attention(**{**dict(q=q, k=k, v=v, decay=decay), **changes})
        return str(info.value)

    assert "k has shape [2, 69, 3, 20], wanted that of q, [2, 70, 3, 20] ([B, T, H, D])" in (
        message(k=k[:, 1:]))
    assert "v has shape [2, 70, 2, 12], wanted [2, 70, 3, E]" in message(v=v[:, :, 1:])
    assert "v has shape [2, 70, 3], wanted" in message(v=v[..., 0])
    assert "decay has shape [4], wanted [3]" in message(decay=decay.new_zeros(4))
    assert "decay has shape [3], wanted [70]" in message(head_first=True)
    assert "decay requires a gradient" in message(decay=decay.clone().requires_grad_())
    assert "decay is a list" in message(TypeError, decay=[0.0, 0.0, 0.0])
    assert "k is torch.float64, wanted torch.float32 as q" in message(k=k.double())
    assert "q is torch.int64" in message(q=q.long())
    assert "initial_state has shape [2, 3, 12, 20], wanted [2, 3, 20, 12]" in (
        message(initial_state=states(2, device).transpose(2, 3)))
    offsets = torch.tensor([0, 70], device=device)
    assert "B is 2, wanted 1" in message(cu_seqlens=offsets)
    assert "cu_seqlens is torch.float32" in message(q=q[:1], k=k[:1], v=v[:1],
                                                    cu_seqlens=offsets.float())
    with pytest.raises(ValueError, match=r"cu_seqlens ends at 60, wanted T = 70"):
        tnl.lightning_attention(q[:1], k[:1], v[:1], decay, cu_seqlens=torch.tensor([0, 60]))
    with pytest.raises(RuntimeError, match="has no gradient"):
        tnl.lightning_attention_step(q[:, 0].requires_grad_(), k[:, 0], v[:, 0], decay,
                                     states(2, device))
    with pytest.raises(ValueError, match=r"state has shape .3, 3, 20, 12., wanted .2, 3, 20, 12."):
        tnl.lightning_attention_step(q[:, 0], k[:, 0], v[:, 0], decay, states(3, device))


def test_a_second_derivative_is_refused(device):
    q, k, v, decay = inputs(device, T=4)
    q.requires_grad_()
    (g,) = torch.autograd.grad(tnl.lightning_attention(q, k, v, decay).square().sum(), q,
                               create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        g.sum().backward()


def test_plan(device):
    q, k, v, _ = inputs(device)
    assert tnl.lightning_attention_plan(q, k, v)
    assert tnl.lightning_attention_plan(q, k, v, backward=True)


def test_meta_tensors():
    q, k, v, decay = inputs("meta")
    o, final = tnl.lightning_attention(q, k, v, decay, None, True)
    assert o.shape == v.shape and final.shape == (2, 3, 20, 12) and o.device.type == "meta"
