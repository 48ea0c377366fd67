"""TransNormerLLM (2307.14995) and TNL (2405.17381) in plain PyTorch, for Hugging Face's transformers.

Written by `transnormer export` beside the weights; from_pretrained(..., trust_remote_code=True) runs
it. It computes what the `transnormer` program computes, on any device, and has gradients; it is the
readable form, not the fast one. Instead of a cache that grows a sequence has one state of fixed size.

    S_t = exp(-slope) S_{t-1} + k_t^T v_t        o_t = q_t S_t        for each head
"""

import math
from dataclasses import dataclass
from typing import Optional

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedModel
from transformers.generation import GenerationMixin
from transformers.generation import utils as generation
from transformers.utils import ModelOutput

from .configuration_transnormer import TransnormerConfig

# What a cache is called: "past_key_values" in older versions of transformers, "cache" in newer ones.
CACHE = "cache" if "cache" in getattr(generation, "ALL_CACHE_NAMES", ()) else "past_key_values"

CHUNK = 128  # tokens whose scores exist at once

ACTIVATIONS = {
    "none": lambda x: x,
    "silu": F.silu,
    "swish": F.silu,
    "relu": F.relu,
    "leak": F.leaky_relu,
    "gelu": F.gelu,
    "elu": F.elu,
    "1+elu": lambda x: 1 + F.elu(x),
    "2+elu": lambda x: 2 + F.elu(x),
    "sigmoid": torch.sigmoid,
    "exp": lambda x: torch.exp(x - x.amax(dim=-1, keepdim=True).detach()),
    "sine": torch.sin,
}


def sum_dtype(x):
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def alibi_slopes(heads):
    """2^(-8h/H), h = 1..H; for other H than powers of two those of the next lower power, then every
    second one of twice that power."""
    near = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (h + 1) / near) for h in range(near)]
    more = [2.0 ** (-8.0 * (h + 1) / (2 * near)) for h in range(0, 2 * near, 2)]
    return slopes + more[: heads - near]


def layer_slopes(config, layer):
    """The decay rates of a layer's heads."""
    heads, layers = config.decoder_attention_heads, config.decoder_layers
    law, by_layer = config.decay_law, config.decay_temperature
    if law == "none":
        return [0.0] * heads
    if law == "alibi":
        factor = 1 - layer / max(layers - 1, 1) + 1e-5 if by_layer else 1.0
        return [s * factor for s in alibi_slopes(heads)]
    factor = 1 - layer / layers if by_layer else 1.0
    if law == "paper":
        return [8.0 * (h + 1) / heads * factor for h in range(heads)]
    if law == "fla":
        return [8.0 * h / heads * factor for h in range(heads)]
    raise ValueError(f"decay_law is {law!r}, wanted alibi, paper, fla or none")


def lightning_attention(q, k, v, slopes, state):
    """q, k [B,H,T,D], v [B,H,T,E], slopes [H], state [B,H,D,E] -> o [B,H,T,E] and the state after
    the last token, that token at weight 1. Linear in T: within a chunk by its scores, before it by
    the state."""
    dtype = v.dtype
    q, k, v, state = (x.to(sum_dtype(v)) for x in (q, k, v, state))
    s = slopes.to(q.device, q.dtype).view(-1, 1, 1)
    out = []
    for begin in range(0, q.shape[2], CHUNK):
        qc, kc, vc = (x[:, :, begin : begin + CHUNK] for x in (q, k, v))
        n = qc.shape[2]
        at = torch.arange(n, device=q.device, dtype=q.dtype)
        steps = at[:, None] - at[None, :]
        decay = torch.exp(-s * steps.clamp(min=0)) * (steps >= 0)
        intra = (qc @ kc.transpose(-1, -2) * decay) @ vc
        inter = torch.exp(-s * (at + 1)[:, None]) * (qc @ state)
        out.append(intra + inter)
        rest = torch.exp(-s * (n - 1 - at)[:, None])
        state = torch.exp(-s * n) * state + (kc * rest).transpose(-1, -2) @ vc
    return torch.cat(out, dim=2).to(dtype), state


@dataclass
class TransnormerState:
    """What is left of the tokens seen: for each layer [B,H,D,E], float32."""

    layers: list
    length: int = 0

    def get_seq_length(self, layer_idx=0):
        return self.length

    def reorder_cache(self, beam_idx):
        self.layers = [s.index_select(0, beam_idx.to(s.device)) for s in self.layers]


@dataclass
class TransnormerOutput(ModelOutput):
    loss: Optional[torch.FloatTensor] = None
    logits: Optional[torch.FloatTensor] = None
    last_hidden_state: Optional[torch.FloatTensor] = None
    hidden_states: Optional[tuple] = None
    past_key_values: Optional[TransnormerState] = None  # one of the two, by CACHE
    cache: Optional[TransnormerState] = None


