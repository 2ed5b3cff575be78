// The backward pass over columns.
#pragma once

#include "channel/gradient.h"
#include "channel/statistics.h"
#include "columns/columns.h"
#include "columns/tiles.h"

namespace NW_ISA {

template <class T, Fused act, bool has_residual, bool from_output>
struct BackwardColumns {
  const Call& call;
  const ColumnView view = ColumnView(call);
  const T* const x = static_cast<const T*>(call.x);
  const T* const slope_source = static_cast<const T*>(call.slope_source);
  const T* const grad_y = static_cast<const T*>(call.grad_y);
  T* const grad_x = static_cast<T*>(call.grad_x);
  T* const grad_residual = static_cast<T*>(call.grad_residual);
  T* const kept = has_residual ? (grad_residual ? grad_residual : grad_x) : nullptr;

  NW_INLINE void reduce(const ColumnBlock& block, const Panel& panel) {
    panel.spread(panel.affine(), 3, block.channels(), [&](float* p) {
      (from_output ? inverse_affine_of : affine_of<T>)(call, block.c_begin, block.c_end, p, panel.stride());
    });
    if (call.stage == Stage::apply) return;
    const auto real = [&](const ColumnBlock& rows) {
      over_tiles<T, 2>(view, rows, Order::forwards,
                       [&](auto width, const Tile& tile) { add_tile(width, tile, panel); });
    };
    over_real_rows(view, block, real, SkipPadding());
  }

  NW_INLINE void finish(int64_t c_begin, int64_t c_end, ChannelSums sums) {
    finish_backward<T, from_output>(call, c_begin, c_end, sums);
  }

  NW_INLINE void apply(const ColumnBlock& block, const Panel& panel, ChannelSums sums) {
    if (call.stage == Stage::reduce) return;
    panel.spread(panel.input_gradient(), 3, block.channels(), [&](float* p) {
      input_gradient_of<T, from_output>(call, block.c_begin, block.c_end, sums, p, panel.stride());
    });
    const bool streams = streams_columns(call, view, block, grad_x);
    const auto real = [&](const ColumnBlock& rows) {
      over_tiles<T, 2>(view, rows, Order::backwards,
                       [&](auto width, const Tile& tile) { write_tile(width, tile, panel, streams); });
    };
    const auto padding = [&](int64_t b, int64_t e) {
      for (int64_t row = b; row < e; ++row) {
        const int64_t at = row * call.c + block.c_begin;
        fill_zero(grad_x + at, block.channels());
        if (grad_residual != nullptr) fill_zero(grad_residual + at, block.channels());
      }
    };
    over_real_rows(view, block, real, padding);
  }

 private:
  // In the four functions below, what the loops read is copied to local variables first, which the compiler keeps in
  // registers: it can't know that the stores leave the members unchanged.

  NW_INLINE BackwardPointers<T> pointers_at(int64_t offset) const {
    const int64_t beside = has_residual ? offset : 0;
    return {x + offset, slope_source + beside, grad_y + offset, kept + beside};
  }

  template <bool whole>
  void add_tile(OneVector<whole>, const Tile& tile, const Panel& panel) const {
    ProductSums<T> products;
    const int64_t rows = tile.rows, cols = view.cols, ahead = tile.ahead;
    const int count = tile.count;
    const Activation kind = call.activation;
    const Affine affine = panel.numbers_at<Affine>(panel.affine() + tile.column);
    const Origin origin(affine.origin);
    BackwardPointers<T> row = pointers_at(tile.offset);
    for (int64_t r = 0; r < rows; ++r, row = row.template after<has_residual>(cols)) {
      prefetch(row.x + ahead);
      prefetch(row.grad + ahead);
      add_products<T, act, has_residual, from_output, whole>(row, count, affine, origin, kind, products);
    }
    panel.add(tile.column, products);
  }

