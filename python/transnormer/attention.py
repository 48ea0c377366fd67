"""TNLAttention: the papers' gated linear attention as a torch module, with the names and shapes of
the released checkpoints' token_mixer."""

import torch
from torch import nn
from torch.nn import functional as F

from . import decay as decays
from ._torch import lightning_attention, lightning_attention_step


def _exp(x):  # the released code subtracts the maximum, through which no gradient flows
    return torch.exp(x - x.max(dim=-1, keepdim=True).values.detach())


ACTIVATIONS = {
    "none": lambda x: x, "identity": lambda x: x, "silu": F.silu, "swish": F.silu, "relu": F.relu,
    "leak": F.leaky_relu, "gelu": F.gelu, "elu": F.elu, "1+elu": lambda x: 1 + F.elu(x),
    "2+elu": lambda x: 2 + F.elu(x), "sigmoid": torch.sigmoid, "exp": _exp, "sine": torch.sin,
}


def _activation(field, name):
    if name not in ACTIVATIONS:
        raise ValueError(f"TNLAttention: {field} is {name!r}, wanted one of "
                         + ", ".join(ACTIVATIONS))
    return ACTIVATIONS[name]


class SimpleRMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps), without weights, in float32 at least."""

    def __init__(self, eps=1e-6):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        y = x.to(torch.promote_types(x.dtype, torch.float32))
        return (y * torch.rsqrt(y.square().mean(dim=-1, keepdim=True) + self.eps)).to(x.dtype)

    def extra_repr(self):
        return f"eps={self.eps}"


def _norm(norm_type, width, eps):
    if norm_type in ("simplermsnorm", "srmsnorm"):
        return SimpleRMSNorm(eps or 1e-6)
    if norm_type == "rmsnorm":
        return nn.RMSNorm(width, eps=eps or 1e-6)
    if norm_type in ("layernorm", "layer_norm"):
        return nn.LayerNorm(width, eps=eps or 1e-5)
    raise ValueError(f"TNLAttention: norm_type is {norm_type!r}, wanted 'simplermsnorm', "
                     "'rmsnorm' or 'layernorm'")


class Lrpe(nn.Module):
    """LRPE-d (2405.17381 eq. 9): x becomes [x cos(theta p), x sin(theta p)] at position p."""

    # The released code rounds theta * p to float32: so it is here while that keeps the angle.
    EXACT_FROM = 1 << 16

    def __init__(self, heads, head_dim):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.theta = nn.Parameter(torch.empty(heads, 1, head_dim))
        self.reset_parameters()

    def reset_parameters(self):
        width = self.heads * self.head_dim
        rates = 10000.0 ** (-2.0 / width * torch.arange(width, dtype=torch.float64))
        with torch.no_grad():
            self.theta.copy_(rates.reshape(self.theta.shape))

    def forward(self, x, positions):  # x [B, T, H, D], positions [T] or [B, T]
        theta = self.theta[:, 0].to(torch.promote_types(self.theta.dtype, torch.float32))
        p = positions[..., None, None]
        angle = (theta * p.to(theta.dtype)).double()
        angle = torch.where(p < self.EXACT_FROM, angle, theta.double() * p)
        wide = x.to(theta.dtype)
        return torch.cat([wide * torch.cos(angle).to(theta.dtype),
                          wide * torch.sin(angle).to(theta.dtype)], dim=-1).to(x.dtype)


class TNLAttention(nn.Module):
    """The token mixer of TransNormerLLM and TNL:

        [q k v u] = x W^T    q, k <- act(q), act(k)    (LRPE on q, k)
        o = lightning_attention(q, k, v)    y = (norm(o) * gate(u)) Wo^T

    The norm spans all heads. With gate_dim = 0 u is full rank and part of qkvu_proj, the gate is
    the identity and v has no activation (TransNormerLLM); with gate_dim > 0 u = x W1^T W2^T is of
    that rank, the gate is a sigmoid and v has the activation of q and k (TNL3).

    The options are those of config.json (from_config); decay_law and decay_temperature are those of
    transnormer.decay_rates.
    """

    def __init__(self, embed_dim, num_heads, hidden_dim=None, layer=0, layers=1, *,
                 linear_act_fun="swish", gate_dim=0, output_gate=True, value_act_fun="auto",
                 gate_act_fun="auto", norm_type="simplermsnorm", norm_eps=0.0, bias=False,
                 use_lrpe=False, decay_law="alibi", decay_temperature=True, init_std=0.02,
                 device=None, dtype=None):
        super().__init__()
        hidden_dim = hidden_dim or embed_dim
        if hidden_dim % num_heads:
            raise ValueError(f"TNLAttention: hidden_dim is {hidden_dim}, wanted a multiple of "
                             f"num_heads {num_heads}")
        self.embed_dim, self.num_heads, self.hidden_dim = embed_dim, num_heads, hidden_dim
        self.head_dim = hidden_dim // num_heads
        self.key_dim = self.head_dim * (2 if use_lrpe else 1)
        low_rank = gate_dim > 0
        if value_act_fun == "auto":
            value_act_fun = linear_act_fun if low_rank else "none"
        if gate_act_fun == "auto":
            gate_act_fun = "sigmoid" if low_rank else "none"
        self.qk_act = _activation("linear_act_fun", linear_act_fun)
        self.v_act = _activation("value_act_fun", value_act_fun)
        self.gate_act = _activation("gate_act_fun", gate_act_fun)
        # TNL3 activates q, k and v as one: the maximum of "exp" spans them.
        self.fused_act = low_rank and self.qk_act is self.v_act
        self.full_gate = output_gate and not low_rank
        self.low_rank_gate = output_gate and low_rank
        self.init_std = init_std

        make = {"bias": bias, "device": device, "dtype": dtype}
        if self.full_gate:
            self.qkvu_proj = nn.Linear(embed_dim, 4 * hidden_dim, **make)
        else:
            self.qkv_proj = nn.Linear(embed_dim, 3 * hidden_dim, **make)
        if self.low_rank_gate:
            self.output_gate = nn.Sequential(nn.Linear(embed_dim, gate_dim, **make),
                                             nn.Linear(gate_dim, hidden_dim, **make))
        self.lrpe = Lrpe(num_heads, self.head_dim).to(device, dtype) if use_lrpe else None
        self.norm = _norm(norm_type, hidden_dim, norm_eps).to(device, dtype)
        self.out_proj = nn.Linear(hidden_dim, embed_dim, **make)
        self.rates = decays.decay_rates(num_heads, layer, layers, decay_law, decay_temperature)
        self.register_buffer("decay", torch.zeros(num_heads, device=device), persistent=False)
        self._set_decay()
        self.reset_parameters()

    @classmethod
    def from_config(cls, config, layer, **options):
        """Of one layer of a config.json, given as a dict."""
        layers = config["decoder_layers"]
        if not 0 <= layer < layers:
            raise ValueError(f"TNLAttention: layer is {layer}, wanted 0 to {layers - 1}")
        lrpe = config.get("linear_use_lrpe_list")
        fields = ("linear_act_fun", "gate_dim", "output_gate", "value_act_fun", "gate_act_fun",
                  "norm_type", "norm_eps", "bias", "decay_law", "decay_temperature", "init_std")
        options = {**{name: config[name] for name in fields if name in config}, **options}
        options.setdefault("use_lrpe", layer == 0 if lrpe is None else
                           layer < len(lrpe) and bool(lrpe[layer]))
        return cls(config["decoder_embed_dim"], config["decoder_attention_heads"],
                   config["hidden_dim"], layer, layers, **options)

    def reset_parameters(self):
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=self.init_std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def _set_decay(self):
        double = self.out_proj.weight.dtype == torch.float64
        self.decay = torch.tensor(self.rates, dtype=torch.float64 if double else torch.float32,
                                  device=self.decay.device)

    def _apply(self, function, recurse=True):
        super()._apply(function, recurse)
        self._set_decay()  # moved with the module, but bfloat16 would spoil it
        return self

    def new_state(self, sequences, device=None):
        """Zero states, [sequences, H, key_dim, head_dim] in float32."""
        weight = self.out_proj.weight
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        return torch.zeros(sequences, self.num_heads, self.key_dim, self.head_dim, dtype=dtype,
                           device=device or weight.device)

    def _project(self, x, positions):
        """q, k, v [.., H, D] and the gate's argument [.., hidden] of x [.., T, C]."""
        h = self.hidden_dim
        proj = self.qkvu_proj(x) if self.full_gate else self.qkv_proj(x)
        split = (*x.shape[:-1], self.num_heads, self.head_dim)
        if self.fused_act:
            q, k, v = (y.reshape(split) for y in self.qk_act(proj[..., :3 * h]).split(h, dim=-1))
        else:
            q, k, v = (y.reshape(split) for y in proj[..., :3 * h].split(h, dim=-1))
            q, k, v = self.qk_act(q), self.qk_act(k), self.v_act(v)
        if self.lrpe is not None:
            q, k = self.lrpe(q, positions), self.lrpe(k, positions)
        u = None
        if self.full_gate:
            u = proj[..., 3 * h:]
        elif self.low_rank_gate:
            u = self.output_gate(x)
        return q, k, v, u

    def _finish(self, o, u):
        y = self.norm(o.flatten(-2))
        if u is not None:
            y = y * self.gate_act(u)
        return self.out_proj(y)

    def forward(self, x, state=None, output_state=False, cu_seqlens=None, positions=None):
        """x [B, T, C] -> y [B, T, C], or with output_state (y, state).

        state is that before the first token; positions [T] or [B, T], for LRPE alone, count from 0
        unless given: go on where the state left off.
        """
        if x.dim() != 3 or x.shape[-1] != self.embed_dim:
            raise ValueError(f"TNLAttention: x has shape {list(x.shape)}, wanted "
                             f"[B, T, {self.embed_dim}]")
        if positions is None and self.lrpe is not None:
            positions = torch.arange(x.shape[1], device=x.device)
        q, k, v, u = self._project(x, positions)
        out = lightning_attention(q, k, v, self.decay, state, output_state, cu_seqlens)
        o, state = out if output_state else (out, None)
        y = self._finish(o, u)
        return (y, state) if output_state else y

    def step(self, x, state, slots=None, positions=None):
        """One token of each of N sequences, x [N, C] -> y [N, C]; state (new_state), in place.

        slots [N] says whose state is whose, as in lightning_attention_step; positions [N] is
        wanted by LRPE.
        """
        if x.dim() != 2 or x.shape[-1] != self.embed_dim:
            raise ValueError(f"TNLAttention.step: x has shape {list(x.shape)}, wanted "
                             f"[N, {self.embed_dim}]")
        if positions is None and self.lrpe is not None:
            raise ValueError("TNLAttention.step: positions are missing, wanted [N]: this layer "
                             "has LRPE")
        q, k, v, u = self._project(x, positions)
        return self._finish(lightning_attention_step(q, k, v, self.decay, state, slots), u)

    def extra_repr(self):
        return (f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, "
                f"head_dim={self.head_dim}, decay={min(self.rates):.2g} to {max(self.rates):.2g}")
