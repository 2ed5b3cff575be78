// Columns: a vector holds neighbouring columns, and all rows of a column belong to one channel. With the channels last,
// (rows, c), a column is a channel; contiguous (n, c, s) with small s is (n, c * s), where a channel has s columns.
// Several rows at a time, so that what belongs to the columns is loaded once for all of them. All rows must have been
// seen before any is normalised: the second pass runs backwards, to find in the cache what was read last.
#pragma once

#include <omp.h>

#include <algorithm>
#include <memory>
#include <new>
#include <numeric>
#include <type_traits>
#include <vector>

#include "rows.h"

namespace NW_ISA {

struct View {
  int64_t rows, cols, repeat;  // columns of a channel
  const uint8_t* mask;         // of rows

  explicit View(const Call& k)
      : rows(k.channels_last ? k.n * k.s : k.n),
        cols(k.channels_last ? k.c : k.c * k.s),
        repeat(k.channels_last ? 1 : k.s),
        mask(k.mask) {}
};

// Whether contiguous rows are better taken as columns: there are sums, and the rows are short, and several.
constexpr int64_t SHORT_ROW = 256, ROWS_AT_LEAST = 8;
inline bool as_columns(const Call& k, bool reduces) {
  return k.channels_last || (reduces && k.s <= SHORT_ROW && k.n >= ROWS_AT_LEAST && k.mask == nullptr);
}

// Rows at a time: where a group is in the cache, with few columns, and with many.
constexpr int ROWS_CACHED = 8, ROWS = 16, ROWS_WIDE = 8;
// Columns up to which a few vectors hold all of a row, or half of it.
constexpr int64_t NARROW = 128;
// Bytes that one core's cache keeps of a group between the two passes, and keeps for the most part.
constexpr int64_t GROUP_CACHED = 320 << 10, GROUP_MOST = 960 << 10;

struct Free {
  void operator()(void* p) const { ::operator delete[](p, std::align_val_t{64}); }
};

template <class T>
std::unique_ptr<T, Free> aligned(int64_t count) {
  return std::unique_ptr<T, Free>(
      static_cast<T*>(::operator new[](static_cast<size_t>(count) * sizeof(T), std::align_val_t{64})));
}

// What a thread knows of its columns, each array padded to whole vectors: sums, and three numbers of Affine and of
// Slopes. `channels` is where the numbers of channels stand before they are spread over their columns.
struct Panel {
  int64_t step, repeat;
  std::unique_ptr<double, Free> doubles;
  std::unique_ptr<float, Free> floats;

  Panel(const View& view, int64_t channels)
      : step((channels * view.repeat + 2 * W - 1) / W * W),
        repeat(view.repeat),
        doubles(aligned<double>(2 * step)),
        floats(aligned<float>(10 * step)) {}

  NW_INLINE double* a() const { return doubles.get(); }
  NW_INLINE double* b() const { return doubles.get() + step; }
  NW_INLINE float* shift() const { return floats.get(); }
  NW_INLINE float* affine() const { return floats.get() + step; }
  NW_INLINE float* slopes() const { return floats.get() + 4 * step; }
  NW_INLINE float* channels() const { return floats.get() + 7 * step; }

  // Affine or Slopes of the columns at p, somewhere in affine() or slopes(); of two vectors of columns, in the order of
  // load_two.
  template <class Numbers>
  NW_INLINE Numbers at(const float* p) const {
    return {load(p), load(p + step), load(p + 2 * step)};
  }
  template <class T, class Numbers>
  NW_INLINE void two_at(const float* p, Numbers (&numbers)[2]) const {
    const Two i = two_at<T>(p), j = two_at<T>(p + step), k = two_at<T>(p + 2 * step);
    numbers[0] = {i.a, j.a, k.a};
    numbers[1] = {i.b, j.b, k.b};
  }
  template <class T>
  NW_INLINE Two two_at(const float* p) const {
    return in_pairs<T>(load_two(p));
  }
  NW_INLINE Sums sums_at(int64_t p) const {
    return {load(a() + p), load(a() + p + H), load(b() + p), load(b() + p + H)};
  }
  NW_INLINE void keep_sums(int64_t p, const Sums& s) const {
    store(a() + p, s.low_a);
    store(a() + p + H, s.high_a);
    store(b() + p, s.low_b);
    store(b() + p + H, s.high_b);
  }

