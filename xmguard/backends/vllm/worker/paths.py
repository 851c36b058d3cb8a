"""The two ways of reading a layer's rows, and which of them a worker takes: stated once, when its model is examined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol

import torch

from xmguard.backends.vllm.worker.layer_call import LayerCall
from xmguard.backends.vllm.worker.layout import Layout
from xmguard.backends.vllm.worker.overlay import serve
from xmguard.backends.vllm.worker.readings import Chunk, Step
from xmguard.backends.vllm.worker.row_batch import RowBatch, batches, serve_rows

Failed = Callable[[Chunk, Exception], None]


class Path(Protocol):
    """Reads one layer after the other in one step after the other."""

    def __call__(self, call: LayerCall, step: Step, fail: Failed) -> None:
        """Read the rows that need it, of every request; write those that have a bias, keep what is measured.

        Args:
            call: the layer.
            step: what is read, and where it is put what is to be done once all layers are.
            fail: told of each request that cannot be read. Others are read all the same.
        """


class TorchPath:
    """In torch: any layout, any machine. Single rows of many requests at once, other requests one by one."""

    def __init__(self, layers: int) -> None:
        self._layers = layers
        self._step: Step | None = None
        self._rows: dict[tuple[int, int | None], list[RowBatch]] = {}

    def __call__(self, call: LayerCall, step: Step, fail: Failed) -> None:
        """As `Path` says."""
        readers: list[tuple[Callable[[], None], Sequence[Chunk]]] = [
            (partial(serve_rows, call, batch), batch.chunks) for batch in self._single(call, step)
        ]
        readers += [(partial(serve, call, chunk), [chunk]) for chunk in step.chunks if not chunk.is_row]
        for read, chunks in readers:
            try:
                read()
            except Exception as error:  # these requests', not the engine's
                for chunk in chunks:
                    fail(chunk, error)

    def _single(self, call: LayerCall, step: Step) -> list[RowBatch]:
        """The step's single rows, made ready by the first layer of a group and a window."""
        if self._step is not step:
            self._step, self._rows = step, {}
        key = (call.block_table.data_ptr(), call.window)
        if key not in self._rows:
            rows = [chunk for chunk in step.chunks if chunk.is_row]
            size, heads = call.layout.key.size, call.query.shape[1]
            self._rows[key] = list(batches(rows, call.block_table, size, call.window, self._layers, heads))
            step.settled += [batch.settle for batch in self._rows[key]]
        return self._rows[key]


def chosen(caches: Iterable[tuple[Layout, torch.dtype]], layers: int, *, compiled: bool = True) -> tuple[Path, str]:
    """The path for a model, and what is to be said of it.

    Args:
        caches: layout and numbers of every layer's cache.
        layers: of the model.
        compiled: False takes the torch path.
    """
    by_torch = TorchPath(layers)
    if not compiled:
        return by_torch, "torch, as was asked for"
    try:
        import numba

        from xmguard.backends.vllm.worker.compiled import CompiledPath, order_of
    except Exception as error:  # numba, its compiler or where it keeps what it compiled
        return by_torch, f"torch, because the kernel cannot be compiled: {type(error).__name__}: {error}"
    orders = {order_of(layout, dtype) for layout, dtype in {id(each): each for each in caches}.values()}
    if len(orders) != 1 or (order := orders.pop()) is None:
        return by_torch, "torch, because the kernel does not know how the keys of this model lie in their cache"
    return CompiledPath(order, layers), f"compiled by numba {numba.__version__}"
