"""An independent model of TransNormerLLM in NumPy, for tests: the plain quadratic form, in float64;
and one of LLaMA.

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


@primitive
def f32_rounding(x):
    return x.astype(onp.float32) - x


defvjp(f32_rounding, lambda ans, x: lambda g: onp.zeros_like(g))
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
    if law == "fla":
        factor = 1 - layer / layers if warm else 1
        return onp.array([8 * h / heads * factor for h in range(heads)])
    factor = 1 - layer / max(layers - 1, 1) + 1e-5 if warm else 1
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
        eps = self.config.get("norm_eps", 0) or (1e-5 if kind == "layernorm" else 1e-6)
        if kind == "layernorm":
            x = x - np.mean(x, axis=-1, keepdims=True)
        y = x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
        if kind == "simplermsnorm":
            return y
        y = y * w[name + ".weight"]
        return y + w[name + ".bias"] if kind == "layernorm" else y

    def act(self, field, auto):
        name = self.config.get(field, "auto")
        return ACTIVATIONS[auto if name == "auto" else name]

    def split(self, x):  # [B,T,h] -> [B,H,T,D]
        B, T, width = x.shape
        return np.transpose(np.reshape(x, (B, T, self.heads, width // self.heads)), (0, 2, 1, 3))

    def lrpe(self, theta, x):  # [B,H,T,D] -> [B,H,T,2D]; positions count from the row's start
        angle = theta * onp.arange(x.shape[2]).reshape(1, -1, 1)
        angle = angle + f32_rounding(angle)  # the released code forms the product in f32
        return np.concatenate([x * np.cos(angle), x * np.sin(angle)], axis=-1)

    def mixer(self, w, name, x, layer, mask):
        c, h = self.config, self.hidden
        qk_name = c["linear_act_fun"]
        act, gate = ACTIVATIONS[qk_name], None
        act_v = self.act("value_act_fun", qk_name if self.low_rank else "none")
        act_gate = self.act("gate_act_fun", "sigmoid" if self.low_rank else "none")
        has_gate = c.get("output_gate", True)
        full_rank = has_gate and not self.low_rank
        p = self.linear(w, name + (".qkvu_proj" if full_rank else ".qkv_proj"), x)
        q, k, v = (p[..., i * h : (i + 1) * h] for i in range(3))
        if self.low_rank and act_v is act:  # TNL3: one activation over q, k and v together
            p = act(p)
            q, k, v = (self.split(p[..., i * h : (i + 1) * h]) for i in range(3))
        else:
            q, k, v = act(self.split(q)), act(self.split(k)), act_v(self.split(v))
        if full_rank:
            gate = act_gate(p[..., 3 * h :])
        elif has_gate:
            u = self.linear(w, name + ".output_gate.0", x)
            gate = act_gate(self.linear(w, name + ".output_gate.1", u))
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
        o = self.norm(w, name + ".norm", o)
        o = o if gate is None else o * gate
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
        if c.get("position_embeddings", 0):
            x = x + w["model.embed_positions.weight"][: ids.shape[1]]
        glu_act = ACTIVATIONS[c.get("glu_act_fun", "none")]
        states = []
        for layer in range(c["decoder_layers"]):
            name = f"model.layers.{layer}"
            y, state = self.mixer(
                w, name + ".token_mixer", self.norm(w, name + ".token_norm", x), layer, mask
            )
            states.append(state)
            x = x + y
            y = self.norm(w, name + ".channel_norm", x)
            y = glu_act(self.linear(w, name + ".channel_mixer.l1", y)) * self.linear(
                w, name + ".channel_mixer.l2", y
            )
            x = x + self.linear(w, name + ".channel_mixer.l3", y)
        x = self.norm(w, "model.final_norm", x)
        tied = c["tie_word_embeddings"]
        head = w["model.embed_tokens.weight" if tied else "lm_head.weight"]
        return np.einsum("btc,vc->btv", x, head), states

    def loss(self, w, ids, mask=None, counted=None):
        """Mean over the next tokens that `counted` [B,T] has at 1; over all without it."""
        logits, _ = self.forward(w, ids, mask)
        logits = logits[:, :-1]
        top = np.max(logits, axis=-1, keepdims=True)
        lse = np.log(np.sum(np.exp(logits - top), axis=-1)) + top[..., 0]
        B, T = ids.shape
        rows, cols = onp.meshgrid(onp.arange(B), onp.arange(T - 1), indexing="ij")
        losses = lse - logits[rows, cols, ids[:, 1:]]
        return np.mean(losses) if counted is None else np.sum(
            losses * counted[:, 1:]) / onp.sum(counted[:, 1:])


class LlamaReference(Reference):
    """LLaMA (2302.13971) in the same manner, from a config.json in Hugging Face's terms."""

    def __init__(self, config):
        self.config = config
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.width = config.get("head_dim") or config["hidden_size"] // self.heads

    def linear(self, w, name, x):
        return np.einsum("...i,oi->...o", x, w[name + ".weight"])

    def norm(self, w, name, x):
        mean = np.mean(x * x, axis=-1, keepdims=True)
        return x / np.sqrt(mean + self.config["rms_norm_eps"]) * w[name + ".weight"]

    def split(self, x, heads):  # [B,T,heads*D] -> [B,heads,T,D]
        B, T, _ = x.shape
        return np.transpose(np.reshape(x, (B, T, heads, self.width)), (0, 2, 1, 3))

    def turn(self, x):  # rotary positions: complex numbers, real parts in a head's first half
        half = self.width // 2
        rate = self.config.get("rope_theta", 10000.0) ** (-onp.arange(half) / half)
        angle = onp.arange(x.shape[2]).reshape(-1, 1) * rate
        real, imaginary = x[..., :half], x[..., half:]
        cosine, sine = onp.cos(angle), onp.sin(angle)
        return np.concatenate([real * cosine - imaginary * sine, imaginary * cosine + real * sine],
                              axis=-1)

    def attention(self, w, name, x):
        q = self.turn(self.split(self.linear(w, name + ".q_proj", x), self.heads))
        k = self.turn(self.split(self.linear(w, name + ".k_proj", x), self.kv_heads))
        v = self.split(self.linear(w, name + ".v_proj", x), self.kv_heads)
        reads = onp.repeat(onp.arange(self.kv_heads), self.heads // self.kv_heads)
        k, v = k[:, reads], v[:, reads]
        T = x.shape[1]
        scores = np.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(self.width)
        scores = np.where(onp.tri(T, dtype=bool), scores, -onp.inf)
        p = np.exp(scores - stop_gradient(np.max(scores, axis=-1, keepdims=True)))
        o = np.einsum("bhij,bhjd->bhid", p / np.sum(p, axis=-1, keepdims=True), v)
        o = np.reshape(np.transpose(o, (0, 2, 1, 3)), (x.shape[0], T, self.heads * self.width))
        return self.linear(w, name + ".o_proj", o)

    def forward(self, w, ids, mask=None):
        """ids [B,T] -> logits [B,T,V], no states."""
        c = self.config
        x = w["model.embed_tokens.weight"][ids]
        for layer in range(c["num_hidden_layers"]):
            name = f"model.layers.{layer}"
            x = x + self.attention(w, name + ".self_attn",
                                   self.norm(w, name + ".input_layernorm", x))
            y = self.norm(w, name + ".post_attention_layernorm", x)
            h = ACTIVATIONS["silu"](self.linear(w, name + ".mlp.gate_proj", y)) * self.linear(
                w, name + ".mlp.up_proj", y)
            x = x + self.linear(w, name + ".mlp.down_proj", h)
        x = self.norm(w, "model.norm", x)
        head = "model.embed_tokens" if c["tie_word_embeddings"] else "lm_head"
        return self.linear(w, head, x), []


def llama_config(**changes):
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32",
        "vocab_size": 97, "hidden_size": 48, "intermediate_size": 40, "num_hidden_layers": 3,
        "num_attention_heads": 3, "num_key_value_heads": 3, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
        "tie_word_embeddings": False, "initializer_range": 0.06, "pad_token_id": None,
        "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 2048,
    }
    config.update(changes)
    return config


