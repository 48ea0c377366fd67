"""What only a GPU has: streams, graphs, offsets in its memory, two GPUs."""

import pytest

torch = pytest.importorskip("torch", reason="no torch")

import transnormer as tnl  # noqa: E402
from test_torch import error, inputs, states  # noqa: E402

pytestmark = pytest.mark.skipif(
    not (torch.cuda.is_available() and tnl.built_with_cuda()),
    reason="torch sees no GPU" if not torch.cuda.is_available() else "built without CUDA")


def fast_inputs(**options):
    return inputs("cuda", **{**dict(T=512, H=4, D=128, E=128, dtype=torch.bfloat16), **options})


def test_the_callers_stream():
    q, k, v, decay = fast_inputs(T=4096)
    wanted = tnl.lightning_attention(q, k, v, decay)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(50_000_000)
        late = q.clone()  # done only after the sleep
        o = tnl.lightning_attention(late, k, v, decay)
        assert not side.query()  # nothing waited
    side.synchronize()
    assert torch.equal(o, wanted)


def test_forward_and_backward_in_a_graph():
    q, k, v, decay = fast_inputs()
    offsets = torch.tensor([0, 100, 100, 512], device="cuda")
    q, k, v = (x[:1].contiguous().requires_grad_() for x in (q, k, v))
    state = states(3, "cuda", 4, 128, 128).requires_grad_()

    def run():
        o, final = tnl.lightning_attention(q, k, v, decay, state, True, offsets)
        grads = torch.autograd.grad((o.float().sum() + final.sum()), (q, k, v, state))
        return [o, final, *grads]

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(2):
            wanted = run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = run()
    with torch.no_grad():
        q.mul_(2)
        offsets.copy_(torch.tensor([0, 300, 310, 512]))
    graph.replay()
    torch.cuda.synchronize()
    wanted = run()
    for a, b in zip(got, wanted):
        assert torch.equal(a, b)


def test_steps_in_a_graph():
    q, k, v, decay = fast_inputs(B=3, T=1)
    q, k, v = (x[:, 0].contiguous() for x in (q, k, v))
    pool, slots = states(5, "cuda", 4, 128, 128), torch.tensor([4, 0, 2], dtype=torch.int32).cuda()
    start = pool.clone()
    tnl.lightning_attention_step(q, k, v, decay, pool, slots)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        o = tnl.lightning_attention_step(q, k, v, decay, pool, slots)
    pool.copy_(start)
    graph.replay()
    wanted_pool = start.clone()
    wanted = tnl.lightning_attention_step(q, k, v, decay, wanted_pool, slots)
    assert torch.equal(o, wanted) and torch.equal(pool, wanted_pool)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=str)
def test_tokens_past_the_last_offset_are_zero(dtype):
    q, k, v, decay = fast_inputs(B=1, dtype=dtype)
    torch.empty(1 << 24, device="cuda").fill_(float("nan"))  # what torch may hand out again
    offsets = torch.tensor([0, 100, 300], device="cuda", dtype=torch.int32)
    q, k, v = (x.requires_grad_() for x in (q, k, v))
    o = tnl.lightning_attention(q, k, v, decay, cu_seqlens=offsets)
    part = [x[:, :300].detach().requires_grad_() for x in (q, k, v)]
    wanted = tnl.lightning_attention(*part, decay, cu_seqlens=offsets)
    assert (o[:, 300:] == 0).all() and torch.equal(o[:, :300], wanted)
    o.float().sum().backward()
    wanted.float().sum().backward()
    for x, y in zip((q, k, v), part):
        assert (x.grad[:, 300:] == 0).all()
        assert error(x.grad[:, :300], y.grad) < 1e-2


def test_offsets_on_either_side():
    q, k, v, decay = fast_inputs(B=1)
    offsets = torch.tensor([0, 100, 300, 512])
    a = tnl.lightning_attention(q, k, v, decay, cu_seqlens=offsets)
    b = tnl.lightning_attention(q, k, v, decay, cu_seqlens=offsets.cuda())
    assert torch.equal(a, b)


def test_the_fast_kernel_serves():
    q, k, v, _ = fast_inputs()
    plan = tnl.lightning_attention_plan(q, k, v)
    if torch.cuda.get_device_capability() == (9, 0):
        assert plan.startswith("sm90"), plan
    assert tnl.lightning_attention_plan(q.float(), k.float(), v.float()).startswith("plain")


def test_errors_of_a_gpu():
    q, k, v, decay = fast_inputs()
    with pytest.raises(ValueError, match="decay lies on cpu, q on cuda:0"):
        tnl.lightning_attention(q, k, v, decay.cpu())
    with pytest.raises(ValueError, match="k lies on cpu, q on cuda:0"):
        tnl.lightning_attention(q, k.cpu(), v, decay)
    wide = torch.zeros(1, 4, 1, 300, device="cuda")
    with pytest.raises(ValueError, match="head widths 300 and 300, wanted 1 to 256"):
        tnl.lightning_attention(wide, wide, wide, decay[:1])


def test_memory_is_inputs_outputs_and_a_bounded_workspace():
    q, k, v, decay = fast_inputs(B=1, T=65536, H=2)
    tnl.lightning_attention(q, k, v, decay)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    o = tnl.lightning_attention(q, k, v, decay)
    extra = torch.cuda.max_memory_allocated() - before - o.nbytes
    # at most 64 segments of two heads' float32 states, and the allocator's rounding
    assert extra <= 65 * 2 * 128 * 128 * 4 + (4 << 20)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_another_gpu_than_the_current():
    q, k, v, decay = fast_inputs()
    wanted = tnl.lightning_attention(q, k, v, decay)
    o = tnl.lightning_attention(*(x.to("cuda:1") for x in (q, k, v, decay)))
    assert o.device.index == 1 and torch.cuda.current_device() == 0
    assert torch.equal(o.cpu(), wanted.cpu())
