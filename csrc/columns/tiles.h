// Tiles: a block is passed over in several rows of a few vectors of columns at a time. What belongs to these columns
// stays in registers meanwhile.
#pragma once

#include <algorithm>
#include <type_traits>

#include "columns/view.h"
#include "vectors/vec_pair.h"

namespace NW_ISA {

// How wide a tile is, which is known when it is compiled: so many pairs of vectors, or one vector, of which the last
// tile of a row has only a part.
template <int pairs>
struct VectorPairs {};
template <bool whole>
struct OneVector {};

struct Tile {
  int64_t column;  // of the block: where the numbers of the tile's columns are in the panel
  int count;       // columns of a vector: LANES, unless it is not whole
  int64_t offset;  // of the tile's first element in the tensor
  int64_t rows;
  int64_t ahead;  // elements from any of this tile to the one below it in the next tile
};

// Rows of a tile: where the block stays in the cache, with few columns, and with many.
constexpr int ROWS_CACHED = 8, ROWS_NARROW = 16, ROWS_WIDE = 8;
// Columns up to which a few vectors hold all of a row, or half of it.
constexpr int64_t NARROW = 128;

// Calls each(VectorPairs or OneVector, tile) for tiles of `vectors` vectors of columns, then for what is left of a row.
template <int vectors, class EachTile>
NW_INLINE void over_tiles_of(const ColumnView& view, const ColumnBlock& block, Order order, int64_t tile_rows,
                             EachTile each) {
  using Width = std::conditional_t<vectors == 1, OneVector<true>, VectorPairs<vectors / 2>>;
  const int64_t width = block.channels() * view.columns_per_channel;
  const int64_t bands = (block.rows() + tile_rows - 1) / tile_rows;
  for (int64_t i = 0; i < bands; ++i) {
    const int64_t row = block.row_begin + (order == Order::backwards ? bands - 1 - i : i) * tile_rows;
    const int64_t rows = std::min(tile_rows, block.row_end - row);
    const auto tile_at = [&](int64_t column, int count) {
      const int64_t offset = row * view.cols + block.c_begin * view.columns_per_channel + column;
      return Tile{column, count, offset, rows, tile_rows * view.cols};
    };
    int64_t column = 0;
    for (; column + vectors * LANES <= width; column += vectors * LANES) each(Width(), tile_at(column, LANES));
    if constexpr (vectors > 1) {
      for (; column + LANES <= width; column += LANES) each(OneVector<true>(), tile_at(column, LANES));
    }
    if (column < width) each(OneVector<false>(), tile_at(column, static_cast<int>(width - column)));
  }
}

// Few columns: up to `most_vectors` vectors, so that memory is read in one stretch. Many: one or two, along fewer rows.
template <class T, int most_vectors, class EachTile>
NW_INLINE void over_tiles(const ColumnView& view, const ColumnBlock& block, Order order, EachTile each) {
  if (block.cached) {
    over_tiles_of<4>(view, block, order, ROWS_CACHED, each);
  } else if (view.cols <= NARROW) {
    over_tiles_of<most_vectors>(view, block, order, ROWS_NARROW, each);
  } else {
    constexpr bool is_bf16 = std::is_same_v<T, bf16>;
    over_tiles_of<is_bf16 ? 2 : 1>(view, block, order, is_bf16 ? 2 * ROWS_WIDE : ROWS_WIDE, each);
  }
}

template <bool whole, class T>
NW_INLINE FloatVec load_part(const T* p, int count, FloatVec fill) {
  if constexpr (whole) {
    return load(p);
  } else {
    return load(p, count, fill);
  }
}

template <bool whole, class T>
NW_INLINE void write_part(T* p, FloatVec v, int count, bool streams) {
  if constexpr (!whole) {
    store(p, v, count);
  } else if (streams) {
    stream(p, v);
  } else {
    store(p, v);
  }
}

template <class T>
NW_INLINE void write_pair(T* p, VecPair v, bool streams) {
  if (streams) {
    stream_pair(p, v);
  } else {
    store_pair(p, v);
  }
}

template <class T>
NW_INLINE void prefetch_pair(const T* p) {
  prefetch(p);
  if constexpr (std::is_same_v<T, float>) prefetch(p + LANES);
}

// Whether outputs go past the caches: vectors of them must be aligned.
template <class T>
NW_INLINE bool streams_columns(const Call& call, const ColumnView& view, const Block& block, const T* p) {
  constexpr int64_t whole = NW_VECTOR_BYTES / sizeof(T);
  return call.stream && view.cols % whole == 0 && block.c_begin * view.columns_per_channel % whole == 0 &&
         reinterpret_cast<uintptr_t>(p) % NW_VECTOR_BYTES == 0;
}

}  // namespace NW_ISA
