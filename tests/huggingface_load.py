"""Run by huggingface_test.py with a Python that has torch and transformers: loads exported models and
prints how far what they compute is from what is recorded beside them, as one JSON object.

    python huggingface_load.py FOLDER...      each with expected.safetensors; searches by beams and
                                              without states take long: where a file "search" is
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoModelForCausalLM


def furthest(got, want):
    """Largest difference, as a share of the largest value."""
    got = got.detach().double().numpy()
    return float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30))


def state_of(output):
    return output["cache"] if "cache" in output else output["past_key_values"]


def generate(model, ids, mask, **options):
    out = model.generate(ids, attention_mask=mask, do_sample=False, eos_token_id=None, **options)
    return out[:, ids.shape[1]:]


def compare(folder):
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=True, output_loading_info=True, dtype=torch.float32)
    out = {key: sorted(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    out["parameters"] = sum(p.numel() for p in model.parameters())
    want = load_file(folder / "expected.safetensors")
    ids = torch.tensor(want["input_ids"])
    mask = torch.tensor(want.get("attention_mask", np.ones_like(want["input_ids"])))
    seen = mask.numpy() == 1
    with torch.no_grad():
        whole = model(ids, attention_mask=mask)
        out["logits"] = furthest(whole.logits[torch.tensor(seen)], want["prefill_logits"][seen])
        out["states"] = [furthest(s, want[f"prefill_state.{i}"])
                         for i, s in enumerate(state_of(whole).layers)]
        # Any cut of the sequence is the same.
        cut = ids.shape[1] // 3
        first = model(ids[:, :cut], attention_mask=mask[:, :cut])
        rest = model(ids[:, cut:], attention_mask=mask, past_key_values=state_of(first))
        out["cut"] = furthest(rest.logits, whole.logits[:, cut:].double().numpy())
        made = want["greedy_ids"].shape[1]
        # Where others are as likely up to rounding, each may choose.
        logits = np.concatenate([want["prefill_logits"][:, -1:], want["decode_logits"][:, :-1]], 1)
        top = np.sort(logits, axis=-1)
        clear = ((top[..., -1] - top[..., -2]) > 1e-4 * np.abs(top[..., -1])).all()
        greedy = generate(model, ids, mask, max_new_tokens=made)
        out["greedy"] = bool(not clear or (greedy.numpy() == want["greedy_ids"]).all())
        if (folder / "search").exists():
            out["uncached"] = bool((greedy == generate(model, ids, mask, max_new_tokens=made,
                                                       use_cache=False)).all())
            beams = [generate(model, ids, mask, max_new_tokens=6, num_beams=3, use_cache=cached)
                     for cached in (True, False)]
            out["beams"] = bool((beams[0] == beams[1]).all())
    if "train_loss" in want and seen.all():
        loss = model(ids, labels=ids).loss
        out["loss"] = furthest(loss, want["train_loss"])
        if (folder / "gradients.safetensors").exists():
            loss.backward()
            gradients = load_file(folder / "gradients.safetensors")
            named = dict(model.named_parameters())
            out["gradients"] = {name: furthest(named[name].grad, g)
                                for name, g in gradients.items()}
    # And back to files.
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        kept = load_file(Path(saved) / "model.safetensors")
        own = load_file(folder / "model.safetensors")
        out["saved"] = all(np.array_equal(kept[name], w) for name, w in own.items())
        fields = json.loads((folder / "config.json").read_text())
        again = AutoConfig.from_pretrained(saved, trust_remote_code=True)
        out["fields"] = [f for f, v in fields.items() if getattr(again, f, None) != v and
                         f not in ("auto_map", "torch_dtype", "glu_dim", "linear_use_lrpe_list")]
    return out


print(json.dumps({folder: compare(Path(folder)) for folder in sys.argv[1:]}))
