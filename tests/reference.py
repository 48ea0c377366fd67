"""An independent model of TransNormerLLM in NumPy, for tests: the plain quadratic form, in float64.

Written from the formulas of 2307.14995 and 2405.17381 and the published description of the released
code; it shares nothing with the C++ sources. Gradients come from the `autograd` package.
write_fixture() puts a random checkpoint and what this model computes from it into a folder, in the
form that `transnormer verify` reads.
"""

import json
import math
from pathlib import Path

import autograd.numpy as np
import numpy as onp
from autograd import grad
from autograd.extend import defvjp, primitive
from safetensors.numpy import save_file


@primitive
def stop_gradient(x):
    return x


defvjp(stop_gradient, lambda ans, x: lambda g: onp.zeros_like(g))


erf = primitive(onp.vectorize(math.erf, otypes=[float]))
defvjp(erf, lambda ans, x: lambda g: g * 2 / math.sqrt(math.pi) * np.exp(-x * x))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def elu(x):
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


ACTIVATIONS = {
    "none": lambda x: x,
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "relu": lambda x: np.maximum(x, 0),
    "leak": lambda x: np.where(x > 0, x, 0.01 * x),
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "elu": elu,
    "1+elu": lambda x: 1 + elu(x),
    "2+elu": lambda x: 2 + elu(x),
    "sigmoid": sigmoid,
    "exp": lambda x: np.exp(x - stop_gradient(np.max(x, axis=-1, keepdims=True))),
    "sine": np.sin,
}


def alibi_slopes(heads):
    def power_of_two(n):
        start = 2 ** (-(2 ** -(math.log2(n) - 3)))
        return [start ** (i + 1) for i in range(n)]

    if math.log2(heads).is_integer():
        return power_of_two(heads)
    near = 2 ** math.floor(math.log2(heads))
    return power_of_two(near) + alibi_slopes(2 * near)[0::2][: heads - near]


def layer_slopes(config, layer):
    layers, heads = config["decoder_layers"], config["decoder_attention_heads"]
    law, warm = config.get("decay_law", "alibi"), config.get("decay_temperature", True)
    if law == "none":
        return onp.zeros(heads)
    if law == "paper":
        factor = 1 - layer / layers if warm else 1
        return onp.array([8 * (h + 1) / heads * factor for h in range(heads)])
    factor = 1 - layer / (layers - 1) + 1e-5 if warm and layers > 1 else 1
    return onp.array(alibi_slopes(heads)) * factor


