// The forward pass over planes.
#pragma once

#include "channel/affine.h"
#include "channel/statistics.h"
#include "planes/planes.h"
#include "planes/rows.h"
#include "vectors/activation.h"

namespace NW_ISA {

// `ahead` is the distance to the channel's next row, which the hardware does not guess.
template <class T>
NW_INLINE void add_row_moments(const T* x, int64_t length, int64_t ahead, float shift, Sums& sums) {
  const Origin origin(splat(shift));
  for (int64_t begin = 0; begin < length; begin += VECTORS_PER_FLUSH * LANES) {
    const int64_t end = std::min(begin + VECTORS_PER_FLUSH * LANES, length);
    MomentSums<T> even, odd;
    int64_t i = begin;
    for (; i + 2 * LANES <= end; i += 2 * LANES) {
      prefetch(x + i + ahead);
      prefetch(x + i + LANES + ahead);
      add_pair(even, odd, x + i, origin, origin);
    }
    if (i + LANES <= end) {
      even.add(x + i, origin);
      i += LANES;
    }
    if (i < end) odd.add(x + i, static_cast<int>(end - i), origin);
    even.add_to(sums);
    odd.add_to(sums);
  }
}

template <class T, Fused act, bool has_residual>
NW_INLINE void normalise_row(const T* x, const T* residual, T* y, int64_t length, const Affine& affine, Activation kind,
                             bool streams) {
  const auto value = [&](FloatVec v, FloatVec r) {
    return activate<act>(has_residual ? affine(v) + r : affine(v), kind);
  };
  const auto pair = [&](int64_t i) {
    const VecPair v = load_pair(x + i);
    VecPair r{};
    if constexpr (has_residual) r = load_pair(residual + i);
    return VecPair{value(v.even, r.even), value(v.odd, r.odd)};
  };
  const auto one = [&](int64_t i) { return value(load(x + i), has_residual ? load(residual + i) : FloatVec{}); };
  const auto some = [&](int64_t i, int count) {
    return value(load(x + i, count, affine.origin), has_residual ? load(residual + i, count, FloatVec{}) : FloatVec{});
  };
  write_row(y, length, streams, pair, one, some);
}

template <class T, Fused act, bool has_residual>
struct ForwardPlanes {
  const Call& call;
  const T* const x = static_cast<const T*>(call.x);
  const T* const residual = static_cast<const T*>(call.residual);
  T* const y = static_cast<T*>(call.y);
  const bool streams = streams_rows<T>(call);
  std::vector<float> shifts = std::vector<float>(static_cast<size_t>(call.c));

  NW_INLINE void reduce(const Block& block, Sums* sums) {
    float shift[MAX_GROUP];
    for (int64_t c = block.c_begin; c < block.c_end; ++c) {
      shift[c - block.c_begin] = shifts[static_cast<size_t>(c)] = shift_of<T>(call, c);
    }
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      add_row_moments(x + at, length, call.c * call.s, shift[c], sums[c]);
    };
    over_rows(call, block, Order::forwards, row, SkipPadding());
  }

  NW_INLINE void finish(int64_t c_begin, int64_t c_end, ChannelSums sums) {
    finish_forward(call, c_begin, c_end, &shifts[static_cast<size_t>(c_begin)], sums);
  }

  NW_INLINE void apply(const Block& block, ChannelSums) {
    if (call.stage == Stage::reduce) return;
    GroupNumbers<Affine> affines;
    affine_of<T>(call, block.c_begin, block.c_end, affines.numbers, MAX_GROUP);
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      normalise_row<T, act, has_residual>(x + at, residual + (has_residual ? at : 0), y + at, length, affines[c],
                                          call.activation, streams);
    };
    over_rows(call, block, Order::backwards, row, [&](int64_t at, int64_t length) { fill_zero(y + at, length); });
  }
};

// With statistics that are there already, running or given, there is one pass, through memory in order.
template <class T, Fused act, bool has_residual>
void evaluate_planes(const Call& call) {
  const T* const x = static_cast<const T*>(call.x);
  const T* const residual = static_cast<const T*>(call.residual);
  T* const y = static_cast<T*>(call.y);
  const bool streams = streams_rows<T>(call);
  std::vector<float> numbers(static_cast<size_t>(3 * call.c));
  if (call.stage == Stage::all) use_running(call, 0, call.c);
  affine_of<T>(call, 0, call.c, numbers.data(), call.c);
#pragma omp parallel num_threads(call.threads)
  {
    const int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const int64_t last = call.n * call.c * (thread + 1) / threads;
    for (int64_t row = call.n * call.c * thread / threads; row < last; ++row) {
      const float* const p = numbers.data() + row % call.c;
      const Affine affine{splat(p[0]), splat(p[call.c]), splat(p[2 * call.c])};
      const auto real = [&](int64_t b, int64_t e) {
        const int64_t at = row * call.s + b;
        normalise_row<T, act, has_residual>(x + at, residual + (has_residual ? at : 0), y + at, e - b, affine,
                                            call.activation, streams);
      };
      over_stretches(call.mask ? call.mask + row / call.c * call.s : nullptr, call.s, real,
                     [&](int64_t b, int64_t e) { fill_zero(y + row * call.s + b, e - b); });
    }
    if (call.stream) fence();
  }
}

template <class T, Fused act, bool has_residual>
void forward_planes(const Call& call) {
  if (!call.training) return evaluate_planes<T, act, has_residual>(call);
  ForwardPlanes<T, act, has_residual> steps{call};
  run_planes<T>(call, 1, steps);
}

}  // namespace NW_ISA
