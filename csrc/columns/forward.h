// The forward pass over columns.
#pragma once

#include "channel/statistics.h"
#include "columns/columns.h"
#include "columns/tiles.h"
#include "vectors/activation.h"

namespace NW_ISA {

template <class T, Fused act, bool has_residual>
struct ForwardColumns {
  const Call& call;
  const ColumnView view = ColumnView(call);
  const T* const x = static_cast<const T*>(call.x);
  const T* const residual = static_cast<const T*>(call.residual);
  T* const y = static_cast<T*>(call.y);
  std::vector<float> shifts = std::vector<float>(static_cast<size_t>(call.training ? call.c : 0));

  NW_INLINE void reduce(const ColumnBlock& block, const Panel& panel) {
    if (!call.training) return;
    panel.spread(panel.shift(), 1, block.channels(), [&](float* p) { find_shifts(block, p); });
    const auto real = [&](const ColumnBlock& rows) {
      over_tiles<T, 4>(view, rows, Order::forwards,
                       [&](auto width, const Tile& tile) { add_tile(width, tile, panel); });
    };
    over_real_rows(view, block, real, SkipPadding());
  }

  NW_INLINE void finish(int64_t c_begin, int64_t c_end, ChannelSums sums) {
    if (call.training) {
      finish_forward(call, c_begin, c_end, &shifts[static_cast<size_t>(c_begin)], sums);
    } else if (call.stage == Stage::all) {
      use_running(call, c_begin, c_end);
    }
  }

  NW_INLINE void apply(const ColumnBlock& block, const Panel& panel, ChannelSums) {
    if (call.stage == Stage::reduce) return;
    panel.spread(panel.affine(), 3, block.channels(),
                 [&](float* p) { affine_of<T>(call, block.c_begin, block.c_end, p, panel.stride()); });
    const Order order = call.training ? Order::backwards : Order::forwards;
    const bool streams = streams_columns(call, view, block, y);
    const auto real = [&](const ColumnBlock& rows) {
      over_tiles<T, 4>(view, rows, order,
                       [&](auto width, const Tile& tile) { normalise_tile(width, tile, panel, streams); });
    };
    const auto padding = [&](int64_t b, int64_t e) {
      for (int64_t row = b; row < e; ++row) fill_zero(y + row * call.c + block.c_begin, block.channels());
    };
    over_real_rows(view, block, real, padding);
  }

 private:
  void find_shifts(const ColumnBlock& block, float* p) {
    const int64_t channels = block.channels();
    if (call.channels_last) {
      shifts_of<T>(call, block.c_begin, block.c_end, p);
    } else {
      for (int64_t i = 0; i < channels; ++i) p[i] = shift_of<T>(call, block.c_begin + i);
    }
    // The same in all threads that have these channels.
    if (block.row_begin == 0) std::copy(p, p + channels, &shifts[static_cast<size_t>(block.c_begin)]);
  }

  // In the four functions below, what the loops read is copied to local variables first, which the compiler keeps in
  // registers: it can't know that the stores leave the members unchanged.

  template <bool whole>
  void add_tile(OneVector<whole>, const Tile& tile, const Panel& panel) const {
    MomentSums<T> moments;
    const int64_t rows = tile.rows, cols = view.cols, ahead = tile.ahead;
    const int count = tile.count;
    const T* from = x + tile.offset;
    const Origin shift(load(panel.shift() + tile.column));
    for (int64_t r = 0; r < rows; ++r, from += cols) {
      prefetch(from + ahead);
      if constexpr (whole) {
        moments.add(from, shift);
      } else {
        moments.add(from, count, shift);
      }
    }
    panel.add(tile.column, moments);
  }

  template <int pairs>
  void add_tile(VectorPairs<pairs>, const Tile& tile, const Panel& panel) const {
    MomentSums<T> moments[pairs][2];
    VecPair shift[pairs];
    const int64_t rows = tile.rows, cols = view.cols, ahead = tile.ahead;
    const T* from = x + tile.offset;
    for (int i = 0; i < pairs; ++i) shift[i] = panel.pair_at<T>(panel.shift() + tile.column + 2 * i * LANES);
    for (int64_t r = 0; r < rows; ++r, from += cols) {
      for (int i = 0; i < pairs; ++i) {
        const T* const here = from + 2 * i * LANES;
        prefetch_pair(here + ahead);
        add_pair(moments[i][0], moments[i][1], here, Origin(shift[i].even), Origin(shift[i].odd));
      }
    }
    for (int i = 0; i < pairs; ++i) panel.add_pair<T>(tile.column + 2 * i * LANES, moments[i][0], moments[i][1]);
  }

  static NW_INLINE FloatVec value(const Affine& affine, FloatVec v, FloatVec r, Activation kind) {
    return activate<act>(has_residual ? affine(v) + r : affine(v), kind);
  }

  template <bool whole>
  void normalise_tile(OneVector<whole>, const Tile& tile, const Panel& panel, bool streams) const {
    const int64_t rows = tile.rows, cols = view.cols, next = call.training ? -tile.ahead : tile.ahead;
    const int count = tile.count;
    const Activation kind = call.activation;
    const T* from = x + tile.offset;
    const T* added = residual + (has_residual ? tile.offset : 0);
    T* to = y + tile.offset;
    const Affine affine = panel.numbers_at<Affine>(panel.affine() + tile.column);
    for (int64_t r = 0; r < rows; ++r, from += cols, to += cols) {
      prefetch(from + next);
      FloatVec other{};
      if constexpr (has_residual) {
        other = load_part<whole>(added, count, FloatVec{});
        added += cols;
      }
      write_part<whole>(to, value(affine, load_part<whole>(from, count, FloatVec{}), other, kind), count, streams);
    }
  }

  template <int pairs>
  void normalise_tile(VectorPairs<pairs>, const Tile& tile, const Panel& panel, bool streams) const {
    const int64_t rows = tile.rows, cols = view.cols, next = call.training ? -tile.ahead : tile.ahead;
    const Activation kind = call.activation;
    const T* from = x + tile.offset;
    const T* added = residual + (has_residual ? tile.offset : 0);
    T* to = y + tile.offset;
    Affine affine[pairs][2];
    for (int i = 0; i < pairs; ++i) panel.numbers_pair_at<T>(panel.affine() + tile.column + 2 * i * LANES, affine[i]);
    for (int64_t r = 0; r < rows; ++r, from += cols, to += cols) {
      for (int i = 0; i < pairs; ++i) {
        const int at = 2 * i * LANES;
        prefetch_pair(from + at + next);
        const VecPair v = load_pair(from + at);
        VecPair other{};
        if constexpr (has_residual) other = load_pair(added + at);
        const FloatVec even = value(affine[i][0], v.even, other.even, kind);
        const FloatVec odd = value(affine[i][1], v.odd, other.odd, kind);
        write_pair(to + at, {even, odd}, streams);
      }
      if constexpr (has_residual) added += cols;
    }
  }
};

template <class T, Fused act, bool has_residual>
void forward_columns(const Call& call) {
  ForwardColumns<T, act, has_residual> steps{call};
  run_columns<T>(call, steps.view, 1, steps);
}

}  // namespace NW_ISA