class TransnormerNorm(nn.Module):
    def __init__(self, config, width):
        super().__init__()
        self.kind = config.norm_type
        self.eps = config.norm_eps or (1e-5 if self.kind == "layernorm" else 1e-6)
        if self.kind not in ("simplermsnorm", "rmsnorm", "layernorm"):
            raise ValueError(f"norm_type is {self.kind!r}, wanted simplermsnorm, rmsnorm or layernorm")
        if self.kind != "simplermsnorm":
            self.weight = nn.Parameter(torch.ones(width))
        if self.kind == "layernorm":
            self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        y = x.to(sum_dtype(x))
        if self.kind == "layernorm":
            y = y - y.mean(-1, keepdim=True)
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        if self.kind != "simplermsnorm":
            y = y * self.weight
        if self.kind == "layernorm":
            y = y + self.bias
        return y.to(x.dtype)


class TransnormerLrpe(nn.Module):
    """Turns q and k by theta times the position; the real and imaginary parts side by side."""

    def __init__(self, heads, width):
        super().__init__()
        self.theta = nn.Parameter(self.initial(heads, width))

    @staticmethod
    def initial(heads, width):
        at = torch.arange(heads * width, dtype=torch.float32)
        return (10000.0 ** (-2.0 * at / (heads * width))).view(heads, 1, width)

    def forward(self, x, positions):
        angle = self.theta.to(sum_dtype(x)) * positions.to(sum_dtype(x))[:, None]
        return torch.cat([x * angle.cos().to(x.dtype), x * angle.sin().to(x.dtype)], dim=-1)