  // Adds what lanes have for one vector of columns, or for two.
  template <class Lanes>
  NW_INLINE void add(int64_t p, const Lanes& lanes) const {
    Sums sums = sums_at(p);
    lanes.flush(sums);
    keep_sums(p, sums);
  }
  template <class T, class Lanes>
  NW_INLINE void add_two(int64_t p, Lanes one, Lanes other) const {
    if constexpr (std::is_same_v<T, bf16>) {
      const Two a = in_order<T>({one.a, other.a}), b = in_order<T>({one.b, other.b});
      one.a = a.a, other.a = a.b;
      one.b = b.a, other.b = b.b;
    }
    add(p, one);
    add(p + W, other);
  }

  void clear() const { std::memset(doubles.get(), 0, static_cast<size_t>(2 * step) * sizeof(double)); }

  // compute(p) writes `arrays` numbers of each channel, at p and `step` apart; here they come for each column.
  template <class Compute>
  void fill(float* to, int arrays, int64_t count, Compute compute) const {
    if (repeat == 1) return compute(to);
    compute(channels());
    for (int64_t i = 0; i < arrays; ++i) {
      float* out = to + i * step;
      for (int64_t c = 0; c < count; ++c, out += repeat) {
        const vf value = splat(channels()[i * step + c]);
        // Beyond the channel's end the next one writes, or nobody reads.
        for (int64_t j = 0; j < repeat; j += W) store(out + j, value);
      }
    }
  }

  // Sums of columns become those of channels.
  void fold(int64_t count) const {
    if (repeat == 1) return;
    for (double* sums : {a(), b()}) {
      for (int64_t c = 0; c < count; ++c) {
        vd total{};
        double rest = 0;
        int64_t j = 0;
        for (; j + H <= repeat; j += H) total += load(sums + c * repeat + j);
        for (; j < repeat; ++j) rest += sums[c * repeat + j];
        sums[c] = sum(total) + rest;
      }
    }
  }
};

// Rows and channels that one thread handles, and whether a group of them stays in its cache.
struct Block {
  int64_t row_begin, row_end, c_begin, c_end;
  bool cached;
};

// Calls tile(vectors, whole, p, count, row, rows) for some vectors of columns and some rows at a time: what belongs
// to the columns stays in registers meanwhile. p is a column of the block; count is W but for the last columns.
template <int VECTORS, class Tile>
NW_INLINE void over_tiles(const Block& block, int64_t width, bool backwards, int64_t most, Tile tile) {
  const int64_t blocks = (block.row_end - block.row_begin + most - 1) / most;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t row = block.row_begin + (backwards ? blocks - 1 - i : i) * most;
    const int64_t rows = std::min(most, block.row_end - row);
    int64_t p = 0;
    for (; p + VECTORS * W <= width; p += VECTORS * W) {
      tile(std::integral_constant<int, VECTORS>(), std::true_type(), p, W, row, rows);
    }
    for (; VECTORS > 1 && p + W <= width; p += W) {
      tile(std::integral_constant<int, 1>(), std::true_type(), p, W, row, rows);
    }
    if (p < width) {
      tile(std::integral_constant<int, 1>(), std::false_type(), p, static_cast<int>(width - p), row, rows);
    }
  }
}

// Few columns: several vectors, so that memory is read in one stretch. Many: few, along fewer rows.
template <class T, int VECTORS, class Tile>
NW_INLINE void over_block(const View& view, const Block& block, bool backwards, Tile tile) {
  const int64_t width = (block.c_end - block.c_begin) * view.repeat;
  // The tile gets where it begins in memory, and how far it is to what is read next.
  const auto with = [&](int64_t most) {
    return [&, most](auto vectors, auto whole, int64_t p, int count, int64_t row, int64_t rows) {
      tile(vectors, whole, p, count, row * view.cols + block.c_begin * view.repeat + p, rows, most * view.cols);
    };
  };
  if (block.cached) {
    over_tiles<4>(block, width, backwards, ROWS_CACHED, with(ROWS_CACHED));
  } else if (view.cols <= NARROW) {
    over_tiles<VECTORS>(block, width, backwards, ROWS, with(ROWS));
  } else {
    constexpr bool narrow = std::is_same_v<T, bf16>;
    constexpr int rows = narrow ? 2 * ROWS_WIDE : ROWS_WIDE;
    over_tiles<narrow ? 2 : 1>(block, width, backwards, rows, with(rows));
  }
}