  template <int pairs>
  void add_tile(VectorPairs<pairs>, const Tile& tile, const Panel& panel) const {
    ProductSums<T> products[pairs][2];
    Affine affine[pairs][2];
    const int64_t rows = tile.rows, cols = view.cols, ahead = tile.ahead;
    const Activation kind = call.activation;
    for (int i = 0; i < pairs; ++i) panel.numbers_pair_at<T>(panel.affine() + tile.column + 2 * i * LANES, affine[i]);
    BackwardPointers<T> row = pointers_at(tile.offset);
    for (int64_t r = 0; r < rows; ++r, row = row.template after<has_residual>(cols)) {
      for (int i = 0; i < pairs; ++i) {
        const BackwardPointers<T> here = row.template after<has_residual>(2 * i * LANES);
        prefetch_pair(here.x + ahead);
        prefetch_pair(here.grad + ahead);
        const Origin origin[2] = {Origin(affine[i][0].origin), Origin(affine[i][1].origin)};
        add_products_pair<T, act, has_residual, from_output>(here, affine[i], origin, kind, products[i][0],
                                                             products[i][1]);
      }
    }
    for (int i = 0; i < pairs; ++i) panel.add_pair<T>(tile.column + 2 * i * LANES, products[i][0], products[i][1]);
  }

  static NW_INLINE FloatVec value(const Affine& affine, const InputGradient& gradient, FloatVec v, FloatVec g,
                                  Activation kind) {
    return grad_x_of<act, has_residual, from_output>(affine, gradient, v, g, kind);
  }

  template <bool whole>
  void write_tile(OneVector<whole>, const Tile& tile, const Panel& panel, bool streams) const {
    const int64_t rows = tile.rows, cols = view.cols, ahead = tile.ahead;
    const int count = tile.count;
    const Activation kind = call.activation;
    const T* from = x + tile.offset;
    const T* grad = (has_residual ? kept : grad_y) + tile.offset;
    T* to = grad_x + tile.offset;
    const Affine affine = panel.numbers_at<Affine>(panel.affine() + tile.column);
    const InputGradient gradient = panel.numbers_at<InputGradient>(panel.input_gradient() + tile.column);
    for (int64_t r = 0; r < rows; ++r, from += cols, grad += cols, to += cols) {
      prefetch(from - ahead);
      prefetch(grad - ahead);
      const FloatVec v = load_part<whole>(from, count, affine.origin), g = load_part<whole>(grad, count, FloatVec{});
      write_part<whole>(to, value(affine, gradient, v, g, kind), count, streams);
    }
  }

  template <int pairs>
  void write_tile(VectorPairs<pairs>, const Tile& tile, const Panel& panel, bool streams) const {
    const int64_t rows = tile.rows, cols = view.cols, ahead = tile.ahead;
    const Activation kind = call.activation;
    const T* from = x + tile.offset;
    const T* grad = (has_residual ? kept : grad_y) + tile.offset;
    T* to = grad_x + tile.offset;
    Affine affine[pairs][2];
    InputGradient gradient[pairs][2];
    for (int i = 0; i < pairs; ++i) {
      panel.numbers_pair_at<T>(panel.affine() + tile.column + 2 * i * LANES, affine[i]);
      panel.numbers_pair_at<T>(panel.input_gradient() + tile.column + 2 * i * LANES, gradient[i]);
    }
    for (int64_t r = 0; r < rows; ++r, from += cols, grad += cols, to += cols) {
      for (int i = 0; i < pairs; ++i) {
        const int at = 2 * i * LANES;
        prefetch_pair(from + at - ahead);
        prefetch_pair(grad + at - ahead);
        const VecPair v = load_pair(from + at), g = load_pair(grad + at);
        const FloatVec even = value(affine[i][0], gradient[i][0], v.even, g.even, kind);
        const FloatVec odd = value(affine[i][1], gradient[i][1], v.odd, g.odd, kind);
        write_pair(to + at, {even, odd}, streams);
      }
    }
  }
};

template <class T, Fused act, bool has_residual, bool from_output>
void backward_columns(const Call& call) {
  BackwardColumns<T, act, has_residual, from_output> steps{call};
  run_columns<T>(call, steps.view, 2, steps);
}

}  // namespace NW_ISA