class TransnormerMixer(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        C, W, bias = config.decoder_embed_dim, config.hidden_dim, config.bias
        self.heads = config.decoder_attention_heads
        self.low_rank = config.gate_dim > 0
        self.has_gate = config.output_gate
        self.act = ACTIVATIONS[config.linear_act_fun]
        auto = config.linear_act_fun if self.low_rank else "none"
        own = config.value_act_fun
        value = auto if own == "auto" else own
        self.value_act = ACTIVATIONS[value]
        # TNL3 applies one activation to q, k and v together: it matters where that is "exp".
        self.together = self.low_rank and self.value_act is self.act
        gate = config.gate_act_fun
        self.gate_act = ACTIVATIONS[("sigmoid" if self.low_rank else "none") if gate == "auto" else gate]
        if self.has_gate and not self.low_rank:
            self.qkvu_proj = nn.Linear(C, 4 * W, bias=bias)
        else:
            self.qkv_proj = nn.Linear(C, 3 * W, bias=bias)
        if self.has_gate and self.low_rank:
            self.output_gate = nn.Sequential(
                nn.Linear(C, config.gate_dim, bias=bias), nn.Linear(config.gate_dim, W, bias=bias)
            )
        self.out_proj = nn.Linear(W, C, bias=bias)
        self.norm = TransnormerNorm(config, W)
        use = config.linear_use_lrpe_list
        self.lrpe = TransnormerLrpe(self.heads, W // self.heads) if layer < len(use) and use[layer] else None
        self.slopes = layer_slopes(config, layer)
        self.key_width = W // self.heads * (2 if self.lrpe is not None else 1)
        self.value_width = W // self.heads

    def split(self, x):  # [B,T,W] -> [B,H,T,D]
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x, mask, positions, state):
        gate = None
        if self.has_gate and not self.low_rank:
            q, k, v, gate = self.qkvu_proj(x).chunk(4, dim=-1)
        else:
            p = self.qkv_proj(x)
            q, k, v = (self.act(p) if self.together else p).chunk(3, dim=-1)
            if self.has_gate:
                gate = self.output_gate(x)
        q, k, v = self.split(q), self.split(k), self.split(v)
        if not self.together:
            q, k, v = self.act(q), self.act(k), self.value_act(v)
        if self.lrpe is not None:
            q, k = self.lrpe(q, positions), self.lrpe(k, positions)
        if mask is not None:  # nothing is kept of padding
            v = v * mask[:, None, :, None].to(v.dtype)
        if state is None:
            state = x.new_zeros(
                (x.shape[0], self.heads, self.key_width, self.value_width), dtype=sum_dtype(x)
            )
        slopes = torch.tensor(self.slopes, dtype=torch.float64)
        o, state = lightning_attention(q, k, v, slopes, state)
        o = self.norm(o.transpose(1, 2).flatten(2))
        if gate is not None:
            o = o * self.gate_act(gate)
        return self.out_proj(o), state


class TransnormerGlu(nn.Module):
    def __init__(self, config):
        super().__init__()
        C, width, bias = config.decoder_embed_dim, config.glu_dim, config.bias
        self.act = ACTIVATIONS[config.glu_act_fun]
        self.l1 = nn.Linear(C, width, bias=bias)
        self.l2 = nn.Linear(C, width, bias=bias)
        self.l3 = nn.Linear(width, C, bias=bias)

    def forward(self, x):
        return self.l3(self.act(self.l1(x)) * self.l2(x))


class TransnormerLayer(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.token_norm = TransnormerNorm(config, config.decoder_embed_dim)
        self.token_mixer = TransnormerMixer(config, layer)
        self.channel_norm = TransnormerNorm(config, config.decoder_embed_dim)
        self.channel_mixer = TransnormerGlu(config)

    def forward(self, x, mask, positions, state):
        y, state = self.token_mixer(self.token_norm(x), mask, positions, state)
        x = x + y
        return x + self.channel_mixer(self.channel_norm(x)), state


class TransnormerPreTrainedModel(PreTrainedModel):
    config_class = TransnormerConfig
    base_model_prefix = "model"
    _no_split_modules = ["TransnormerLayer"]
    _is_stateful = True

    def _init_weights(self, module):
        std = self.config.init_std
        if isinstance(module, (nn.Linear, nn.Embedding)):
            module.weight.data.normal_(0.0, std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.data.zero_()
        if isinstance(module, TransnormerNorm) and hasattr(module, "weight"):
            module.weight.data.fill_(1.0)
        if isinstance(module, TransnormerNorm) and hasattr(module, "bias"):
            module.bias.data.zero_()
        if isinstance(module, TransnormerLrpe):
            heads, _, width = module.theta.shape
            module.theta.data.copy_(module.initial(heads, width))


class TransnormerModel(TransnormerPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        C = config.decoder_embed_dim
        self.embed_scale = 1.0 if config.no_scale_embedding else math.sqrt(C)
        self.embed_tokens = nn.Embedding(config.vocab_size, C)
        if config.position_embeddings:
            self.embed_positions = nn.Embedding(config.position_embeddings, C)
        self.layers = nn.ModuleList(TransnormerLayer(config, i) for i in range(config.decoder_layers))
        self.final_norm = TransnormerNorm(config, C)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed_tokens

    def set_input_embeddings(self, value):
        self.embed_tokens = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        past_key_values=None,
        cache=None,  # the same, as version 5 of transformers calls it
        inputs_embeds=None,
        use_cache=None,
        output_hidden_states=None,
        return_dict=None,
        **unused,
    ):
        past = past_key_values if past_key_values is not None else cache
        x = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        x = x * self.embed_scale
        T, seen = x.shape[1], 0 if past is None else past.length
        positions = torch.arange(seen, seen + T, device=x.device)
        if self.config.position_embeddings:
            if seen + T > self.config.position_embeddings:
                raise ValueError(
                    f"{seen + T} tokens, wanted at most position_embeddings = "
                    f"{self.config.position_embeddings}"
                )
            x = x + self.embed_positions(positions)
        mask = None if attention_mask is None else attention_mask[:, -T:]
        states, hidden = [], (x,)
        for i, layer in enumerate(self.layers):
            x, state = layer(x, mask, positions, None if past is None else past.layers[i])
            states.append(state)
            if output_hidden_states:
                hidden += (x,)
        keep = self.config.use_cache if use_cache is None else use_cache
        return TransnormerOutput(
            last_hidden_state=self.final_norm(x),
            hidden_states=hidden if output_hidden_states else None,
            **{CACHE: TransnormerState(states, seen + T) if keep else None},
        )


class TransnormerForCausalLM(TransnormerPreTrainedModel, GenerationMixin):
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config):
        super().__init__(config)
        self.model = TransnormerModel(config)
        self.lm_head = nn.Linear(config.decoder_embed_dim, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.model.embed_tokens

    def set_input_embeddings(self, value):
        self.model.embed_tokens = value

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        past_key_values=None,
        cache=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        output_hidden_states=None,
        logits_to_keep=0,
        return_dict=None,
        **unused,
    ):
        """labels: as input_ids, -100 where a token is not to be learned; token t is told by those
        before it. logits_to_keep: of the last tokens; 0: of all."""
        out = self.model(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_hidden_states=output_hidden_states,
            **{CACHE: past_key_values if past_key_values is not None else cache},
        )
        out.logits = self.lm_head(out.last_hidden_state[:, -logits_to_keep:])
        if labels is not None:
            logits = out.logits[:, :-1].float().flatten(0, 1)
            out.loss = F.cross_entropy(logits, labels[:, 1:].flatten().to(logits.device))
        return out

    # ---- generate(): the state takes the place of a cache ----

    def _prepare_cache_for_generation(self, *args, **kwargs):
        """There is nothing to allocate: the first call returns a state."""

    def prepare_inputs_for_generation(
        self,
        input_ids,
        past_key_values=None,
        cache=None,
        attention_mask=None,
        inputs_embeds=None,
        use_cache=True,
        **unused,
    ):
        past = past_key_values if past_key_values is not None else cache
        inputs = {"attention_mask": attention_mask, CACHE: past, "use_cache": use_cache}
        if past is not None:
            inputs["input_ids"] = input_ids[:, past.length :]
        elif inputs_embeds is not None:
            inputs["inputs_embeds"] = inputs_embeds
        else:
            inputs["input_ids"] = input_ids
        inputs["logits_to_keep"] = 1
        return inputs

    def _update_model_kwargs_for_generation(self, outputs, model_kwargs, *args, **kwargs):
        model_kwargs = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)
        if getattr(outputs, CACHE) is not None:
            model_kwargs[CACHE] = getattr(outputs, CACHE)
        return model_kwargs

    def _reorder_cache(self, past, beam_idx):
        if past is not None:
            past.reorder_cache(beam_idx)
        return past