// Channels of a group that stays in the cache from one pass to the next, so that its columns begin at a whole vector
// if that can be.
template <class T>
int64_t group_of(const View& view, int64_t unit, int arrays) {
  const int64_t channel = view.rows * view.repeat * static_cast<int64_t>(sizeof(T)) * arrays;
  const int64_t fits = GROUP_CACHED / std::max<int64_t>(channel, 1);
  const int64_t group = fits >= unit ? fits / unit * unit : fits;
  return unit * channel <= GROUP_MOST ? std::max(group, unit) : std::max<int64_t>(group, 1);
}

// With so many channels and more, what a thread knows of all of them is no longer small beside the tensor. Then, if the
// rows are so few that a group of channels is at least so wide, a thread has all rows of some groups.
constexpr int64_t MANY_CHANNELS = 8192, WIDE_GROUP = 1024;
// Bytes that a panel has for a column.
constexpr int64_t PANEL_COLUMN = 2 * sizeof(double) + 10 * sizeof(float);

// begin(block, panel), reduce(block, panel), finish(c_begin, c_end, a, b) with the channels' sums added up,
// ready(block, panel, a, b), apply(block, panel). Where a channel has several columns a thread has all rows of some
// channels, group after group. Else it has some rows of all channels: to leave some out of each row would cost more
// than what the cache saves.
template <class T, class Begin, class Reduce, class Finish, class Ready, class Apply>
NW_INLINE void over_blocks(const Call& k, const View& view, int arrays, Begin begin, Reduce reduce, Finish finish,
                           Ready ready, Apply apply) {
  const int64_t unit = W / std::gcd(int64_t{W}, view.repeat), units = k.c / unit;
  const int64_t group = group_of<T>(view, unit, arrays);
  const bool few = k.threads > 1 && k.c < 4 * k.threads && k.c % k.threads != 0 && view.rows >= k.threads;
  const bool many = view.repeat == 1 && k.c >= MANY_CHANNELS;
  const bool by_rows = few || (view.repeat == 1 && !(many && group >= WIDE_GROUP));
  // Of many channels the panels together take no more memory than the tensor.
  const int64_t affordable = view.rows * static_cast<int64_t>(sizeof(T)) / PANEL_COLUMN;
  const int wanted =
      many && by_rows ? static_cast<int>(std::clamp<int64_t>(affordable, 1, k.threads)) : k.threads;
  std::vector<Panel> panels;
  for (int t = 0; t < wanted; ++t) panels.emplace_back(view, by_rows ? k.c : std::min(group, k.c));
#pragma omp parallel num_threads(wanted)
  {
    const int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const auto share = [&](int t) {
      return t == threads || units < threads ? k.c * t / threads : units * t / threads * unit;
    };
    const Panel& panel = panels[static_cast<size_t>(thread)];
    const int64_t first = share(thread), last = share(thread + 1);
    if (by_rows) {
      const Block block{view.rows * thread / threads, view.rows * (thread + 1) / threads, 0, k.c, false};
      double* const a = panels[0].a();
      double* const b = panels[0].b();
      panel.clear();
      begin(block, panel);
      reduce(block, panel);
      panel.fold(k.c);
#pragma omp barrier
      for (int t = 1; t < threads; ++t) {
        const Panel& other = panels[static_cast<size_t>(t)];
        for (int64_t c = first; c < last; ++c) a[c] += other.a()[c];
        for (int64_t c = first; c < last; ++c) b[c] += other.b()[c];
      }
      finish(first, last, a + first, b + first);
#pragma omp barrier
      ready(block, panel, a, b);
      apply(block, panel);
    } else {
      for (int64_t c = first; c < last; c += group) {
        const Block block{0, view.rows, c, std::min(c + group, last), true};
        panel.clear();
        begin(block, panel);
        reduce(block, panel);
        panel.fold(block.c_end - block.c_begin);
        finish(block.c_begin, block.c_end, panel.a(), panel.b());
        ready(block, panel, panel.a(), panel.b());
        apply(block, panel);
      }
    }
    if (k.stream) fence();
  }
}

