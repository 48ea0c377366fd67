"""TNLAttention: the released checkpoints' token mixer. A whole model made of it must be the model
that the C++ program computes from the same files."""

import json
import os
import subprocess
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="no torch")

import transnormer as tnl  # noqa: E402
from test_torch import error  # noqa: E402

from transnormer.attention import SimpleRMSNorm  # noqa: E402

BINARY = os.environ.get("TRANSNORMER", str(Path(__file__).parents[2] / "build/transnormer"))

CONFIG = dict(architectures=["TransnormerForCausalLM"], model_type="transnormer",
              torch_dtype="float32", vocab_size=97, decoder_embed_dim=48, hidden_dim=48,
              decoder_layers=3, decoder_attention_heads=3, glu_dim=40, bias=False,
              no_scale_embedding=False, linear_use_lrpe_list=[1, 0, 0], init_std=0.06,
              linear_act_fun="swish", norm_type="simplermsnorm", add_bos_token=False,
              pad_token_id=0, bos_token_id=1, eos_token_id=2, tie_word_embeddings=True)
VARIANTS = {
    "tnl": {}, "tnl3": dict(gate_dim=16), "tnl3_exp": dict(gate_dim=8, linear_act_fun="exp"),
    "exp": dict(linear_act_fun="exp"), "bias": dict(bias=True), "paper": dict(decay_law="paper"),
    "lrpe_everywhere": dict(linear_use_lrpe_list=[1, 1, 1]), "no_gate": dict(output_gate=False),
    "layernorm": dict(norm_type="layernorm"), "rmsnorm": dict(norm_type="rmsnorm"),
    "five_heads": dict(decoder_attention_heads=5, hidden_dim=35),
    "activations": dict(linear_act_fun="1+elu", value_act_fun="gelu", gate_act_fun="silu"),
}


