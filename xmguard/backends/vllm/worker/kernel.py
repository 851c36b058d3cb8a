"""Segmented attention over paged keys as machine code: the same mathematics as `xmguard.attention`, in one pass.

Compiled by numba, which vLLM itself requires, when this module is first imported, and kept on disk. The cache is read
where it lies: float32 in place, bfloat16 a block at a time. Knows integers and arrays; nothing of requests.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

DIRECT, HALVES, PAIRS = 0, 1, 2
"""How a block lies in memory: float32 as keys [dim, token] and values [token, dim]; bfloat16 in the same order;
bfloat16 in tiles of sixteen 32-bit words, where a word of keys holds two neighbouring dims and one of values two
tokens."""

LANES = 16
"""Numbers of a vector; the widths of heads and blocks are multiples of it."""

_LOG2E = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LEAST = np.float32(-87.0)
_NOTHING = np.float32(-np.inf)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_C5, _C4, _C3 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_C2, _C1, _C0 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_SHIFT, _BIAS = np.int32(23), np.int32(127)
_WORD_SHIFT, _HIGH = np.uint32(16), np.uint32(0xFFFF0000)

_FUSED = ("contract",)
_EXACT = {"contract"}
_SUMS = {"contract", "reassoc", "nsz"}
"""Sums may be taken in any order; infinities mean what they say."""


@njit(fastmath=_EXACT, inline="always")
def _exp(x):
    """e^x of x <= 0 to 2 units in the last place, in a form that vectorises (Cephes' expf); 1e-38 below -87."""
    x = x if x > _LEAST else _LEAST
    whole = np.floor(x * _LOG2E + _HALF)
    r = x - whole * _LN2_HIGH - whole * _LN2_LOW
    y = ((((_C5 * r + _C4) * r + _C3) * r + _C2) * r + _C1) * r + _C0
    y = y * r * r + r + _ONE
    return y * np.int32((np.int32(whole) + _BIAS) << _SHIFT).view(np.float32)


@njit
def _unpack_halves(packed, matrix):
    """Bfloat16 numbers in the order of the matrix."""
    rows, columns = matrix.shape
    for row in range(rows):
        line = packed[row * columns : (row + 1) * columns]
        into = matrix[row]
        for column in range(columns):
            into[column] = np.uint32(np.uint32(line[column]) << _WORD_SHIFT).view(np.float32)


@njit
def _unpack_pairs(words, matrix):
    """Tiles of sixteen columns; the halves of a word are two neighbouring rows."""
    rows, columns = matrix.shape
    pairs = rows // 2
    for pair in range(pairs):
        low, high = matrix[2 * pair], matrix[2 * pair + 1]
        for tile in range(columns // LANES):
            line = words[(tile * pairs + pair) * LANES : (tile * pairs + pair + 1) * LANES]
            left, right = low[tile * LANES : (tile + 1) * LANES], high[tile * LANES : (tile + 1) * LANES]
            for place in range(LANES):
                left[place] = np.uint32(line[place] << _WORD_SHIFT).view(np.float32)
            for place in range(LANES):
                right[place] = np.uint32(line[place] & _HIGH).view(np.float32)


@njit
def _block(floats, halves, words, order, place, unpacked):
    """The keys or values at a place of the cache, as a matrix of the shape of `unpacked`, which may be used for it."""
    stop = place + unpacked.size
    if order == DIRECT:
        return floats[place:stop].reshape(unpacked.shape)
    if order == HALVES:
        _unpack_halves(halves[place:stop], unpacked)
    else:
        _unpack_pairs(words[place // 2 : stop // 2], unpacked)
    return unpacked


@intrinsic
def _add_products(typing_context, total, factors, matrix, first, stop):
    """total[c] += sum over rows first .. stop - 1 of factors[row] * matrix[row, c]; columns by the `LANES`.

    Written as LLVM's vectors: its own vectoriser would look at every call whether the arrays overlap.
    """

    def generate(context, builder, signature, arguments):
        def start(index):
            array = context.make_array(signature.args[index])(context, builder, arguments[index])
            return array.data, cgutils.unpack_tuple(builder, array.shape)

        (into, (columns,)), (scale, _), (rows, _) = start(0), start(1), start(2)
        begin, end = arguments[3], arguments[4]
        vector = ir.VectorType(ir.FloatType(), LANES)

        def load(pointer, offset):
            place = builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())
            return builder.load(place, align=4), place

        def strip(column, width, at_once):
            """Some columns of the product; the sums of every `at_once`th row are kept apart, so that none waits."""
            sums = [[cgutils.alloca_once(builder, vector) for _ in range(width)] for _ in range(at_once)]
            for held in sums:
                for one in held:
                    builder.store(ir.Constant(vector, None), one)

            def add(row, apart):
                factor = builder.load(builder.gep(scale, [row]))
                wide = builder.insert_element(ir.Constant(vector, ir.Undefined), factor, _int(0, 32))
                wide = builder.shuffle_vector(
                    wide, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), LANES), None)
                )
                line = builder.add(builder.mul(row, columns), column)
                for place, one in enumerate(sums[apart]):
                    value, _ = load(rows, builder.add(line, _int(place * LANES)))
                    product = builder.fmul(wide, value, flags=_FUSED)
                    builder.store(builder.fadd(product, builder.load(one), flags=_FUSED), one)

            count = builder.sub(end, begin)
            whole = builder.sdiv(count, _int(at_once))
            with cgutils.for_range(builder, whole) as loop:
                row = builder.add(begin, builder.mul(loop.index, _int(at_once)))
                for apart in range(at_once):
                    add(builder.add(row, _int(apart)), apart)
            done = builder.mul(whole, _int(at_once))
            with cgutils.for_range(builder, builder.sub(count, done)) as loop:
                add(builder.add(builder.add(begin, done), loop.index), 0)
            for place in range(width):
                value, target = load(into, builder.add(column, _int(place * LANES)))
                for held in sums:
                    value = builder.fadd(value, builder.load(held[place]))
                builder.store(value, target, align=4)

        strips = builder.sdiv(columns, _int(2 * LANES))
        with cgutils.for_range(builder, strips) as loop:
            strip(builder.mul(loop.index, _int(2 * LANES)), 2, 4)
        last = builder.mul(strips, _int(2 * LANES))
        with builder.if_then(builder.icmp_signed("<", last, columns)):
            strip(last, 1, 8)
        return context.get_dummy_value()

    return types.void(total, factors, matrix, types.int64, types.int64), generate