// The block without its padded rows: real(block) for each stretch of real ones, padding(row_begin, row_end).
template <class Real, class Padding>
NW_INLINE void over_real(const View& view, const Block& block, Real real, Padding padding) {
  const uint8_t* mask = view.mask ? view.mask + block.row_begin : nullptr;
  stretches(
      mask, block.row_end - block.row_begin,
      [&](int64_t b, int64_t e) {
        real(Block{block.row_begin + b, block.row_begin + e, block.c_begin, block.c_end, block.cached});
      },
      [&](int64_t b, int64_t e) { padding(block.row_begin + b, block.row_begin + e); });
}

template <bool WHOLE, class T>
NW_INLINE vf load_some(const T* p, int count, vf fill) {
  if constexpr (WHOLE) {
    return load(p);
  } else {
    return load(p, count, fill);
  }
}

template <bool WHOLE, class T>
NW_INLINE void store_some(T* p, vf v, int count, bool streams) {
  if constexpr (!WHOLE) {
    store(p, v, count);
  } else if (streams) {
    stream(p, v);
  } else {
    store(p, v);
  }
}

// Whether vectors written past the caches would be aligned.
template <class T>
NW_INLINE bool streams_to(const Call& k, const View& view, const Block& block, const T* p) {
  constexpr int64_t whole = NW_BYTES / sizeof(T);
  return k.stream && view.cols % whole == 0 && block.c_begin * view.repeat % whole == 0 &&
         reinterpret_cast<uintptr_t>(p) % NW_BYTES == 0;
}

template <class T>
NW_INLINE void put_two(T* p, Two v, bool streams) {
  if (streams) {
    stream_two(p, v);
  } else {
    store_two(p, v);
  }
}

template <class T>
NW_INLINE void prefetch_two(const T* p) {
  prefetch(p);
  if constexpr (std::is_same_v<T, float>) prefetch(p + W);
}

template <class T, int ACT, bool RES>
void forward_columns(const Call& k) {
  const T* const x = static_cast<const T*>(k.x);
  const T* const residual = static_cast<const T*>(k.residual);
  T* const y = static_cast<T*>(k.y);
  const View view(k);
  std::vector<float> shifts(static_cast<size_t>(k.training ? k.c : 0));

  const auto begin = [&](const Block& block, const Panel& panel) {
    if (!k.training) return;
    const int64_t channels = block.c_end - block.c_begin;
    panel.fill(panel.shift(), 1, channels, [&](float* p) {
      if (k.channels_last) {
        shifts_of<T>(k, block.c_begin, block.c_end, p);
      } else {
        for (int64_t i = 0; i < channels; ++i) p[i] = shift_of<T>(k, block.c_begin + i);
      }
      // The same in all threads that have these channels.
      if (block.row_begin == 0) std::copy(p, p + channels, &shifts[static_cast<size_t>(block.c_begin)]);
    });
  };
  const auto reduce = [&](const Block& all, const Panel& panel) {
    if (!k.training) return;
    const auto real = [&](const Block& block) {
      over_block<T, 4>(view, block, false, [&](auto vectors, auto whole, int64_t p, int count, int64_t at,
                                               int64_t rows, int64_t ahead) {
        Moments<T> moments[vectors];
        // Copies, which the compiler keeps in registers: it can't tell that stores leave the originals alone.
        const int64_t cols = view.cols;
        const T* from = x + at;
        if constexpr (vectors == 1) {
          const Origin shift(load(panel.shift() + p));
          for (int64_t r = 0; r < rows; ++r, from += cols) {
            prefetch(from + ahead);
            if constexpr (whole) {
              moments[0].add(from, shift);
            } else {
              moments[0].add(from, count, shift);
            }
          }
          panel.add(p, moments[0]);
        } else {
          Two shift[vectors / 2];
          for (int v = 0; v < vectors; v += 2) shift[v / 2] = panel.two_at<T>(panel.shift() + p + v * W);
          for (int64_t r = 0; r < rows; ++r, from += cols) {
            for (int v = 0; v < vectors; v += 2) {
              const T* const here = from + v * W;
              prefetch_two(here + ahead);
              add_two(moments[v], moments[v + 1], here, Origin(shift[v / 2].a), Origin(shift[v / 2].b));
            }
          }
          for (int v = 0; v < vectors; v += 2) panel.add_two<T>(p + v * W, moments[v], moments[v + 1]);
        }
      });
    };
    over_real(view, all, real, Nothing());
  };
  const auto finish = [&](int64_t c_begin, int64_t c_end, double* a, double* b) {
    if (k.training) {
      finish_forward(k, c_begin, c_end, &shifts[static_cast<size_t>(c_begin)], a, b);
    } else {
      use_running(k, c_begin, c_end);
    }
  };
  const auto ready = [&](const Block& block, const Panel& panel, const double*, const double*) {
    if (k.y == nullptr) return;
    panel.fill(panel.affine(), 3, block.c_end - block.c_begin,
               [&](float* p) { affine_of<T>(k, block.c_begin, block.c_end, p, panel.step); });
  };
  const auto apply = [&](const Block& all, const Panel& panel) {
    if (k.y == nullptr) return;
    const bool streams = streams_to(k, view, all, y);
    const auto real = [&](const Block& block) {
      // Backwards, to find in the cache what was read last.
      over_block<T, 4>(view, block, k.training, [&](auto vectors, auto whole, int64_t p, int count, int64_t at,
                                                    int64_t rows, int64_t ahead) {
        const int64_t cols = view.cols, next = k.training ? -ahead : ahead;
        const T* from = x + at;
        const T* added = residual + (RES ? at : 0);
        T* to = y + at;
        const Activation kind = k.activation;
        const bool past = streams;
        const auto value = [kind](const Affine& f, vf v, vf r) { return activate<ACT>(RES ? f(v) + r : f(v), kind); };
        const auto step = [&] {
          from += cols;
          to += cols;
          if constexpr (RES) added += cols;
        };
        if constexpr (vectors == 1) {
          const Affine f = panel.at<Affine>(panel.affine() + p);
          for (int64_t r = 0; r < rows; ++r, step()) {
            prefetch(from + next);
            vf t{};
            if constexpr (RES) t = load_some<whole>(added, count, vf{});
            store_some<whole>(to, value(f, load_some<whole>(from, count, vf{}), t), count, past);
          }
        } else {
          Affine f[vectors / 2][2];
          for (int v = 0; v < vectors; v += 2) panel.two_at<T>(panel.affine() + p + v * W, f[v / 2]);
          for (int64_t r = 0; r < rows; ++r, step()) {
            for (int v = 0; v < vectors; v += 2) {
              prefetch_two(from + v * W + next);
              const Two values = load_two(from + v * W);
              Two t{};
              if constexpr (RES) t = load_two(added + v * W);
              put_two(to + v * W, {value(f[v / 2][0], values.a, t.a), value(f[v / 2][1], values.b, t.b)}, past);
            }
          }
        }
      });
    };
    const auto padding = [&](int64_t b, int64_t e) {
      for (int64_t row = b; row < e; ++row) fill_zero(y + row * k.c + all.c_begin, all.c_end - all.c_begin);
    };
    over_real(view, all, real, padding);
  };
  over_blocks<T>(k, view, 1, begin, reduce, finish, ready, apply);
}

