"""The shapes of a call, checked in the caller's words; for arrays of any framework."""

LAYOUTS = {False: "[B, T, H, {}]", True: "[B, H, T, {}]"}


def wrong(function, message):
    return ValueError(f"{function}: {message}")


def text(shape):
    return str([int(n) for n in shape])


def sizes(function, q, k, v, head_first):
    """(B, T, H, D, E) of q, k [.., D] and v [.., E]."""
    layout = LAYOUTS[bool(head_first)]
    if len(q.shape) != 4:
        raise wrong(function, f"q has shape {text(q.shape)}, wanted {layout.format('D')}")
    if tuple(k.shape) != tuple(q.shape):
        raise wrong(function, f"k has shape {text(k.shape)}, wanted that of q, {text(q.shape)} "
                              f"({layout.format('D')})")
    if tuple(v.shape[:-1]) != tuple(q.shape[:-1]) or len(v.shape) != 4:
        wanted = layout.format("E").replace("B", str(int(q.shape[0])), 1)
        wanted = wanted.replace("T" if not head_first else "H", str(int(q.shape[1])), 1)
        wanted = wanted.replace("H" if not head_first else "T", str(int(q.shape[2])), 1)
        raise wrong(function, f"v has shape {text(v.shape)}, wanted {wanted} as q has shape "
                              f"{text(q.shape)}")
    B, T, H, D = q.shape
    if head_first:
        T, H = H, T
    return B, T, H, D, v.shape[3]


def check_decay(function, decay, H):
    """decay is [H], or the [H, 1, 1] of the Triton kernels."""
    shape = tuple(decay.shape)
    if shape not in ((H,), (H, 1, 1)):
        raise wrong(function, f"decay has shape {text(shape)}, wanted [{int(H)}], one rate for "
                              f"each of the {int(H)} heads")


def check_state(function, name, state, sequences, H, D, E):
    if tuple(state.shape) != (sequences, H, D, E):
        raise wrong(function, f"{name} has shape {text(state.shape)}, wanted "
                              f"{text((sequences, H, D, E))} ([sequences, H, D, E])")


def check_offsets(function, cu_seqlens, B):
    """The number of sequences."""
    if len(cu_seqlens.shape) != 1 or cu_seqlens.shape[0] < 1:
        raise wrong(function, f"cu_seqlens has shape {text(cu_seqlens.shape)}, wanted "
                              "[sequences + 1]")
    if B != 1:
        raise wrong(function, f"B is {int(B)}, wanted 1: cu_seqlens says where the sequences that "
                              "are packed into one row begin")
    return cu_seqlens.shape[0] - 1


def check_step(function, q, k, v, state, slots):
    """(N, H, D, E) of one token each: q, k [N, H, D], v [N, H, E]."""
    if len(q.shape) != 3:
        raise wrong(function, f"q has shape {text(q.shape)}, wanted [N, H, D]: one token of each "
                              "of N sequences")
    if tuple(k.shape) != tuple(q.shape):
        raise wrong(function, f"k has shape {text(k.shape)}, wanted that of q, {text(q.shape)} "
                              "([N, H, D])")
    N, H, D = q.shape
    if len(v.shape) != 3 or tuple(v.shape[:2]) != (N, H):
        raise wrong(function, f"v has shape {text(v.shape)}, wanted [{int(N)}, {int(H)}, E]")
    E = v.shape[2]
    if len(state.shape) != 4 or tuple(state.shape[1:]) != (H, D, E) or (
            slots is None and state.shape[0] != N):
        first = "slots" if slots is not None else int(N)
        raise wrong(function, f"state has shape {text(state.shape)}, wanted [{first}, {int(H)}, "
                              f"{int(D)}, {int(E)}]")
    if slots is not None and tuple(slots.shape) != (N,):
        raise wrong(function, f"slots has shape {text(slots.shape)}, wanted [{int(N)}], the "
                              "number of each sequence's state")
    return N, H, D, E