def _int(value, bits=64):
    return ir.Constant(ir.IntType(bits), value)


@njit
def _peak(row, lanes):
    """Its largest number."""
    lanes[:] = _NOTHING
    whole = row.shape[0] // LANES
    for number in range(whole):
        part = row[number * LANES : number * LANES + LANES]
        for lane in range(LANES):
            lanes[lane] = part[lane] if part[lane] > lanes[lane] else lanes[lane]
    peak = _NOTHING
    for lane in range(LANES):
        peak = lanes[lane] if lanes[lane] > peak else peak
    rest = row[whole * LANES :]
    for place in range(rest.shape[0]):
        peak = rest[place] if rest[place] > peak else peak
    return peak


@njit(fastmath=_SUMS)
def _exponentiate(row, peak):
    """Each number becomes e to it less the peak; their sum."""
    total = _ZERO
    for place in range(row.shape[0]):
        value = _exp(row[place] - peak)
        row[place] = value
        total += value
    return total


_F1, _F3, _F4 = types.float32[::1], types.float32[:, :, ::1], types.float32[:, :, :, ::1]
_I1, _I2, _I3 = types.int64[::1], types.int64[:, ::1], types.int64[:, :, ::1]


@njit(
    types.void(
        _F1, types.uint16[::1], types.uint32[::1], types.int64, _I1, types.int32[:, ::1], _F1, types.int64, _I2, _I2,
        types.int64, types.float32, types.float32, types.int64, types.int64, _F4, _F3,
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def states(
    floats, halves, words, order, strides, tables, query, query_stride, tiles, pieces, window, scaling, soft_cap,
    kv_heads, tallest, out, lse,
):  # fmt: skip
    """(o_k, l_k) of every row, head and segment, before any bias.

    Args:
        floats: the cache from its first key on, for `DIRECT`; otherwise empty.
        halves: the same for `HALVES`, as 16-bit words.
        words: the same for `PAIRS`, as 32-bit words.
        order: one of the three.
        strides: in numbers: from block to block, head to head, keys to values; tokens of a block.
        tables: blocks of each request, [request, block].
        query: as it lies, [row * query_stride + head * dim].
        query_stride: numbers from row to row.
        tiles: runs of rows of one request: [request, first row in `query`, first row in `out`, rows, position of the
            first, first piece, piece after the last].
        pieces: runs of keys in order: [start, stop, segment].
        window: how many keys a row sees at most; 0 for all.
        scaling: factor of the logits.
        soft_cap: logits become cap * tanh(logits / cap); 0 for none.
        kv_heads: heads of the keys.
        tallest: rows of the tallest tile.
        out: written, [row, head, segment, dim]; 0 where nothing is seen.
        lse: written, [row, head, segment], nats; -inf where nothing is seen.
    """
    heads, segments, dim = out.shape[1:]
    group = heads // kv_heads
    block = strides[3]
    longest = 0
    for tile in tiles:
        longest = max(longest, tile[4] + tile[3])
    blocks = (longest + block - 1) // block
    scores = np.empty((tallest * group, blocks, block), np.float32)
    asked = np.empty((tallest * group, dim), np.float32)
    peaks, lanes = np.empty(segments, np.float32), np.empty(LANES, np.float32)
    sums = np.empty((tallest * group, segments), np.float32)
    unpacked_keys, unpacked_values = np.empty((dim, block), np.float32), np.empty((block, dim), np.float32)
    for number in range(tiles.shape[0]):
        request, first_query, first_row, rows, position, first_piece, last_piece = tiles[number]
        oldest = max(0, position - window + 1) if window > 0 else 0
        first_block, last_block = oldest // block, (position + rows + block - 1) // block
        for kv_head in range(kv_heads):
            for r in range(rows):
                for g in range(group):
                    start = (first_query + r) * query_stride + (kv_head * group + g) * dim
                    for d in range(dim):
                        asked[r * group + g, d] = query[start + d]
            for number_of_block in range(first_block, last_block):
                place = tables[request, number_of_block] * strides[0] + kv_head * strides[1]
                keys = _block(floats, halves, words, order, place, unpacked_keys)
                for m in range(rows * group):
                    line = scores[m, number_of_block]
                    line[:] = _ZERO
                    _add_products(line, asked[m], keys, 0, dim)
                    for t in range(block):
                        line[t] *= scaling
            if soft_cap > 0:
                for m in range(rows * group):
                    for b in range(first_block, last_block):
                        for t in range(block):
                            scores[m, b, t] = soft_cap * np.float32(math.tanh(scores[m, b, t] / soft_cap))
            for m in range(rows * group):
                line = scores[m].reshape(-1)
                row, head, at = first_row + m // group, kv_head * group + m % group, position + m // group
                low = max(0, at - window + 1) if window > 0 else 0
                peaks[:] = _NOTHING
                sums[m] = _ZERO
                out[row, head] = _ZERO
                for piece in range(first_piece, last_piece):
                    start, stop, segment = max(pieces[piece, 0], low), min(pieces[piece, 1], at + 1), pieces[piece, 2]
                    if start < stop:
                        peaks[segment] = max(peaks[segment], _peak(line[start:stop], lanes))
                for piece in range(first_piece, last_piece):
                    start, stop, segment = max(pieces[piece, 0], low), min(pieces[piece, 1], at + 1), pieces[piece, 2]
                    if start < stop:
                        sums[m, segment] += _exponentiate(line[start:stop], peaks[segment])
                for segment in range(segments):
                    if sums[m, segment] > 0:
                        lse[row, head, segment] = np.float32(math.log(sums[m, segment])) + peaks[segment]
                    else:
                        lse[row, head, segment] = _NOTHING
            for number_of_block in range(first_block, last_block):
                place = tables[request, number_of_block] * strides[0] + kv_head * strides[1] + strides[2]
                values = _block(floats, halves, words, order, place, unpacked_values)
                begin = number_of_block * block
                for piece in range(first_piece, last_piece):
                    if pieces[piece, 0] >= begin + block or pieces[piece, 1] <= begin:
                        continue
                    for m in range(rows * group):
                        at = position + m // group
                        low = max(begin, at - window + 1) if window > 0 else begin
                        start = max(pieces[piece, 0], low)
                        stop = min(min(pieces[piece, 1], at + 1), begin + block)
                        if start < stop:
                            total = out[first_row + m // group, kv_head * group + m % group, pieces[piece, 2]]
                            _add_products(total, scores[m, number_of_block], values, start - begin, stop - begin)
            for m in range(rows * group):
                for segment in range(segments):
                    if sums[m, segment] > 0:
                        share = _ONE / sums[m, segment]
                        for d in range(dim):
                            out[first_row + m // group, kv_head * group + m % group, segment, d] *= share


@njit(
    types.void(
        _F4, _F3, _F3, _I2, types.int64[:, ::1], types.float32[:, ::1], types.float32[:, ::1], _F1, _F4, _F1,
        types.int64, types.float64[:, :, :, ::1],
    ),
    nogil=True,
    cache=True,
)  # fmt: skip
def merge(out, lse, epsilon, rows, firsts, constants, head_factors, sinks, factors, output, output_stride, sums):
    """Attention under the bias, and what each segment contributes.

    Args:
        out: as `states` writes it.
        lse: the same.
        epsilon: nats, [row, head, segment]; read for rows that give theirs, written for others.
        rows: [reading, position, row in `output` or -1, place in `sums` or -1, place in `factors`, whether it gives its
            epsilons, segments].
        firsts: first position that reads a segment with its constant, [reading, segment].
        constants: nats, [reading, segment].
        head_factors: of the constants, [reading, head].
        sinks: a logit for each head, or empty.
        factors: R_h transposed, [place, head, head_dim, rank].
        output: written, [row * output_stride + head * dim].
        output_stride: numbers from row to row.
        sums: norms, masses and epsilons are added, [place, 3, segment, head].
    """
    heads, dim, rank = out.shape[1], out.shape[3], factors.shape[3]
    weights = np.empty(out.shape[2], np.float32)
    total = np.empty(dim, np.float32)
    projected = np.empty(rank, np.float32)
    for head in range(heads):
        for row in range(rows.shape[0]):
            reading, position, target, place, which, given, segments = rows[row]
            peak = sinks[head] if sinks.shape[0] > 0 else _NOTHING
            for s in range(segments):
                if given == 0:
                    factor = head_factors[reading, head]
                    applied = factor > 0 and position >= firsts[reading, s]
                    epsilon[row, head, s] = constants[reading, s] * factor if applied else _ZERO
                weights[s] = lse[row, head, s] + epsilon[row, head, s]
                peak = max(peak, weights[s])
            peak = peak if peak > _NOTHING else _ZERO
            whole = np.float32(math.exp(sinks[head] - peak)) if sinks.shape[0] > 0 else _ZERO
            for s in range(segments):
                weights[s] = np.float32(math.exp(weights[s] - peak))
                whole += weights[s]
            whole = max(whole, _ONE)
            total[:] = _ZERO
            for s in range(segments):
                weights[s] /= whole
            if target >= 0:
                _add_products(total, weights, out[row, head], 0, segments)
                start = target * output_stride + head * dim
                output[start : start + dim] = total
            if place >= 0:
                for s in range(segments):
                    norm = _ZERO
                    if weights[s] > 0:
                        projected[:] = _ZERO
                        own, matrix = out[row, head, s], factors[which, head]
                        _add_products(projected, own, matrix, 0, dim)
                        square = _ZERO
                        for e in range(rank):
                            square += projected[e] * projected[e]
                        norm = weights[s] * np.float32(math.sqrt(square))
                    sums[place, 0, s, head] += norm
                    sums[place, 1, s, head] += weights[s]
                    sums[place, 2, s, head] += epsilon[row, head, s]
