// The backward pass over planes.
#pragma once

#include "channel/gradient.h"
#include "channel/statistics.h"
#include "planes/planes.h"
#include "planes/rows.h"

namespace NW_ISA {

// `ahead` is the distance to the channel's next row, which the hardware does not guess.
template <class T, Fused act, bool has_residual, bool from_output>
NW_INLINE void add_row_products(const BackwardPointers<T>& row, int64_t length, int64_t ahead, const Affine& affine,
                                Activation kind, Sums& sums) {
  const Affine affines[2] = {affine, affine};
  const Origin origins[2] = {Origin(affine.origin), Origin(affine.origin)};
  const auto at = [&](int64_t i) { return row.template after<has_residual>(i); };
  for (int64_t begin = 0; begin < length; begin += VECTORS_PER_FLUSH * LANES) {
    const int64_t end = std::min(begin + VECTORS_PER_FLUSH * LANES, length);
    ProductSums<T> even, odd;
    int64_t i = begin;
    for (; i + 2 * LANES <= end; i += 2 * LANES) {
      prefetch(row.x + i + ahead);
      prefetch(row.grad + i + ahead);
      prefetch(row.x + i + LANES + ahead);
      prefetch(row.grad + i + LANES + ahead);
      add_products_pair<T, act, has_residual, from_output>(at(i), affines, origins, kind, even, odd);
    }
    if (i + LANES <= end) {
      add_products<T, act, has_residual, from_output, true>(at(i), LANES, affine, origins[0], kind, even);
      i += LANES;
    }
    if (i < end) {
      const int count = static_cast<int>(end - i);
      add_products<T, act, has_residual, from_output, false>(at(i), count, affine, origins[0], kind, odd);
    }
    even.add_to(sums);
    odd.add_to(sums);
  }
}

template <class T, Fused act, bool has_residual, bool from_output>
NW_INLINE void write_row_gradient(const T* x, const T* grad, T* grad_x, int64_t length, const Affine& affine,
                                  const InputGradient& gradient, Activation kind, bool streams) {
  const auto value = [&](FloatVec v, FloatVec g) {
    return grad_x_of<act, has_residual, from_output>(affine, gradient, v, g, kind);
  };
  const auto pair = [&](int64_t i) {
    const VecPair v = load_pair(x + i), g = load_pair(grad + i);
    return VecPair{value(v.even, g.even), value(v.odd, g.odd)};
  };
  const auto one = [&](int64_t i) { return value(load(x + i), load(grad + i)); };
  const auto some = [&](int64_t i, int count) {
    return value(load(x + i, count, affine.origin), load(grad + i, count, FloatVec{}));
  };
  write_row(grad_x, length, streams, pair, one, some);
}

template <class T, Fused act, bool has_residual, bool from_output>
struct BackwardPlanes {
  const Call& call;
  const T* const x = static_cast<const T*>(call.x);
  const T* const slope_source = static_cast<const T*>(call.slope_source);
  const T* const grad_y = static_cast<const T*>(call.grad_y);
  T* const grad_x = static_cast<T*>(call.grad_x);
  T* const grad_residual = static_cast<T*>(call.grad_residual);
  T* const kept = has_residual ? (grad_residual ? grad_residual : grad_x) : nullptr;
  const bool streams = streams_rows<T>(call);

  NW_INLINE GroupNumbers<Affine> affines_of(const Block& block) const {
    GroupNumbers<Affine> affines;
    (from_output ? inverse_affine_of : affine_of<T>)(call, block.c_begin, block.c_end, affines.numbers, MAX_GROUP);
    return affines;
  }

  NW_INLINE void reduce(const Block& block, Sums* sums) {
    if (call.stage == Stage::apply) return;
    const GroupNumbers<Affine> affines = affines_of(block);
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      const int64_t beside = has_residual ? at : 0;
      const BackwardPointers<T> pointers{x + at, slope_source + beside, grad_y + at, kept + beside};
      add_row_products<T, act, has_residual, from_output>(pointers, length, call.c * call.s, affines[c],
                                                          call.activation, sums[c]);
    };
    over_rows(call, block, Order::forwards, row, SkipPadding());
  }

  NW_INLINE void finish(int64_t c_begin, int64_t c_end, ChannelSums sums) {
    finish_backward<T, from_output>(call, c_begin, c_end, sums);
  }

  NW_INLINE void apply(const Block& block, ChannelSums sums) {
    if (call.stage == Stage::reduce) return;
    const GroupNumbers<Affine> affines = affines_of(block);
    GroupNumbers<InputGradient> gradients;
    input_gradient_of<T, from_output>(call, block.c_begin, block.c_end, sums, gradients.numbers, MAX_GROUP);
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      write_row_gradient<T, act, has_residual, from_output>(x + at, (has_residual ? kept : grad_y) + at, grad_x + at,
                                                            length, affines[c], gradients[c], call.activation, streams);
    };
    const auto padding = [&](int64_t at, int64_t length) {
      fill_zero(grad_x + at, length);
      if (grad_residual != nullptr) fill_zero(grad_residual + at, length);
    };
    over_rows(call, block, Order::backwards, row, padding);
  }
};

template <class T, Fused act, bool has_residual, bool from_output>
void backward_planes(const Call& call) {
  BackwardPlanes<T, act, has_residual, from_output> steps{call};
  run_planes<T>(call, 2, steps);
}

}  // namespace NW_ISA
