// One row after another, and one row vector after vector.
#pragma once

#include <algorithm>

#include "channel/block.h"
#include "channel/mask.h"
#include "vectors/vec_pair.h"

namespace NW_ISA {

// Bytes of a row from which writing past the caches fills enough of its lines.
constexpr int64_t MIN_STREAMED_ROW = 512;

template <class T>
bool streams_rows(const Call& call) {
  return call.stream && call.s * static_cast<int64_t>(sizeof(T)) >= MIN_STREAMED_ROW;
}

// Calls real(offset, length, channel within the block) for each stretch of real positions of the block, and
// padding(offset, length) for the others.
template <class Real, class Padding>
NW_INLINE void over_rows(const Call& call, const Block& block, Order order, Real real, Padding padding) {
  for (int64_t i = block.row_begin; i < block.row_end; ++i) {
    const int64_t n = order == Order::backwards ? block.row_end - 1 - (i - block.row_begin) : i;
    const uint8_t* mask = call.mask ? call.mask + n * call.s : nullptr;
    for (int64_t c = block.c_begin; c < block.c_end; ++c) {
      const int64_t row = (n * call.c + c) * call.s;
      over_stretches(
          mask, call.s, [&](int64_t b, int64_t e) { real(row + b, e - b, c - block.c_begin); },
          [&](int64_t b, int64_t e) { padding(row + b, e - b); });
    }
  }
}

// Calls pair(i) for two vectors of a row at a time, one(i) for a vector, and some(i, count) for less. `aligned` is null
// unless the outputs go past the caches: then a first part comes before, after which all others are aligned to
// NW_VECTOR_BYTES.
template <class T, class Pair, class One, class Some>
NW_INLINE void over_vectors(const T* aligned, int64_t length, Pair pair, One one, Some some) {
  int64_t i = 0;
  const auto misaligned = reinterpret_cast<uintptr_t>(aligned) % NW_VECTOR_BYTES;
  const auto until_aligned = static_cast<int64_t>((NW_VECTOR_BYTES - misaligned) / sizeof(T));
  const int64_t first = misaligned == 0 ? 0 : std::min(until_aligned, length);
  for (; i < first; i += LANES) some(i, static_cast<int>(std::min<int64_t>(LANES, first - i)));
  i = first;
  for (; i + 2 * LANES <= length; i += 2 * LANES) pair(i);
  if (i + LANES <= length) {
    one(i);
    i += LANES;
  }
  if (i < length) some(i, static_cast<int>(length - i));
}

// Writes a row: what pair(i), one(i) and some(i, count) return.
template <class T, class Pair, class One, class Some>
NW_INLINE void write_row(T* y, int64_t length, bool streams, Pair pair, One one, Some some) {
  const auto store_some = [&](int64_t i, int count) { store(y + i, some(i, count), count); };
  if (streams) {
    over_vectors(
        y, length, [&](int64_t i) { stream_pair(y + i, pair(i)); }, [&](int64_t i) { stream(y + i, one(i)); },
        store_some);
  } else {
    over_vectors(
        static_cast<T*>(nullptr), length, [&](int64_t i) { store_pair(y + i, pair(i)); },
        [&](int64_t i) { store(y + i, one(i)); }, store_some);
  }
}

}  // namespace NW_ISA