class Glu(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        C, F, bias = config["decoder_embed_dim"], config["glu_dim"], config["bias"]
        self.l1, self.l2, self.l3 = (torch.nn.Linear(a, b, bias=bias)
                                     for a, b in ((C, F), (C, F), (F, C)))

    def forward(self, x):
        return self.l3(self.l1(x) * self.l2(x))


def make_norm(config):
    C = config["decoder_embed_dim"]
    if config["norm_type"] == "simplermsnorm":
        return SimpleRMSNorm()
    if config["norm_type"] == "rmsnorm":
        return torch.nn.RMSNorm(C, eps=1e-6)
    return torch.nn.LayerNorm(C)


class Block(torch.nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.token_norm, self.channel_norm = make_norm(config), make_norm(config)
        self.token_mixer = tnl.TNLAttention.from_config(config, layer)
        self.channel_mixer = Glu(config)


class Body(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.embed_tokens = torch.nn.Embedding(config["vocab_size"], config["decoder_embed_dim"])
        self.layers = torch.nn.ModuleList(Block(config, i)
                                          for i in range(config["decoder_layers"]))
        self.final_norm = make_norm(config)


class Model(torch.nn.Module):
    """Named as the checkpoints name their tensors."""

    def __init__(self, config):
        super().__init__()
        self.model = Body(config)
        self.scale = config["decoder_embed_dim"] ** 0.5

    def forward(self, ids):
        x, states = self.scale * self.model.embed_tokens(ids), []
        for block in self.model.layers:
            y, state = block.token_mixer(block.token_norm(x), output_state=True)
            states.append(state)
            x = x + y
            x = x + block.channel_mixer(block.channel_norm(x))
        return self.model.final_norm(x) @ self.model.embed_tokens.weight.T, states

    def step(self, ids, states, position):
        x = self.scale * self.model.embed_tokens(ids)
        for block, state in zip(self.model.layers, states):
            x = x + block.token_mixer.step(block.token_norm(x), state,
                                           positions=torch.full_like(ids, position))
            x = x + block.channel_mixer(block.channel_norm(x))
        return self.model.final_norm(x) @ self.model.embed_tokens.weight.T


def random_model(config):
    torch.manual_seed(1)
    model = Model(config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "theta" not in name:
                p.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0,
                          config["init_std"])
    return model


# Logits, states, greedy decoding with states in place, loss, and the gradient of every weight.
@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_model_as_in_cpp(name, tmp_path):
    save_file = pytest.importorskip("safetensors.torch", reason="no safetensors").save_file
    if not Path(BINARY).exists():
        pytest.skip(f"{BINARY} is not built")
    config = {**CONFIG, **VARIANTS[name]}
    model = random_model(config)
    ids = torch.randint(3, 97, (2, 65))
    weights = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    model.double()
    logits, states = model(ids)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    loss.backward()
    expected = {"input_ids": ids, "prefill_logits": logits, "train_loss": loss.reshape(1)}
    states = [state.detach().clone() for state in states]
    expected.update({f"prefill_state.{i}": state.clone() for i, state in enumerate(states)})
    greedy, decoded, last = [], [], logits[:, -1]
    with torch.no_grad():
        for position in range(65, 70):
            greedy.append(last.argmax(dim=-1))
            last = model.step(greedy[-1], states, position)
            decoded.append(last)
    expected |= {"greedy_ids": torch.stack(greedy, 1), "decode_logits": torch.stack(decoded, 1)}
    narrow = {k: v.detach().to(torch.float32 if v.is_floating_point() else v.dtype).contiguous()
              for k, v in expected.items()}
    save_file(narrow, tmp_path / "expected.safetensors")
    save_file({k: p.grad.float().contiguous() for k, p in model.named_parameters()},
              tmp_path / "gradients.safetensors")
    done = subprocess.run([BINARY, "verify", "--model", str(tmp_path), "--expected",
                           str(tmp_path / "expected.safetensors"), "--gradients",
                           str(tmp_path / "gradients.safetensors")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("options", [{}, dict(gate_dim=8), dict(use_lrpe=True)], ids=str)
def test_whole_equals_parts_equals_steps(device, options):
    torch.manual_seed(0)
    layer = tnl.TNLAttention(32, 4, layer=1, layers=4, init_std=0.3, **options).to(device).double()
    x = torch.randn(3, 20, 32, device=device, dtype=torch.float64)
    with torch.no_grad():
        whole, last = layer(x, output_state=True)
        places = torch.arange(20, device=device)
        a, state = layer(x[:, :13], output_state=True)
        b, state = layer(x[:, 13:], state, True, positions=places[13:])
        assert error(torch.cat([a, b], dim=1), whole) < 1e-12 and error(state, last) < 1e-12
        pool = layer.new_state(5)
        slots = torch.tensor([4, 0, 2], device=device)
        for t in range(20):
            y = layer.step(x[:, t], pool, slots, places[t].expand(3))
            assert error(y, whole[:, t]) < 1e-12
        assert error(pool[slots], last) < 1e-12


def test_dtypes_leave_the_decay_alone(device):
    layer = tnl.TNLAttention(64, 4, layer=0, layers=24).to(device)
    rates = layer.decay.clone()
    layer.to(torch.bfloat16)
    assert layer.decay.dtype == torch.float32 and torch.equal(layer.decay, rates)
    assert layer(torch.randn(1, 9, 64, device=device, dtype=torch.bfloat16)).dtype == torch.bfloat16
    layer.double()
    assert layer.decay.dtype == torch.float64
    assert torch.equal(layer.decay.cpu(), torch.tensor(tnl.decay_rates(4, 0, 24)).double()
                       ) or error(layer.decay, rates) < 1e-7
    assert "decay" not in layer.state_dict()


def test_it_trains(device):
    torch.manual_seed(0)
    layer = tnl.TNLAttention(32, 4, init_std=0.1).to(device)
    optimizer = torch.optim.Adam(layer.parameters(), lr=3e-3)
    x = torch.randn(4, 64, 32, device=device)
    target = torch.roll(x, 1, dims=1)  # the token before
    losses = []
    for _ in range(60):
        loss = (layer(x) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_errors():
    with pytest.raises(ValueError, match="hidden_dim is 30, wanted a multiple of num_heads 4"):
        tnl.TNLAttention(30, 4)
    with pytest.raises(ValueError, match="linear_act_fun is 'swoosh', wanted one of none, "):
        tnl.TNLAttention(32, 4, linear_act_fun="swoosh")
    layer = tnl.TNLAttention(32, 4, use_lrpe=True)
    with pytest.raises(ValueError, match=r"x has shape \[2, 9, 31\], wanted \[B, T, 32\]"):
        layer(torch.zeros(2, 9, 31))
    with pytest.raises(ValueError, match="positions are missing"):
        layer.step(torch.zeros(2, 32), layer.new_state(2))
