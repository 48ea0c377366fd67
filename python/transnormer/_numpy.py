"""Lightning attention on NumPy arrays, on the CPU. Gradients by lightning_attention_backward."""

import numpy as np

from . import _native, _shapes

# bfloat16 is ml_dtypes', which JAX brings along.
DTYPES = {"float64": _native.F64, "float32": _native.F32, "float16": _native.F16,
          "bfloat16": _native.BF16}
NONE = (0, 0, 0, 0)


def _address(x):
    return 0 if x is None else x.__array_interface__["data"][0]


def _rows(x, head_first):
    size = x.itemsize
    batch, token, head = (stride // size for stride in x.strides[:3])
    return (_address(x), batch, head, token) if head_first else (_address(x), batch, token, head)


def _inputs(function, first, **arrays):
    """The arrays, the last dimension without gaps, all of the first's dtype."""
    if first.dtype.name not in DTYPES:
        raise _shapes.wrong(function, f"q is {first.dtype}, wanted float64, float32, float16 or "
                                      "bfloat16")
    for name, x in arrays.items():
        if x.dtype != first.dtype:
            raise _shapes.wrong(function, f"{name} is {x.dtype}, wanted {first.dtype} as q")
    return [x if x.shape[-1] <= 1 or x.strides[-1] == x.itemsize else np.ascontiguousarray(x)
            for x in (first, *arrays.values())]


class _Call:
    def __init__(self, function, q, k, v, decay, cu_seqlens, scale, head_first, more=None):
        self.sizes = _shapes.sizes(function, q, k, v, head_first)
        B, T, H, D, E = self.sizes
        self.q, self.k, self.v, *self.more = _inputs(function, q, k=k, v=v, **(more or {}))
        self.acc = np.float64 if q.dtype == np.float64 else np.float32
        decay = np.asarray(decay, dtype=self.acc)
        _shapes.check_decay(function, decay, H)
        self.decay = np.ascontiguousarray(decay.reshape(H))
        if not (self.decay >= 0).all():
            raise _shapes.wrong(function, f"decay has a rate of {self.decay.min()}, wanted 0 or "
                                          "more: lambda = exp(-rate)")
        self.sequences, self.cu_seqlens = B, None
        if cu_seqlens is not None:
            self.cu_seqlens = np.ascontiguousarray(cu_seqlens, dtype=np.int32)
            self.sequences = _shapes.check_offsets(function, self.cu_seqlens, B)
        self.function, self.head_first = function, head_first
        self.native = _native.Call(
            _native.CPU, 0, DTYPES[q.dtype.name], self.sizes, 1.0 if scale is None else scale,
            self.rows(self.q), self.rows(self.k), self.rows(self.v), _address(self.decay),
            _address(self.cu_seqlens), self.sequences, False)

    def rows(self, x):
        return _rows(x, self.head_first)

    def state(self, name, state):
        if state is None:
            return None
        state = np.ascontiguousarray(state, dtype=self.acc)
        _shapes.check_state(self.function, name, state, self.sequences, *self.sizes[2:])
        return state

    def new_state(self, wanted):
        return np.empty((self.sequences, *self.sizes[2:]), self.acc) if wanted else None


def lightning_attention(q, k, v, decay, initial_state=None, output_final_state=False,
                        cu_seqlens=None, scale=None, head_first=False):
    call = _Call("lightning_attention", q, k, v, decay, cu_seqlens, scale, head_first)
    initial_state = call.state("initial_state", initial_state)
    final_state = call.new_state(output_final_state)
    o = np.empty(v.shape, q.dtype)
    call.native.forward(call.rows(o), _address(initial_state), _address(final_state), 0, 0, 0, 0)
    return (o, final_state) if output_final_state else o


def lightning_attention_backward(do, q, k, v, decay, initial_state=None, dfinal_state=None,
                                 cu_seqlens=None, scale=None, head_first=False):
    """(dq, dk, dv, dinitial_state) from the gradient of the output and, if it was wanted, of the
    final state; dinitial_state is None without initial_state."""
    function = "lightning_attention_backward"
    if do.shape != v.shape:
        raise _shapes.wrong(function, f"do has shape {_shapes.text(do.shape)}, wanted that of v, "
                                      f"{_shapes.text(v.shape)}")
    call = _Call(function, q, k, v, decay, cu_seqlens, scale, head_first, {"do": do})
    initial_state = call.state("initial_state", initial_state)
    dfinal_state = call.state("dfinal_state", dfinal_state)
    dinitial_state = call.new_state(initial_state is not None)
    dq, dk, dv = (np.empty(x.shape, q.dtype) for x in (q, k, v))
    call.native.backward(call.rows(call.more[0]), _address(dfinal_state), _address(initial_state),
                         call.rows(dq), call.rows(dk), call.rows(dv), _address(dinitial_state),
                         0, 0)
    return dq, dk, dv, dinitial_state


def lightning_attention_step(q, k, v, decay, state, slots=None, scale=None):
    function = "lightning_attention_step"
    if slots is not None:
        slots = np.ascontiguousarray(slots, dtype=np.int32)
    _shapes.check_step(function, q, k, v, state, slots)
    call = _Call(function, *(x[:, None] for x in (q, k, v)), decay, None, scale, False)
    if state.dtype != call.acc or not state.flags.c_contiguous or not state.flags.writeable:
        raise _shapes.wrong(function, f"state is {state.dtype}, wanted {np.dtype(call.acc)}, "
                                      "contiguous and writeable: it is updated in place")
    o = np.empty((q.shape[0], 1, *v.shape[1:]), q.dtype)
    at = _address(state)
    call.native.forward(call.rows(o), at, at, _address(slots), state.shape[0], 0, 0)
    return o[:, 0]
