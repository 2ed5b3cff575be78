// Columns: a vector holds neighbouring columns, and all rows of a column belong to one channel. With the channels last,
// (rows, c), a column is a channel; contiguous (n, c, s) with small s is (n, c * s), where a channel has s columns.
//
// The steps and the formulas are those of planes.h:
//
//   shift    of each channel, spread over its columns
//   reduce   add up each column, then the columns of each channel
//   finish   statistics, or gradients of the parameters, of each channel
//   apply    spread what elements are normalised with over the columns; write the outputs
//
// Memory is passed over twice, by reduce and by apply, the second time backwards, to find in the cache what was read
// last. Each time it is cut into tiles (tiles.h): several rows of a few vectors of columns, so that what belongs to the
// columns is loaded once for all of these rows. A thread has its panel (panel.h): the numbers of its columns.
//
// Which elements a thread has:
// - where a channel has several columns: all rows of some channels, group after group, each so small that it is still
//   in the cache in the second pass;
// - where a channel is a column: some rows of all channels, because to leave some channels out of each row would cost
//   more than the cache saves. Then the sums of all threads are added up between the passes.
//
// Why this is exact: as in planes.h. Sums of a tile are in float only for bfloat16, and those of a column in double.
//
// Proven by tests/kernels/cpu/test_exactness.py ("short rows", "channels last", "narrow channels last", "(N, C)";
// against the float64 oracle) and tests/kernels/cpu/test_smoke.py (against reference.h); measured by `normwise bench`,
// last results in docs/speed.md.
#pragma once

#include <omp.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "columns/panel.h"
#include "columns/view.h"

namespace NW_ISA {

// Whether contiguous rows are better taken as columns: there are sums, and the rows are short, and several.
constexpr int64_t SHORT_ROW = 256, MIN_ROWS = 8;
inline bool as_columns(const Call& call, bool reduces) {
  return call.channels_last || (reduces && call.s <= SHORT_ROW && call.n >= MIN_ROWS && call.mask == nullptr);
}

// Bytes that one core's cache keeps of a group between the two passes, and keeps for the most part.
constexpr int64_t COLUMNS_CACHE = 320 << 10, COLUMNS_CACHE_MOSTLY = 960 << 10;

// Channels of a group that stays in the cache from one pass to the next. It is a multiple of `unit`, so that its
// columns begin at a whole vector, if that can be.
template <class T>
int64_t group_of(const ColumnView& view, int64_t unit, int arrays) {
  const int64_t channel = view.rows * view.columns_per_channel * static_cast<int64_t>(sizeof(T)) * arrays;
  const int64_t fits = COLUMNS_CACHE / std::max<int64_t>(channel, 1);
  const int64_t group = fits >= unit ? fits / unit * unit : fits;
  return unit * channel <= COLUMNS_CACHE_MOSTLY ? std::max(group, unit) : std::max<int64_t>(group, 1);
}

// With at least this many channels, the panel of all of them is no longer small compared with the tensor. Then, if the
// rows are so few that a group of channels is at least so wide, a thread has all rows of some groups.
constexpr int64_t MANY_CHANNELS = 8192, WIDE_GROUP = 1024;

// Takes all channels through the steps, which are those of block.h: reduce(block, panel), finish(c_begin, c_end, sums),
// apply(block, panel, sums). `arrays` are those that the second pass reads.
template <class T, class Steps>
NW_INLINE void run_columns(const Call& call, const ColumnView& view, int arrays, Steps& steps) {
  const int64_t unit = LANES / std::gcd(int64_t{LANES}, view.columns_per_channel), units = call.c / unit;
  const int64_t group = group_of<T>(view, unit, arrays);
  const bool column_is_channel = view.columns_per_channel == 1;
  const bool many_channels = column_is_channel && call.c >= MANY_CHANNELS;
  const bool by_rows = shares_rows(call, view.rows) || (column_is_channel && !(many_channels && group >= WIDE_GROUP));
  // Of many channels the panels together take no more memory than the tensor.
  const int64_t affordable = view.rows * static_cast<int64_t>(sizeof(T)) / Panel::BYTES_PER_COLUMN;
  const int wanted_threads =
      many_channels && by_rows ? static_cast<int>(std::clamp<int64_t>(affordable, 1, call.threads)) : call.threads;
  std::vector<Panel> panels;
  panels.reserve(static_cast<size_t>(wanted_threads));
  for (int t = 0; t < wanted_threads; ++t) panels.emplace_back(view, by_rows ? call.c : std::min(group, call.c));
#pragma omp parallel num_threads(wanted_threads)
  {
    const int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const auto first_channel = [&](int t) {
      return t == threads || units < threads ? call.c * t / threads : units * t / threads * unit;
    };
    const Panel& panel = panels[static_cast<size_t>(thread)];
    const int64_t first = first_channel(thread), last = first_channel(thread + 1);
    if (by_rows) {
      const ColumnBlock block{{view.rows * thread / threads, view.rows * (thread + 1) / threads, 0, call.c}, false};
      const ChannelSums all = panels[0].sums();
      panel.clear_sums();
      steps.reduce(block, panel);
      panel.fold_columns(call.c);
#pragma omp barrier
      for (int t = 1; t < threads; ++t) {
        const ChannelSums other = panels[static_cast<size_t>(t)].sums();
        for (int64_t c = first; c < last; ++c) all.values[c] += other.values[c];
        for (int64_t c = first; c < last; ++c) all.products[c] += other.products[c];
      }
      steps.finish(first, last, all.from(first));
#pragma omp barrier
      steps.apply(block, panel, all);
    } else {
      for (int64_t c = first; c < last; c += group) {
        const ColumnBlock block{{0, view.rows, c, std::min(c + group, last)}, true};
        panel.clear_sums();
        steps.reduce(block, panel);
        panel.fold_columns(block.channels());
        steps.finish(block.c_begin, block.c_end, panel.sums());
        steps.apply(block, panel, panel.sums());
      }
    }
    if (call.stream) fence();
  }
}

}  // namespace NW_ISA
