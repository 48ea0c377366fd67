"""Configuration of TransNormerLLM (2307.14995) and TNL (2405.17381) for Hugging Face's transformers.

Written by `transnormer export` beside the weights. Fields have the names of the released config.json;
those after `bias` are choices that the papers ablate, with the released models' behaviour as defaults.
"""

try:
    from transformers import PreTrainedConfig as _Base
except ImportError:  # before version 5
    from transformers import PretrainedConfig as _Base


class TransnormerConfig(_Base):
    model_type = "transnormer"
    keys_to_ignore_at_inference = ["past_key_values"]
    attribute_map = {
        "hidden_size": "decoder_embed_dim",
        "num_hidden_layers": "decoder_layers",
        "num_attention_heads": "decoder_attention_heads",
        "intermediate_size": "glu_dim",
        "initializer_range": "init_std",
    }

    def __init__(
        self,
        vocab_size=64000,
        decoder_embed_dim=1024,
        decoder_layers=24,
        decoder_attention_heads=8,
        hidden_dim=1024,  # width of q, k, v and the gate, all heads together
        glu_dim=2816,  # -1: decoder_embed_dim
        gate_dim=0,  # > 0: a low-rank gate of this rank (TNL3); 0: full rank, in qkvu_proj
        no_scale_embedding=False,
        add_bos_token=False,
        norm_type="simplermsnorm",  # simplermsnorm, rmsnorm, layernorm
        linear_act_fun="swish",  # of q and k
        linear_use_lrpe_list=None,  # 1 where a layer uses LRPE; None: [1, 0, 0, ...]
        init_std=0.02,
        bias=False,
        decay_law="alibi",  # alibi, paper, fla, none
        decay_temperature=True,  # the layer's factor of the decay
        value_act_fun="auto",  # auto: linear_act_fun with gate_dim, else none
        gate_act_fun="auto",  # auto: sigmoid with gate_dim, else none
        glu_act_fun="none",
        output_gate=True,
        position_embeddings=0,  # learned absolute positions up to this length
        norm_eps=0.0,  # 0: 1e-6, of layernorm 1e-5
        use_cache=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=True,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.decoder_embed_dim = decoder_embed_dim
        self.decoder_layers = decoder_layers
        self.decoder_attention_heads = decoder_attention_heads
        self.hidden_dim = hidden_dim
        self.glu_dim = decoder_embed_dim if glu_dim == -1 else glu_dim
        self.gate_dim = gate_dim
        self.no_scale_embedding = no_scale_embedding
        self.add_bos_token = add_bos_token
        self.norm_type = norm_type
        self.linear_act_fun = linear_act_fun
        if linear_use_lrpe_list is None:
            linear_use_lrpe_list = [1] + [0] * (decoder_layers - 1)
        self.linear_use_lrpe_list = list(linear_use_lrpe_list)
        self.init_std = init_std
        self.bias = bias
        self.decay_law = decay_law
        self.decay_temperature = decay_temperature
        self.value_act_fun = value_act_fun
        self.gate_act_fun = gate_act_fun
        self.glu_act_fun = glu_act_fun
        self.output_gate = output_gate
        self.position_embeddings = position_embeddings
        self.norm_eps = norm_eps
        self.use_cache = use_cache
        super().__init__(
            pad_token_id=pad_token_id,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            tie_word_embeddings=tie_word_embeddings,
            **kwargs,
        )
