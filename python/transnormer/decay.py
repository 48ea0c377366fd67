"""Decay rates by head and layer. lambda = exp(-rate)."""

import math


def alibi_slopes(heads):
    """ALiBi's slopes (2108.12409): 2^(-8h/H) for h = 1..H where H is a power of two; else those of
    the power of two below, followed by every second one of the power of two above."""
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8.0 * h / power) for h in range(1, power + 1)]
    return slopes + [2.0 ** (-4.0 * h / power) for h in range(1, 2 * (heads - power) + 1, 2)]


def decay_rates(heads, layer=0, layers=1, law="alibi", temperature=True):
    """The rates of one layer, a list of `heads` numbers >= 0.

    law, with h = 0..H-1 and l = 0..L-1:
      "alibi"  s_h (1 - l/(L-1) + 1e-5), s_h ALiBi's slopes: every released TransNormerLLM
      "paper"  8 (h+1)/H (1 - l/L): the text of 2307.14995 and 2405.17381
      "fla"    8 h/H (1 - l/L): flash-linear-attention's; its first head does not decay at all
      "none"   0
    temperature=False leaves out the factor of the layer.
    """
    if heads < 1:
        raise ValueError(f"decay_rates: heads is {heads}, wanted 1 or more")
    if not 0 <= layer < layers:
        raise ValueError(f"decay_rates: layer is {layer}, wanted 0 to {layers - 1} of {layers}")
    if law == "none":
        return [0.0] * heads
    if law == "alibi":
        # The released code divides by L-1; a single layer is taken for the first of many.
        factor = 1 - layer / max(layers - 1, 1) + 1e-5 if temperature else 1.0
        return [slope * factor for slope in alibi_slopes(heads)]
    if law not in ("paper", "fla"):
        raise ValueError(f"decay_rates: law is {law!r}, wanted 'alibi', 'paper', 'fla' or 'none'")
    factor = 1 - layer / layers if temperature else 1.0
    first = 1 if law == "paper" else 0
    return [8 * (h + first) / heads * factor for h in range(heads)]


def half_life(rate):
    """Tokens after which a head has forgotten half."""
    return math.log(2) / rate if rate > 0 else math.inf
