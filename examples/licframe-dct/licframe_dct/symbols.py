"""Quantised coefficients to bytes and back.

Planes are coded one after the other, each frequency of all blocks in one step. What a block has shown in lower frequencies
puts it into one of four classes; each class has a table of its own at each frequency. Which, the encoder says in a side
stream: it belongs to the picture. All that decides a probability is whole numbers, the tables too: a last bit that differs
between two machines would turn all that follows into noise.
"""

import torch
from torch import Tensor

from licframe.parts import TOTAL_BITS, CorruptStreamError, Decoder, Encoder, SymbolCoder, TableBank

from .blocks import FREQUENCIES

_BOUNDS = torch.tensor([1.0, 3.0, 8.0])
_CLASSES = len(_BOUNDS) + 1
_UNIT = 512
_WIDTHS = [a << k for k in range(17) for a in (2, 3)]
"""Of each table: a residual is ``width / (width + _UNIT)`` times as likely as the next smaller one."""
_OF_NUMBERS, _OF_DIFFERENCES = 25, 17
"""Tables of the side stream itself."""


def _table(width: int) -> list[int]:
    """Return counts of residuals ``-half .. half`` and of what lies beyond, 2^TOTAL_BITS in all."""
    count, side = 2**TOTAL_BITS * _UNIT // (_UNIT + 2 * width), []
    while count := count * width // (_UNIT + width):
        side.append(count)
    return [*reversed(side), 2**TOTAL_BITS - 2 * sum(side) - 1, *side, 1]


def _bank() -> TableBank:
    counts = [torch.tensor(_table(width)).numpy() for width in _WIDTHS]
    return TableBank(torch.tensor([len(row) // 2 - 1 for row in counts]).numpy(), counts)


_BANK = _bank()


def code(coder: SymbolCoder, tables: Tensor, symbols: Tensor) -> None:
    """Code symbols ``(P, 64, rows, columns)``, whole numbers in float64; encoder and decoder run the same loop.

    Args:
        tables: number of the table of each plane, frequency and class, ``(P, 64, 4)``; -1 where all is zero. An encoder
            fills them in, a decoder has them from the side stream.
        symbols: an encoder's; a decoder fills them in.
    """
    for plane, plane_tables in zip(symbols, tables, strict=True):
        activity = torch.zeros_like(plane[0])
        for step, step_tables in zip(plane, plane_tables, strict=True):
            classes = torch.bucketize(activity, _BOUNDS, right=True)
            if isinstance(coder, Encoder):
                step_tables.copy_(_fitting_tables(step, classes))
                coder.code(_BANK, step_tables[classes], step)
            else:
                step.copy_(coder.code(_BANK, step_tables[classes], None))
            coder.note(step)
            activity = (activity / 2).floor() + step.abs()


def _fitting_tables(step: Tensor, classes: Tensor) -> Tensor:
    """Return the table of each class that fits the mean size of its symbols."""
    totals, counts = (
        torch.bincount(classes.flatten(), weights, _CLASSES) for weights in (step.abs().flatten(), None)
    )
    mean = totals / counts.clamp_min(1)
    width = _UNIT * (mean - 1 + (mean.square() + 1).sqrt()) / 2  # of which that is the mean
    index = (2 * (width / _WIDTHS[0]).log2()).round().clamp(0, len(_WIDTHS) - 1)
    return torch.where(totals > 0, index, -1).long()


def pack(step: int, tables: Tensor) -> bytes:
    """Return the side stream of a quantisation step and tables ``(P, 64, 4)``."""
    used = (tables >= 0).any(2)
    lengths = (used * torch.arange(1, FREQUENCIES + 1)).amax(1)
    encoder = Encoder()
    _code_all(encoder, _OF_NUMBERS, torch.tensor([step, *lengths]))
    for plane, length in zip(tables, lengths.tolist(), strict=True):
        _code_all(
            encoder, _OF_DIFFERENCES, plane[:length].diff(dim=0, prepend=torch.full((1, _CLASSES), -1))
        )
    return encoder.finish()


def unpack(data: bytes, planes: int) -> tuple[int, Tensor]:
    """Invert :func:`pack`.

    Raises:
        CorruptStreamError: the bytes are no such stream.
    """
    decoder = Decoder(data)
    step, *lengths = _code_all(decoder, _OF_NUMBERS, size=(1 + planes,)).tolist()
    if step < 1 or not all(0 <= length <= FREQUENCIES for length in lengths):
        raise CorruptStreamError("the quantisation step or the number of frequencies is impossible")
    tables = torch.full((planes, FREQUENCIES, _CLASSES), -1)
    for plane, length in zip(tables, lengths, strict=True):
        plane[:length] = _code_all(decoder, _OF_DIFFERENCES, size=(length, _CLASSES)).cumsum(0) - 1
    decoder.finish()
    if not bool(((tables >= -1) & (tables < len(_WIDTHS))).all()):
        raise CorruptStreamError("a table is named that is not there")
    return step, tables


def _code_all(
    coder: Encoder | Decoder, table: int, values: Tensor | None = None, size: tuple[int, ...] = ()
) -> Tensor:
    """Code whole numbers with one table."""
    index = torch.full(size if values is None else values.shape, table)
    return coder.code(_BANK, index, values).long()
