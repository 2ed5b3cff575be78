// Channels last, (rows, c): a vector holds neighbouring channels. Several rows at a time, so that what belongs to the
// channels is loaded once for all of them. All rows must have been seen before any is normalised: the second pass
// runs backwards, to find in the cache what was read last.
#pragma once

#include <omp.h>

#include <algorithm>
#include <memory>
#include <new>
#include <type_traits>

#include "rows.h"

namespace NW_ISA {

// Rows at a time, with few channels and with many.
constexpr int ROWS = 32, ROWS_WIDE = 8;
// Channels up to which a few vectors hold all of a row, or half of it.
constexpr int64_t NARROW = 128;
// Bytes that one core's cache holds of its columns of all rows.
constexpr int64_t COLUMNS_CACHED = 768 << 10;

struct Free {
  void operator()(void* p) const { ::operator delete[](p, std::align_val_t{64}); }
};

// Zeros, aligned to a cache line.
template <class T>
class Zeros {
 public:
  explicit Zeros(int64_t count)
      : p_(static_cast<T*>(::operator new[](static_cast<size_t>(count) * sizeof(T), std::align_val_t{64}))) {
    std::memset(p_.get(), 0, static_cast<size_t>(count) * sizeof(T));
  }
  T* get() const { return p_.get(); }

 private:
  std::unique_ptr<T, Free> p_;
};

// What belongs to the channels, each padded to whole vectors.
struct Columns {
  int64_t padded, rows;
  Zeros<float> shift, affine, slopes;  // affine (4, padded), slopes (3, padded)
  Zeros<double> mean, sums;            // sums (threads, 2, padded)

  explicit Columns(const Call& k)
      : padded((k.c + W - 1) / W * W),
        rows(k.n * k.s),
        shift(padded),
        affine(4 * padded),
        slopes(3 * padded),
        mean(padded),
        sums(2 * padded * k.threads) {}

  NW_INLINE Affine affine_at(int64_t c) const {
    const float* p = affine.get() + c;
    return {load(p), load(p + padded), load(p + 2 * padded), load(p + 3 * padded)};
  }