class Reference:
    """Forward in float64. Weights are a dict of arrays under the checkpoint's names."""

    def __init__(self, config):
        self.config = config
        self.heads = config["decoder_attention_heads"]
        self.hidden = config["hidden_dim"]
        self.low_rank = config.get("gate_dim", 0) > 0

    def linear(self, w, name, x):
        y = np.einsum("...i,oi->...o", x, w[name + ".weight"])
        return y + w[name + ".bias"] if self.config["bias"] else y

    def norm(self, w, name, x):
        kind = self.config["norm_type"]
        if kind == "layernorm":
            x = x - np.mean(x, axis=-1, keepdims=True)
            y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-5)
            return y * w[name + ".weight"] + w[name + ".bias"]
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + 1e-6)

    def split(self, x):  # [B,T,h] -> [B,H,T,D]
        B, T, width = x.shape
        return np.transpose(np.reshape(x, (B, T, self.heads, width // self.heads)), (0, 2, 1, 3))

    def lrpe(self, theta, x):  # [B,H,T,D] -> [B,H,T,2D]; positions count from the row's start
        p = onp.arange(x.shape[2]).reshape(1, -1, 1)
        return np.concatenate([x * np.cos(theta * p), x * np.sin(theta * p)], axis=-1)

    def mixer(self, w, name, x, layer, mask):
        act = ACTIVATIONS[self.config["linear_act_fun"]]
        h = self.hidden
        if self.low_rank:
            qkv = act(self.linear(w, name + ".qkv_proj", x))
            q, k, v = (self.split(qkv[..., i * h : (i + 1) * h]) for i in range(3))
            u = self.linear(w, name + ".output_gate.0", x)
            gate = sigmoid(self.linear(w, name + ".output_gate.1", u))
        else:
            qkvu = self.linear(w, name + ".qkvu_proj", x)
            q, k = (act(self.split(qkvu[..., i * h : (i + 1) * h])) for i in range(2))
            v = self.split(qkvu[..., 2 * h : 3 * h])
            gate = qkvu[..., 3 * h :]
        if self.uses_lrpe(layer):
            theta = w[name + ".lrpe.theta"]
            q, k = self.lrpe(theta, q), self.lrpe(theta, k)
        v = v * mask[:, None, :, None]
        T = x.shape[1]
        slopes = layer_slopes(self.config, layer)
        steps = onp.arange(T)[:, None] - onp.arange(T)[None, :]
        decay = onp.where(steps >= 0, onp.exp(-slopes[:, None, None] * onp.maximum(steps, 0)), 0)
        scores = np.einsum("bhid,bhjd->bhij", q, k) * decay
        o = np.einsum("bhij,bhje->bhie", scores, v)
        last = onp.exp(-slopes[:, None] * onp.arange(T)[::-1])
        state = np.einsum("ht,bhtd,bhte->bhde", last, k, v)
        B = x.shape[0]
        o = np.reshape(np.transpose(o, (0, 2, 1, 3)), (B, T, h))
        o = self.norm(w, name + ".norm", o) * gate
        return self.linear(w, name + ".out_proj", o), state

    def uses_lrpe(self, layer):
        uses = self.config["linear_use_lrpe_list"]
        return layer < len(uses) and uses[layer] == 1

    def forward(self, w, ids, mask=None):
        """ids [B,T] -> logits [B,T,V], states by layer [B,H,D,E]."""
        c = self.config
        mask = onp.ones(ids.shape) if mask is None else mask
        scale = 1.0 if c["no_scale_embedding"] else math.sqrt(c["decoder_embed_dim"])
        x = scale * w["model.embed_tokens.weight"][ids]
        states = []
        for layer in range(c["decoder_layers"]):
            name = f"model.layers.{layer}"
            y, state = self.mixer(
                w, name + ".token_mixer", self.norm(w, name + ".token_norm", x), layer, mask
            )
            states.append(state)
            x = x + y
            y = self.norm(w, name + ".channel_norm", x)
            y = self.linear(w, name + ".channel_mixer.l1", y) * self.linear(
                w, name + ".channel_mixer.l2", y
            )
            x = x + self.linear(w, name + ".channel_mixer.l3", y)
        x = self.norm(w, "model.final_norm", x)
        return np.einsum("btc,vc->btv", x, w["model.embed_tokens.weight"]), states

    def loss(self, w, ids):
        logits, _ = self.forward(w, ids)
        logits = logits[:, :-1]
        top = np.max(logits, axis=-1, keepdims=True)
        lse = np.log(np.sum(np.exp(logits - top), axis=-1)) + top[..., 0]
        B, T = ids.shape
        rows, cols = onp.meshgrid(onp.arange(B), onp.arange(T - 1), indexing="ij")
        return np.mean(lse - logits[rows, cols, ids[:, 1:]])


def base_config(**changes):
    config = {
        "architectures": ["TransnormerForCausalLM"], "model_type": "transnormer",
        "torch_dtype": "float32", "vocab_size": 97, "decoder_embed_dim": 48, "hidden_dim": 48,
        "decoder_layers": 3, "decoder_attention_heads": 3, "glu_dim": 40, "bias": False,
        "no_scale_embedding": False, "linear_use_lrpe_list": [1, 0, 0], "init_std": 0.06,
        "linear_act_fun": "swish", "norm_type": "simplermsnorm", "add_bos_token": False,
        "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": True,
    }
    config.update(changes)
    return config


def random_weights(config, seed):
    rng = onp.random.default_rng(seed)
    C, h, F = config["decoder_embed_dim"], config["hidden_dim"], config["glu_dim"]
    H, std = config["decoder_attention_heads"], config["init_std"]
    w = {}

    def normal(name, *shape):
        w[name] = rng.normal(0, std, shape).astype(onp.float32)

    def linear(name, out, wide):
        normal(name + ".weight", out, wide)
        if config["bias"]:
            normal(name + ".bias", out)

    def norm(name, width):
        if config["norm_type"] == "layernorm":
            w[name + ".weight"] = (1 + rng.normal(0, 0.2, width)).astype(onp.float32)
            normal(name + ".bias", width)

    normal("model.embed_tokens.weight", config["vocab_size"], C)
    for i in range(config["decoder_layers"]):
        p = f"model.layers.{i}."
        norm(p + "token_norm", C)
        norm(p + "channel_norm", C)
        norm(p + "token_mixer.norm", h)
        if config.get("gate_dim", 0) > 0:
            linear(p + "token_mixer.qkv_proj", 3 * h, C)
            linear(p + "token_mixer.output_gate.0", config["gate_dim"], C)
            linear(p + "token_mixer.output_gate.1", h, config["gate_dim"])
        else:
            linear(p + "token_mixer.qkvu_proj", 4 * h, C)
        uses = config["linear_use_lrpe_list"]
        if i < len(uses) and uses[i] == 1:
            theta = 10000.0 ** (-2 / h * onp.arange(h))
            w[p + "token_mixer.lrpe.theta"] = theta.reshape(H, 1, -1).astype(onp.float32)
        linear(p + "token_mixer.out_proj", C, h)
        linear(p + "channel_mixer.l1", F, C)
        linear(p + "channel_mixer.l2", F, C)
        linear(p + "channel_mixer.l3", C, F)
    norm("model.final_norm", C)
    return w


def write_fixture(folder, config, batch=2, length=80, decode=8, padding=None, seed=0,
                  gradients=True):
    """padding: for each row the number of masked tokens at its left (negative: at its right)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = onp.random.default_rng(seed + 1)
    weights = random_weights(config, seed)
    wide = {k: v.astype(onp.float64) for k, v in weights.items()}
    model = Reference(config)
    ids = rng.integers(3, config["vocab_size"], (batch, length))
    mask = onp.ones((batch, length), dtype=onp.int64)
    for row, n in enumerate(padding or []):
        if n > 0:
            mask[row, :n] = 0
        elif n < 0:
            mask[row, n:] = 0
    ids = onp.where(mask == 1, ids, config["pad_token_id"])
    logits, states = model.forward(wide, ids, mask)
    expected = {"input_ids": ids.astype(onp.int64), "prefill_logits": logits.astype(onp.float32)}
    for i, state in enumerate(states):
        expected[f"prefill_state.{i}"] = onp.ascontiguousarray(state, dtype=onp.float32)
    # Greedy continuation by the whole forward again: independent of any recurrence.
    greedy, decoded, text, seen = [], [], ids, mask
    for _ in range(decode):
        token = onp.argmax(logits[:, -1], axis=-1)
        greedy.append(token)
        text = onp.concatenate([text, token[:, None]], axis=1)
        seen = onp.concatenate([seen, onp.ones((batch, 1), dtype=onp.int64)], axis=1)
        logits, _ = model.forward(wide, text, seen)
        decoded.append(logits[:, -1])
    expected["greedy_ids"] = onp.stack(greedy, axis=1).astype(onp.int64)
    expected["decode_logits"] = onp.stack(decoded, axis=1).astype(onp.float32)
    if padding:
        expected["attention_mask"] = mask
    else:
        expected["train_loss"] = onp.array([model.loss(wide, ids)], dtype=onp.float32)
        if gradients:
            g = grad(model.loss)(wide, ids)
            save_file({k: onp.ascontiguousarray(v, dtype=onp.float32) for k, v in g.items()},
                      folder / "gradients.safetensors")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_file(expected, folder / "expected.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    return folder