def llama_weights(config, seed):
    rng = onp.random.default_rng(seed)
    C, F, H = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    D, K = config.get("head_dim") or C // H, config.get("num_key_value_heads") or H
    w = {}

    def normal(name, *shape):
        w[name + ".weight"] = rng.normal(0, config["initializer_range"], shape).astype(onp.float32)

    def norm(name):
        w[name + ".weight"] = (1 + rng.normal(0, 0.2, C)).astype(onp.float32)

    normal("model.embed_tokens", config["vocab_size"], C)
    if not config["tie_word_embeddings"]:
        normal("lm_head", config["vocab_size"], C)
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        norm(p + "input_layernorm")
        norm(p + "post_attention_layernorm")
        for part, heads in (("q", H), ("k", K), ("v", K)):
            normal(p + f"self_attn.{part}_proj", heads * D, C)
        normal(p + "self_attn.o_proj", C, H * D)
        normal(p + "mlp.gate_proj", F, C)
        normal(p + "mlp.up_proj", F, C)
        normal(p + "mlp.down_proj", C, F)
    norm("model.norm")
    return w


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


def random_case(seed):
    """A configuration at random, and arguments for write_fixture."""
    rng = onp.random.default_rng([seed, 2024])

    def choose(*values):
        return values[int(rng.integers(len(values)))]

    heads = choose(1, 2, 3, 4, 5, 6, 7, 8, 12)
    head = choose(1, 2, 3, 4, 7, 8, 12, 16, 17, 24, 32, 33, 40)
    layers = choose(1, 2, 3, 4)
    hidden = heads * head
    names = list(ACTIVATIONS)
    config = base_config(
        vocab_size=choose(5, 50, 97, 128, 257), decoder_embed_dim=choose(hidden, hidden, 24, 35, 64),
        hidden_dim=hidden, decoder_layers=layers, decoder_attention_heads=heads,
        glu_dim=choose(-1, 1, 7, 40, 64, 96), gate_dim=choose(0, 0, 1, 3, 8, 16),
        bias=choose(False, False, True), no_scale_embedding=choose(False, True),
        norm_type=choose("simplermsnorm", "simplermsnorm", "rmsnorm", "layernorm"),
        linear_act_fun=choose("swish", "silu", *names),
        linear_use_lrpe_list=[choose(0, 1) for _ in range(layers)],
        tie_word_embeddings=choose(True, True, False), init_std=choose(0.02, 0.06, 0.15),
        decay_law=choose("alibi", "alibi", "paper", "fla", "none"),
        decay_temperature=choose(True, True, False), output_gate=choose(True, True, True, False),
        value_act_fun=choose("auto", "auto", *names), gate_act_fun=choose("auto", "auto", *names),
        glu_act_fun=choose("none", "none", *names), norm_eps=choose(0, 0, 1e-5, 1e-3))
    if config["gate_dim"] == 0:
        config.pop("gate_dim")
    length = choose(1, 2, 3, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 200, 257, 300)
    if choose(*[False] * 9, True):
        length = choose(513, 700, 1025)
    batch, decode = choose(1, 2, 3, 5), choose(1, 4, 8)
    config["position_embeddings"] = choose(0, 0, 0, length + decode + choose(0, 9))
    padding = masked_loss = None
    if choose(True, False) and length > 1:
        kinds = [0, 0, choose(1, 5, length // 2, length - 1), -choose(1, 5, length // 3),
                 sorted(rng.integers(0, length, length // 3).tolist())]
        padding = [kinds[int(rng.integers(len(kinds)))] for _ in range(batch)]
        padding = [n if isinstance(n, list) or abs(n) < length else 0 for n in padding]
        masked_loss = choose(None, "counted", "left out")
        if padding_mask(padding, length)[:, 1:].sum() == 0:
            masked_loss = None
    return config, dict(batch=batch, length=length, decode=decode, padding=padding,
                        masked_loss=masked_loss, gradients=length <= 130 or choose(True, False),
                        seed=seed)


def random_weights(config, seed):
    rng = onp.random.default_rng(seed)
    C, h = config["decoder_embed_dim"], config["hidden_dim"]
    F = C if config["glu_dim"] == -1 else config["glu_dim"]
    H, std = config["decoder_attention_heads"], config["init_std"]
    w = {}

    def normal(name, *shape):
        w[name] = rng.normal(0, std, shape).astype(onp.float32)

    def linear(name, out, wide):
        normal(name + ".weight", out, wide)
        if config["bias"]:
            normal(name + ".bias", out)

    def norm(name, width):
        if config["norm_type"] != "simplermsnorm":
            w[name + ".weight"] = (1 + rng.normal(0, 0.2, width)).astype(onp.float32)
        if config["norm_type"] == "layernorm":
            normal(name + ".bias", width)

    normal("model.embed_tokens.weight", config["vocab_size"], C)
    if config.get("position_embeddings", 0):
        normal("model.embed_positions.weight", config["position_embeddings"], C)
    if not config["tie_word_embeddings"]:
        normal("lm_head.weight", config["vocab_size"], C)
    for i in range(config["decoder_layers"]):
        p = f"model.layers.{i}."
        norm(p + "token_norm", C)
        norm(p + "channel_norm", C)
        norm(p + "token_mixer.norm", h)
        gate, low_rank = config.get("output_gate", True), config.get("gate_dim", 0) > 0
        if gate and low_rank:
            linear(p + "token_mixer.output_gate.0", config["gate_dim"], C)
            linear(p + "token_mixer.output_gate.1", h, config["gate_dim"])
        if gate and not low_rank:
            linear(p + "token_mixer.qkvu_proj", 4 * h, C)
        else:
            linear(p + "token_mixer.qkv_proj", 3 * h, C)
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


def rounded(weight, dtype):
    """To bf16 (kept as float32) or to a NumPy dtype."""
    if dtype != "bf16":
        return weight.astype(dtype)
    bits = weight.view(onp.uint32)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(onp.uint32).view(onp.float32)


def save_weights(weights, path, dtype):
    if dtype != "bf16":
        save_file(weights, path, metadata={"format": "pt"})
        return
    # NumPy has no bf16, and so the file is written here: the upper halves of float32.
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, w in weights.items():
        begin = len(data)
        data += w.reshape(-1).view(onp.uint16)[1::2].tobytes()
        header[name] = {"dtype": "BF16", "shape": list(w.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + data)


def padding_mask(padding, length):
    """For each row the number of masked tokens at its left (negative: at its right), or the indices
    of masked tokens as a list."""
    mask = onp.ones((len(padding), length), dtype=onp.int64)
    for row, n in enumerate(padding):
        if isinstance(n, list):
            mask[row, n] = 0
        elif n > 0:
            mask[row, :n] = 0
        elif n < 0:
            mask[row, n:] = 0
    return mask


def write_fixture(folder, config, batch=2, length=80, decode=8, padding=None, seed=0,
                  gradients=True, masked_loss=None, weight_dtype=onp.float32):
    """padding: see padding_mask. masked_loss: with padding there is a train_loss only if this is
    given: "counted" or "left out", of targets that are masked."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = onp.random.default_rng(seed + 1)
    llama = config["model_type"] == "llama"
    drawn = llama_weights(config, seed) if llama else random_weights(config, seed)
    weights = {k: rounded(v, weight_dtype) for k, v in drawn.items()}
    wide = {k: v.astype(onp.float64) for k, v in weights.items()}
    model = LlamaReference(config) if llama else Reference(config)
    ids = rng.integers(3, config["vocab_size"], (batch, length))
    mask = padding_mask(padding or [0] * batch, length)
    if padding:
        ids = onp.where(mask == 1, ids, config["pad_token_id"])
    logits, states = model.forward(wide, ids, mask)
    expected = {"input_ids": ids.astype(onp.int64), "prefill_logits": logits.astype(onp.float32)}
    for i, state in enumerate(states):
        expected[f"prefill_state.{i}"] = onp.ascontiguousarray(state, dtype=onp.float32)
    # Greedy continuation by the whole forward again: independent of any recurrence.
    greedy, decoded, text, seen = [], [], ids, mask
    for _ in range(0 if llama else decode):
        token = onp.argmax(logits[:, -1], axis=-1)
        greedy.append(token)
        text = onp.concatenate([text, token[:, None]], axis=1)
        seen = onp.concatenate([seen, onp.ones((batch, 1), dtype=onp.int64)], axis=1)
        logits, _ = model.forward(wide, text, seen)
        decoded.append(logits[:, -1])
    if not llama:
        expected["greedy_ids"] = onp.stack(greedy, axis=1).astype(onp.int64)
        expected["decode_logits"] = onp.stack(decoded, axis=1).astype(onp.float32)
    if padding:
        expected["attention_mask"] = mask
    if length > 1 and (not padding or masked_loss):
        counted = mask if masked_loss == "left out" else None
        expected["train_loss"] = onp.array([model.loss(wide, ids, mask, counted)],
                                           dtype=onp.float32)
        if gradients:
            g = grad(model.loss)(wide, ids, mask, counted)
            save_file({k: onp.ascontiguousarray(v, dtype=onp.float32) for k, v in g.items()},
                      folder / "gradients.safetensors")
    save_weights(weights, folder / "model.safetensors", weight_dtype)
    save_file(expected, folder / "expected.safetensors")
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    return folder
