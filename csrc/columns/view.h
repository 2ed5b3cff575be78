// The tensor as rows and columns, and the blocks of it.
#pragma once

#include "channel/block.h"
#include "channel/mask.h"

namespace NW_ISA {

struct ColumnView {
  int64_t rows, cols, columns_per_channel;
  const uint8_t* mask;  // of rows

  explicit ColumnView(const Call& call)
      : rows(call.channels_last ? call.n * call.s : call.n),
        cols(call.channels_last ? call.c : call.c * call.s),
        columns_per_channel(call.channels_last ? 1 : call.s),
        mask(call.mask) {}
};

struct ColumnBlock : Block {
  bool cached;  // it stays in the core's cache from one pass to the next
};

// The block without its padded rows: real(block) for each stretch of real ones, padding(row_begin, row_end).
template <class Real, class Padding>
NW_INLINE void over_real_rows(const ColumnView& view, const ColumnBlock& block, Real real, Padding padding) {
  const uint8_t* mask = view.mask ? view.mask + block.row_begin : nullptr;
  over_stretches(
      mask, block.rows(),
      [&](int64_t b, int64_t e) {
        real(ColumnBlock{{block.row_begin + b, block.row_begin + e, block.c_begin, block.c_end}, block.cached});
      },
      [&](int64_t b, int64_t e) { padding(block.row_begin + b, block.row_begin + e); });
}

}  // namespace NW_ISA