template <class T, int ACT, bool RES, bool FROM_OUTPUT>
void backward_columns(const Call& k) {
  const T* const x = static_cast<const T*>(k.x);
  const T* const slope_source = static_cast<const T*>(k.slope_source);
  const T* const grad_y = static_cast<const T*>(k.grad_y);
  T* const grad_x = static_cast<T*>(k.grad_x);
  T* const grad_residual = static_cast<T*>(k.grad_residual);
  T* const kept = RES ? (grad_residual ? grad_residual : grad_x) : nullptr;
  const View view(k);

  const auto begin = [&](const Block& block, const Panel& panel) {
    panel.fill(panel.affine(), 3, block.c_end - block.c_begin, [&](float* p) {
      (FROM_OUTPUT ? inverse_of : affine_of<T>)(k, block.c_begin, block.c_end, p, panel.step);
    });
  };
  const auto reduce = [&](const Block& all, const Panel& panel) {
    const auto real = [&](const Block& block) {
      over_block<T, 2>(view, block, false, [&](auto vectors, auto whole, int64_t p, int count, int64_t at,
                                               int64_t rows, int64_t ahead) {
        Products<T> products[vectors];
        const int64_t cols = view.cols;
        Backward<T> row{x + at, slope_source + (RES ? at : 0), grad_y + at, kept + (RES ? at : 0)};
        const Activation kind = k.activation;
        if constexpr (vectors == 1) {
          const Affine f = panel.at<Affine>(panel.affine() + p);
          const Origin origin(f.hi);
          for (int64_t r = 0; r < rows; ++r, row = row.template after<RES>(cols)) {
            prefetch(row.x + ahead);
            prefetch(row.grad + ahead);
            add_products<T, ACT, RES, FROM_OUTPUT, whole>(row, count, f, origin, kind, products[0]);
          }
          panel.add(p, products[0]);
        } else {
          Affine f[vectors / 2][2];
          for (int v = 0; v < vectors; v += 2) panel.two_at<T>(panel.affine() + p + v * W, f[v / 2]);
          for (int64_t r = 0; r < rows; ++r, row = row.template after<RES>(cols)) {
            for (int v = 0; v < vectors; v += 2) {
              const Backward<T> here = row.template after<RES>(v * W);
              prefetch_two(here.x + ahead);
              prefetch_two(here.grad + ahead);
              const Origin origin[2] = {Origin(f[v / 2][0].hi), Origin(f[v / 2][1].hi)};
              add_products_two<T, ACT, RES, FROM_OUTPUT>(here, f[v / 2], origin, kind, products[v], products[v + 1]);
            }
          }
          for (int v = 0; v < vectors; v += 2) panel.add_two<T>(p + v * W, products[v], products[v + 1]);
        }
      });
    };
    over_real(view, all, real, Nothing());
  };
  const auto finish = [&](int64_t c_begin, int64_t c_end, double* a, double* b) {
    finish_backward<T, FROM_OUTPUT>(k, c_begin, c_end, a, b);
  };
  const auto ready = [&](const Block& block, const Panel& panel, const double* a, const double* b) {
    panel.fill(panel.slopes(), 3, block.c_end - block.c_begin, [&](float* p) {
      slopes_of<T, FROM_OUTPUT>(k, block.c_begin, block.c_end, a, b, p, panel.step);
    });
  };
  const auto apply = [&](const Block& all, const Panel& panel) {
    const T* const grad = RES ? kept : grad_y;
    const bool streams = streams_to(k, view, all, grad_x);
    const auto real = [&](const Block& block) {
      over_block<T, 2>(view, block, true, [&](auto vectors, auto whole, int64_t p, int count, int64_t at,
                                              int64_t rows, int64_t ahead) {
        const int64_t cols = view.cols;
        const T* from = x + at;
        const T* above = grad + at;
        T* to = grad_x + at;
        const Activation kind = k.activation;
        const bool past = streams;
        const auto value = [kind](const Affine& f, const Slopes& slopes, vf v, vf g) {
          return grad_x_of<ACT, RES, FROM_OUTPUT>(f, slopes, v, g, kind);
        };
        const auto step = [&] {
          from += cols;
          above += cols;
          to += cols;
        };
        if constexpr (vectors == 1) {
          const Affine f = panel.at<Affine>(panel.affine() + p);
          const Slopes slopes = panel.at<Slopes>(panel.slopes() + p);
          for (int64_t r = 0; r < rows; ++r, step()) {
            prefetch(from - ahead);
            prefetch(above - ahead);
            const vf v = load_some<whole>(from, count, f.hi), g = load_some<whole>(above, count, vf{});
            store_some<whole>(to, value(f, slopes, v, g), count, past);
          }
        } else {
          Affine f[vectors / 2][2];
          Slopes slopes[vectors / 2][2];
          for (int v = 0; v < vectors; v += 2) {
            panel.two_at<T>(panel.affine() + p + v * W, f[v / 2]);
            panel.two_at<T>(panel.slopes() + p + v * W, slopes[v / 2]);
          }
          for (int64_t r = 0; r < rows; ++r, step()) {
            for (int v = 0; v < vectors; v += 2) {
              prefetch_two(from + v * W - ahead);
              prefetch_two(above + v * W - ahead);
              const Two values = load_two(from + v * W), g = load_two(above + v * W);
              put_two(to + v * W,
                      {value(f[v / 2][0], slopes[v / 2][0], values.a, g.a),
                       value(f[v / 2][1], slopes[v / 2][1], values.b, g.b)},
                      past);
            }
          }
        }
      });
    };
    const auto padding = [&](int64_t b, int64_t e) {
      for (int64_t row = b; row < e; ++row) {
        const int64_t at = row * k.c + all.c_begin, length = all.c_end - all.c_begin;
        fill_zero(grad_x + at, length);
        if (grad_residual != nullptr) fill_zero(grad_residual + at, length);
      }
    };
    over_real(view, all, real, padding);
  };
  over_blocks<T>(k, view, 2, begin, reduce, finish, ready, apply);
}

}  // namespace NW_ISA
