"""torch.compile, with the default compiler where it works (it needs a C++ compiler) and by graph
capture alone everywhere: never a graph break."""

import shutil

import pytest

torch = pytest.importorskip("torch", reason="no torch")

import transnormer as tnl  # noqa: E402
from test_torch import error, inputs, states  # noqa: E402

BACKENDS = ["eager", "aot_eager", "inductor"]


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()


def skip_without_compiler(backend, device):
    if backend == "inductor" and device == "cpu" and not shutil.which("g++"):
        pytest.skip("no g++ for inductor")


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_graph_breaks(device, backend):
    skip_without_compiler(backend, device)
    q, k, v, decay = inputs(device)
    state = states(2, device)

    def layer(q, k, v, s):
        o, final = tnl.lightning_attention(torch.nn.functional.silu(q), k, v, decay, s, True)
        return o * 2, final

    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    results = []
    for function in (layer, compiled):
        x = [t.clone().requires_grad_() for t in (q, k, v, state)]
        o, final = function(*x)
        (o.sum() + final.square().sum()).backward()
        results.append([o, final, *(t.grad for t in x)])
    for a, b in zip(*results):
        assert a.stride() == b.stride() and error(b, a) < 1e-5


def test_dynamic_lengths_and_layouts(device):
    compiled = torch.compile(
        lambda q, k, v, d: tnl.lightning_attention(q * 1, k, v, d, head_first=True),
        backend="aot_eager", fullgraph=True, dynamic=True)
    for T in (8, 33, 70):
        q, k, v, decay = inputs(device, T=T)
        turned = [x.transpose(1, 2) for x in (q, k, v)]
        assert error(compiled(*turned, decay),
                     tnl.lightning_attention(*turned, decay, head_first=True)) < 1e-6


def test_packed_sequences(device):
    q, k, v, decay = inputs(device, B=1)
    compiled = torch.compile(lambda o: tnl.lightning_attention(q, k, v, decay, None, True, o),
                             backend="aot_eager", fullgraph=True)
    for offsets in ([0, 10, 70], [0, 33, 70]):
        offsets = torch.tensor(offsets, device=device)
        for a, b in zip(compiled(offsets),
                        tnl.lightning_attention(q, k, v, decay, None, True, offsets)):
            assert torch.equal(a, b)


def test_steps_in_place(device):
    q, k, v, decay = inputs(device, T=4)
    compiled = torch.compile(tnl.lightning_attention_step, backend="aot_eager", fullgraph=True)
    a, b = states(5, device), states(5, device)
    slots = torch.tensor([3, 1], device=device)
    for t in range(4):
        x = (q[:, t], k[:, t], v[:, t], decay)
        assert torch.equal(compiled(*x, a, slots), tnl.lightning_attention_step(*x, b, slots))
    assert torch.equal(a, b)


def test_autocast_inside(device):
    q, k, v, decay = inputs(device)

    def layer(q):
        with torch.autocast(device, dtype=torch.bfloat16):
            return tnl.lightning_attention(q, k, v, decay)

    o = torch.compile(layer, backend="aot_eager", fullgraph=True)(q)
    assert o.dtype == torch.bfloat16 and torch.equal(o, layer(q))


def test_module(device):
    skip_without_compiler("inductor", device)
    torch.manual_seed(0)
    layer = tnl.TNLAttention(32, 4, layer=0, layers=4, use_lrpe=True).to(device)
    x = torch.randn(2, 40, 32, device=device)
    compiled = torch.compile(layer, fullgraph=True)
    assert error(compiled(x), layer(x)) < 1e-5


def test_export(device):
    class Layer(torch.nn.Module):
        def forward(self, q, k, v, decay):
            return tnl.lightning_attention(q, k, v, decay)

    x = inputs(device)
    program = torch.export.export(Layer(), x)
    assert torch.equal(program.module()(*x), tnl.lightning_attention(*x))
