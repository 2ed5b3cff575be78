// Planes: contiguous (n, c, s), where a channel is n rows of s elements.
//
// A thread takes a group of neighbouring channels through all steps, then the next group:
//
//   forward
//     shift    a number near the mean, from a few elements
//     reduce   add up d = x - shift, and d * d
//     finish   mean, variance, running statistics
//     apply    y = act((x - mean) * scale + bias + residual), where scale = weight / deviation
//   backward, where g is the gradient before the activation
//     reduce   add up g, and g * (x - mean); where a residual was added g is kept: it is the residual's gradient
//     finish   gradients of weight and bias
//     apply    grad_x = scale * (g - mean of g - (x - mean) / deviation^2 * mean of g * (x - mean))
//
// Memory is passed over twice, by reduce and by apply. The group is so small that it is still in the core's cache the
// second time; apply goes backwards, so that what was read last is read first. Where rows are short a group has several
// channels, which makes one longer stretch of memory of them. In evaluation the forward pass is apply alone.
//
// Why this is exact:
// - two passes: the variance is not E[x^2] - E[x]^2, and the shift is near to the mean (origin.h);
// - sums in double, and the subtraction before squares and products, too (sums.h);
// - the part of the mean that a float leaves out, the mean's remainder, is in `bias` and `constant` (affine.h).
//
// Proven by tests/kernels/cpu/test_exactness.py ("planes", "one long row"; against the float64 oracle) and
// tests/kernels/cpu/test_smoke.py (against reference.h); measured by `normwise bench`, last results in docs/speed.md.
#pragma once

#include <omp.h>

#include <algorithm>
#include <vector>

#include "channel/block.h"
#include "channel/sums.h"

namespace NW_ISA {

// Channels of a group at most; bytes that its channels have side by side, in one row of n, at most; and bytes of the
// group that a core's cache keeps between the two passes.
constexpr int MAX_GROUP = 32;
constexpr int64_t GROUP_STRETCH = 16384, GROUP_CACHE = 512 << 10;

struct GroupSums {
  double values[MAX_GROUP], products[MAX_GROUP];

  NW_INLINE ChannelSums pointers() { return {values, products}; }

  NW_INLINE void add(const GroupSums& other, int64_t channels) {
    for (int64_t i = 0; i < channels; ++i) {
      values[i] += other.values[i];
      products[i] += other.products[i];
    }
  }
};

// Takes all channels through the steps, which are those of block.h: reduce(block, sums of each channel),
// finish(c_begin, c_end, sums), apply(block, sums). `arrays` are those that the second pass reads.
template <class T, class Steps>
NW_INLINE void run_planes(const Call& call, int arrays, Steps& steps) {
  const bool by_rows = shares_rows(call, call.n);
  const int64_t row_bytes = std::max<int64_t>(call.s * static_cast<int64_t>(sizeof(T)), 1);
  const int64_t channel_bytes = row_bytes * std::max<int64_t>(call.n, 1);
  const int64_t fits = std::min<int64_t>(GROUP_STRETCH / row_bytes, GROUP_CACHE / arrays / channel_bytes);
  const int64_t group = std::clamp<int64_t>(fits, 1, MAX_GROUP);
  std::vector<GroupSums> of_threads(by_rows ? static_cast<size_t>(call.threads) : 0);
  GroupSums of_all;
#pragma omp parallel num_threads(call.threads)
  {
    const int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const int64_t first = by_rows ? 0 : call.c * thread / threads;
    const int64_t last = by_rows ? call.c : call.c * (thread + 1) / threads;
    const int64_t row_begin = by_rows ? call.n * thread / threads : 0;
    const int64_t row_end = by_rows ? call.n * (thread + 1) / threads : call.n;
    for (int64_t c_begin = first; c_begin < last; c_begin += group) {
      const Block block{row_begin, row_end, c_begin, std::min(c_begin + group, last)};
      Sums sums[MAX_GROUP];
      GroupSums own;
      steps.reduce(block, sums);
      for (int64_t i = 0; i < block.channels(); ++i) {
        own.values[i] = sums[i].total_values();
        own.products[i] = sums[i].total_products();
      }
      if (by_rows) {
        of_threads[static_cast<size_t>(thread)] = own;
#pragma omp barrier
#pragma omp single
        {
          of_all = of_threads[0];
          for (int t = 1; t < threads; ++t) of_all.add(of_threads[static_cast<size_t>(t)], block.channels());
          steps.finish(block.c_begin, block.c_end, of_all.pointers());
        }
        own = of_all;
      } else {
        steps.finish(block.c_begin, block.c_end, own.pointers());
      }
      steps.apply(block, own.pointers());
    }
    if (call.stream) fence();
  }
}

// Numbers of each channel of a block: Affine or InputGradient, as affine.h writes them with the stride MAX_GROUP.
template <class Numbers>
struct GroupNumbers {
  float numbers[3 * MAX_GROUP];

  // Those of a channel, counted from the block's first.
  NW_INLINE Numbers operator[](int64_t channel) const {
    const float* const p = numbers + channel;
    return {splat(p[0]), splat(p[MAX_GROUP]), splat(p[2 * MAX_GROUP])};
  }
};

}  // namespace NW_ISA