  NW_INLINE Slopes slopes_at(int64_t c) const {
    const float* p = slopes.get() + c;
    return {load(p), load(p + padded), load(p + 2 * padded)};
  }
};

// Rows and columns that one thread handles.
struct Block {
  int64_t row_begin, row_end, c_begin, c_end;
};

NW_INLINE Sums sums_at(const double* p, int64_t padded) {
  return {load(p), load(p + H), load(p + padded), load(p + padded + H)};
}

NW_INLINE void keep_sums(double* p, int64_t padded, const Sums& s) {
  store(p, s.low_a);
  store(p + H, s.high_a);
  store(p + padded, s.low_b);
  store(p + padded + H, s.high_b);
}

// Calls tile(vectors, whole, c, count, row, rows, ahead) for some vectors of columns and some rows at a time: what
// belongs to the channels stays in registers meanwhile. count is W but for the last columns. Few channels: several
// vectors, so that memory is read in one stretch. Many: one, along eight rows. `ahead` is the distance to what is
// read next, which the hardware does not guess.
template <int VECTORS, class Tile>
NW_INLINE void over_tiles(const Call& k, const Block& block, bool backwards, int64_t most, Tile tile) {
  const int64_t blocks = (block.row_end - block.row_begin + most - 1) / most, ahead = most * k.c;
  for (int64_t i = 0; i < blocks; ++i) {
    const int64_t row = block.row_begin + (backwards ? blocks - 1 - i : i) * most;
    const int64_t rows = std::min(most, block.row_end - row);
    int64_t c = block.c_begin;
    for (; c + VECTORS * W <= block.c_end; c += VECTORS * W) {
      tile(std::integral_constant<int, VECTORS>(), std::true_type(), c, W, row, rows, ahead);
    }
    for (; VECTORS > 1 && c + W <= block.c_end; c += W) {
      tile(std::integral_constant<int, 1>(), std::true_type(), c, W, row, rows, ahead);
    }
    if (c < block.c_end) {
      const int count = static_cast<int>(block.c_end - c);
      tile(std::integral_constant<int, 1>(), std::false_type(), c, count, row, rows, ahead);
    }
  }
}

template <int VECTORS, class Tile>
NW_INLINE void over_block(const Call& k, const Block& block, bool backwards, Tile tile) {
  if (k.c <= NARROW) {
    over_tiles<VECTORS>(k, block, backwards, ROWS, tile);
  } else {
    over_tiles<1>(k, block, backwards, ROWS_WIDE, tile);
  }
}

// reduce(block, sums), finish(c_begin, c_end) with all sums added up, apply(block). A thread has all rows of some
// columns where these fit into its cache, else some rows of all columns.
template <class T, class Reduce, class Finish, class Apply>
NW_INLINE void over_blocks(const Call& k, const Columns& columns, bool reduces, Reduce reduce, Finish finish,
                           Apply apply) {
  const int64_t vectors = columns.padded / W;
  const bool by_columns =
      k.threads > 1 && vectors >= 4 * k.threads &&
      columns.rows * k.c * static_cast<int64_t>(sizeof(T)) <= COLUMNS_CACHED * k.threads;
#pragma omp parallel num_threads(k.threads)
  {
    const int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const int64_t c_begin = vectors * thread / threads * W;
    const int64_t c_end = std::min(vectors * (thread + 1) / threads * W, k.c);
    if (by_columns) {
      const Block block{0, columns.rows, c_begin, c_end};
      if (reduces) reduce(block, columns.sums.get());
      finish(c_begin, c_end);
      apply(block);
    } else {
      const Block block{columns.rows * thread / threads, columns.rows * (thread + 1) / threads, 0, k.c};
      double* const own = columns.sums.get() + 2 * columns.padded * thread;
      if (reduces) reduce(block, own);
#pragma omp barrier
      for (int t = 1; t < threads; ++t) {
        double* const all = columns.sums.get();
        for (int64_t i = 0; i < 2; ++i) {
          for (int64_t c = c_begin; c < c_end; ++c) {
            all[i * columns.padded + c] += all[(2 * t + i) * columns.padded + c];
          }
        }
      }
      finish(c_begin, c_end);
#pragma omp barrier
      apply(block);
    }
    if (k.stream) fence();
  }
}

// The block without its padded rows: real(block) for each stretch of real ones, padding(row_begin, row_end).
template <class Real, class Padding>
NW_INLINE void over_real(const Call& k, const Block& block, Real real, Padding padding) {
  const uint8_t* mask = k.mask ? k.mask + block.row_begin : nullptr;
  stretches(
      mask, block.row_end - block.row_begin,
      [&](int64_t b, int64_t e) {
        real(Block{block.row_begin + b, block.row_begin + e, block.c_begin, block.c_end});
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

template <class T, int ACT, bool RES>
void forward_columns(const Call& k) {
  const T* const x = static_cast<const T*>(k.x);
  const T* const residual = static_cast<const T*>(k.residual);
  T* const y = static_cast<T*>(k.y);
  const Columns columns(k);
  // Lines must be whole to go past the caches.
  const bool streams = k.stream && k.c % W == 0 && reinterpret_cast<uintptr_t>(y) % (W * sizeof(T)) == 0;

  const auto shift = [&](int64_t c_begin, int64_t c_end) {
    float* const p = columns.shift.get();
    int64_t first = 0, count = std::min<int64_t>(4, columns.rows);
    if (k.mask != nullptr && k.count > 0) {
      first = static_cast<const uint8_t*>(std::memchr(k.mask, 1, static_cast<size_t>(columns.rows))) - k.mask;
      count = 1;
    }
    for (int64_t c = c_begin; c < c_end; ++c) p[c] = shift_of(x + first * k.c + c, count, k.c);
  };
  const auto reduce = [&](const Block& all, double* sums) {
    const auto real = [&](const Block& block) {
      over_block<4>(k, block, false, [&](auto vectors, auto whole, int64_t c, int count, int64_t row, int64_t rows,
                                        int64_t ahead) {
        vf shift[vectors];
        vd s_low[vectors], s_high[vectors];
        Sums own[vectors];
        for (int v = 0; v < vectors; ++v) {
          shift[v] = load(columns.shift.get() + c + v * W);
          s_low[v] = low(shift[v]);
          s_high[v] = high(shift[v]);
          own[v] = sums_at(sums + c + v * W, columns.padded);
        }
        const T* p = x + row * k.c + c;
        for (int64_t r = 0; r < rows; ++r, p += k.c) {
          for (int v = 0; v < vectors; ++v) {
            prefetch(p + v * W + ahead);
            own[v].add_moments(load_some<whole>(p + v * W, count, shift[v]), s_low[v], s_high[v]);
          }
        }
        for (int v = 0; v < vectors; ++v) keep_sums(sums + c + v * W, columns.padded, own[v]);
      });
    };
    over_real(k, all, real, Nothing());
  };
  const auto finish = [&](int64_t c_begin, int64_t c_end) {
    const double* sums = columns.sums.get();
    for (int64_t c = c_begin; c < c_end; ++c) {
      if (k.training) {
        finish_forward(k, c, columns.shift.get()[c], sums[c], sums[columns.padded + c]);
      } else {
        use_running(k, c);
      }
      affine_of(k, c, columns.affine.get() + c, columns.padded);
    }
  };
  const auto apply = [&](const Block& all) {
    const auto real = [&](const Block& block) {
      over_block<4>(k, block, true, [&](auto vectors, auto whole, int64_t c, int count, int64_t row, int64_t rows,
                                        int64_t ahead) {
        Affine f[vectors];
        for (int v = 0; v < vectors; ++v) f[v] = columns.affine_at(c + v * W);
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t start = (row + r) * k.c + c;
          for (int v = 0; v < vectors; ++v) {
            const int64_t at = start + v * W;
            prefetch(x + at - ahead);
            vf z = f[v](load_some<whole>(x + at, count, vf{}));
            if constexpr (RES) z += load_some<whole>(residual + at, count, vf{});
            store_some<whole>(y + at, activate<ACT>(z, k.activation), count, streams);
          }
        }
      });
    };
    const auto padding = [&](int64_t b, int64_t e) {
      for (int64_t row = b; row < e; ++row) fill_zero(y + row * k.c + all.c_begin, all.c_end - all.c_begin);
    };
    over_real(k, all, real, padding);
  };
  if (k.training) shift(0, k.c);
  over_blocks<T>(k, columns, k.training, reduce, finish, apply);
}

template <class T, int ACT, bool RES, bool FROM_OUTPUT>
void backward_columns(const Call& k) {
  const T* const x = static_cast<const T*>(k.x);
  const T* const third = static_cast<const T*>(k.third);
  const T* const grad_y = static_cast<const T*>(k.grad_y);
  T* const grad_x = static_cast<T*>(k.grad_x);
  T* const grad_residual = static_cast<T*>(k.grad_residual);
  T* const kept = RES ? (grad_residual ? grad_residual : grad_x) : nullptr;
  const Columns columns(k);
  for (int64_t c = 0; c < k.c; ++c) {
    affine_of(k, c, columns.affine.get() + c, columns.padded);
    // Where the output took the input's place the deviation is told without it.
    columns.mean.get()[c] = FROM_OUTPUT ? 0.0 : k.saved[c];
  }
  const bool streams = k.stream && k.c % W == 0 && reinterpret_cast<uintptr_t>(grad_x) % (W * sizeof(T)) == 0;

  const auto reduce = [&](const Block& all, double* sums) {
    const auto real = [&](const Block& block) {
      over_block<2>(k, block, false, [&](auto vectors, auto whole, int64_t c, int count, int64_t row, int64_t rows,
                                        int64_t ahead) {
        Affine f[vectors];
        Sums own[vectors];
        vd mean_low[vectors], mean_high[vectors];
        for (int v = 0; v < vectors; ++v) {
          f[v] = columns.affine_at(c + v * W);
          mean_low[v] = load(columns.mean.get() + c + v * W);
          mean_high[v] = load(columns.mean.get() + c + v * W + H);
          own[v] = sums_at(sums + c + v * W, columns.padded);
        }
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t start = (row + r) * k.c + c;
          for (int v = 0; v < vectors; ++v) {
            const int64_t at = start + v * W;
            prefetch(x + at + ahead);
            prefetch(grad_y + at + ahead);
            const vf value = load_some<whole>(x + at, count, f[v].hi);
            const vf d = deviation_of<FROM_OUTPUT>(f[v], value, k.activation);
            vf t{};
            if constexpr (RES) t = load_some<whole>(third + at, count, vf{});
            const vf grad = load_some<whole>(grad_y + at, count, vf{});
            const vf g = gradient_of<ACT, RES, FROM_OUTPUT>(f[v], value, d, t, grad, k.activation);
            if constexpr (RES) store_some<whole>(kept + at, g, count, false);
            own[v].add_products(g, FROM_OUTPUT ? d : value, mean_low[v], mean_high[v]);
          }
        }
        for (int v = 0; v < vectors; ++v) keep_sums(sums + c + v * W, columns.padded, own[v]);
      });
    };
    over_real(k, all, real, Nothing());
  };
  const auto finish = [&](int64_t c_begin, int64_t c_end) {
    const double* sums = columns.sums.get();
    for (int64_t c = c_begin; c < c_end; ++c) {
      finish_backward(k, c, sums[c], sums[columns.padded + c], columns.slopes.get() + c, columns.padded);
    }
  };
  const auto apply = [&](const Block& all) {
    constexpr int LEFT = RES ? NONE : ACT;
    const T* const grad = RES ? kept : grad_y;
    const auto real = [&](const Block& block) {
      over_block<2>(k, block, true, [&](auto vectors, auto whole, int64_t c, int count, int64_t row, int64_t rows,
                                        int64_t ahead) {
        Affine f[vectors];
        Slopes slopes[vectors];
        for (int v = 0; v < vectors; ++v) {
          f[v] = columns.affine_at(c + v * W);
          slopes[v] = columns.slopes_at(c + v * W);
        }
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t start = (row + r) * k.c + c;
          for (int v = 0; v < vectors; ++v) {
            const int64_t at = start + v * W;
            prefetch(x + at - ahead);
            prefetch(grad + at - ahead);
            const vf value = load_some<whole>(x + at, count, f[v].hi);
            const vf d = deviation_of<FROM_OUTPUT>(f[v], value, k.activation);
            const vf above = load_some<whole>(grad + at, count, vf{});
            const vf g = gradient_of<LEFT, false, FROM_OUTPUT>(f[v], value, d, vf{}, above, k.activation);
            store_some<whole>(grad_x + at, slopes[v](g, d), count, streams);
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
    over_real(k, all, real, padding);
  };
  over_blocks<T>(k, columns, true, reduce, finish, apply);
}

}  // namespace NW_ISA
