"""Writes what torch.save writes, without torch: for tests of reading it.

The pickle is made by Python's own pickler over stand-ins of torch's classes; the archive is written
by hand, so that storages may be holes of a sparse file.
"""

import io
import pickle
import struct
import sys
import types
from collections import OrderedDict
from contextlib import contextmanager

WIDTH = {"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
         "LongStorage": 8}


@contextmanager
def stand_ins():
    """torch and torch._utils as modules that hold nothing but the names pickled here."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in WIDTH:
        setattr(torch, name, type(name, (), {"__module__": "torch", "__qualname__": name}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *a: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    torch._utils = utils
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield torch
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Storage:
    def __init__(self, kind, elements, data=None):
        """data: its bytes, or None for a hole."""
        self.kind, self.elements, self.data = kind, elements, data


class Tensor:
    def __init__(self, storage, shape, offset=0, strides=None, parameter=False):
        self.storage, self.shape, self.offset, self.parameter = storage, shape, offset, parameter
        self.strides = strides
        if strides is None:
            steps = [1]
            for n in reversed(shape[1:]):
                steps.append(steps[-1] * n)
            self.strides = tuple(reversed(steps[:len(shape)]))

    def __reduce__(self):
        utils = sys.modules["torch._utils"]
        arguments = (self.storage, self.offset, tuple(self.shape), tuple(self.strides), False,
                     OrderedDict())
        if not self.parameter:
            return utils._rebuild_tensor_v2, arguments
        inner = Tensor(self.storage, self.shape, self.offset, self.strides)
        return utils._rebuild_parameter, (inner, True, OrderedDict())


def tensor(array, kind=None, **options):
    kind = kind or {"float64": "DoubleStorage", "float32": "FloatStorage",
                    "float16": "HalfStorage"}[str(array.dtype)]
    return Tensor(Storage(kind, array.size, array.tobytes()), array.shape, **options)


def hole(kind, shape):
    elements = 1
    for n in shape:
        elements *= n
    return Tensor(Storage(kind, elements), shape)


def save(tensors, path, root="archive"):
    """tensors: {name: Tensor}, or whatever else is to be pickled."""
    storages = []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            if value not in storages:
                storages.append(value)
            return ("storage", getattr(sys.modules["torch"], value.kind),
                    str(storages.index(value)), "cuda:0", value.elements)

    with stand_ins():
        program = io.BytesIO()
        Pickler(program, protocol=2).dump(tensors)
    entries = [("data.pkl", program.getvalue(), None), ("byteorder", b"little", None)]
    entries += [(f"data/{i}", s.data, s.elements * WIDTH[s.kind]) for i, s in enumerate(storages)]
    entries.append(("version", b"3\n", None))
    write_zip([(f"{root}/{name}", data, size) for name, data, size in entries], path)


def write_zip(entries, path):
    """(name, bytes, None), or (name, None, size) for a hole. Contents begin at multiples of 64; as
    in torch's files sizes stand in the directory, in zip64 form where they do not fit else."""
    directory, count = b"", 0
    wide = 0xFFFFFFFF
    with open(path, "wb") as out:
        for name, data, size in entries:
            size = len(data) if data is not None else size
            name, at = name.encode(), out.tell()
            padding = -(at + 30 + len(name) + 4) % 64
            out.write(struct.pack("<4sHHHIIIIHH", b"PK\3\4", 0, 0x808, 0, 0, 0, 0, 0, len(name),
                                  4 + padding) + name + struct.pack("<2sH", b"FB", padding) +
                      b"Z" * padding)
            assert out.tell() % 64 == 0
            if data is None:
                out.seek(size, 1)
            else:
                out.write(data)
            extra = b""
            if size >= wide:
                extra += struct.pack("<QQ", size, size)
            if at >= wide:
                extra += struct.pack("<Q", at)
            if extra:
                extra = struct.pack("<HH", 1, len(extra)) + extra
            directory += struct.pack("<4sHHHHIIIIHHHHHII", b"PK\1\2", 0, 0, 0x808, 0, 0, 0,
                                     min(size, wide), min(size, wide), len(name), len(extra), 0, 0,
                                     0, 0, min(at, wide)) + name + extra
            count += 1
        at = out.tell()
        out.write(directory)
        if at >= wide:
            end = out.tell()
            out.write(struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 0, 0, 0, 0, count, count,
                                  len(directory), at))
            out.write(struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
        out.write(struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory),
                              min(at, wide), 0))
