// Contiguous (n, c, s): a channel is n rows of s elements. Two passes over a channel that sits in the cache; the
// second runs backwards, so that what was read last is read first. Short rows are handled several channels at a
// time, which makes one longer stretch of memory of them.
#pragma once

#include <omp.h>

#include <algorithm>
#include <vector>

#include "rows.h"

namespace NW_ISA {

constexpr int MOST_CHANNELS = 32;
// Bytes of one stretch, of what one core's cache keeps of a group between the two passes, and of a row from which
// writing past the caches fills enough of its lines.
constexpr int64_t STRETCH = 16384, CACHED = 512 << 10, STREAMED_ROW = 512;

// Channels and rows that one thread handles.
struct Part {
  int64_t c_begin, c_end, n_begin, n_end;
};

// Sums of a group's channels, side by side.
struct ChannelSums {
  double a[MOST_CHANNELS], b[MOST_CHANNELS];
};

// reduce(part, sums), finish(part, sums) once all of a channel is added up, and apply(part, sums), for all channels.
// A channel is one thread's, unless there are too few channels to go round: then the rows are shared out.
template <class T, class Reduce, class Finish, class Apply>
NW_INLINE void over_channels(const Call& k, int arrays, Reduce reduce, Finish finish, Apply apply) {
  const bool by_rows = k.threads > 1 && k.c < 4 * k.threads && k.c % k.threads != 0 && k.n >= k.threads;
  const int64_t row = std::max<int64_t>(k.s * static_cast<int64_t>(sizeof(T)), 1);
  const int64_t fits = std::min<int64_t>(STRETCH / row, CACHED / arrays / (row * std::max<int64_t>(k.n, 1)));
  const int64_t group = std::clamp<int64_t>(fits, 1, MOST_CHANNELS);
  std::vector<ChannelSums> partial(by_rows ? static_cast<size_t>(k.threads) : 0);
  ChannelSums all;
#pragma omp parallel num_threads(k.threads)
  {
    const int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const int64_t first = by_rows ? 0 : k.c * thread / threads;
    const int64_t last = by_rows ? k.c : k.c * (thread + 1) / threads;
    const int64_t n_begin = by_rows ? k.n * thread / threads : 0;
    const int64_t n_end = by_rows ? k.n * (thread + 1) / threads : k.n;
    for (int64_t c_begin = first; c_begin < last; c_begin += group) {
      const Part part{c_begin, std::min(c_begin + group, last), n_begin, n_end};
      Sums sums[MOST_CHANNELS];
      ChannelSums own;
      reduce(part, sums);
      for (int64_t i = 0; i < part.c_end - part.c_begin; ++i) {
        own.a[i] = sums[i].total_a();
        own.b[i] = sums[i].total_b();
      }
      if (by_rows) {
        partial[static_cast<size_t>(thread)] = own;
#pragma omp barrier
#pragma omp single
        {
          all = partial[0];
          for (int t = 1; t < threads; ++t) {
            for (int64_t i = 0; i < part.c_end - part.c_begin; ++i) {
              all.a[i] += partial[static_cast<size_t>(t)].a[i];
              all.b[i] += partial[static_cast<size_t>(t)].b[i];
            }
          }
          finish(part, all);
        }
        own = all;
      } else {
        finish(part, own);
      }
      apply(part, own);
    }
    if (k.stream) fence();
  }
}

// Calls real(offset, length, channel within the part) for each stretch of real positions of the part, and
// padding likewise; rows in order or against it.
template <class Real, class Padding>
NW_INLINE void over_rows(const Call& k, const Part& part, bool backwards, Real real, Padding padding) {
  for (int64_t i = part.n_begin; i < part.n_end; ++i) {
    const int64_t n = backwards ? part.n_end - 1 - (i - part.n_begin) : i;
    const uint8_t* mask = k.mask ? k.mask + n * k.s : nullptr;
    for (int64_t c = part.c_begin; c < part.c_end; ++c) {
      const int64_t row = (n * k.c + c) * k.s;
      stretches(
          mask, k.s, [&](int64_t b, int64_t e) { real(row + b, e - b, c - part.c_begin); },
          [&](int64_t b, int64_t e) { padding(row + b, e - b); });
    }
  }
}

// The three numbers of Affine or of Slopes, of each channel of a part.
template <class Numbers>
struct Parameters {
  float p[3 * MOST_CHANNELS];

  NW_INLINE Numbers operator[](int64_t channel) const {
    const float* const q = p + channel;
    return {splat(q[0]), splat(q[MOST_CHANNELS]), splat(q[2 * MOST_CHANNELS])};
  }
};

template <class T>
bool streams_rows(const Call& k) {
  return k.stream && k.s * static_cast<int64_t>(sizeof(T)) >= STREAMED_ROW;
}

// `ahead` is the distance to the channel's next row, which the hardware does not guess.
template <class T>
NW_INLINE void row_moments(const T* x, int64_t length, int64_t ahead, float shift, Sums& sums) {
  const Origin origin(splat(shift));
  for (int64_t begin = 0; begin < length; begin += FEW * W) {
    const int64_t end = std::min(begin + FEW * W, length);
    Moments<T> one, other;
    int64_t i = begin;
    for (; i + 2 * W <= end; i += 2 * W) {
      prefetch(x + i + ahead);
      prefetch(x + i + W + ahead);
      add_two(one, other, x + i, origin, origin);
    }
    if (i + W <= end) {
      one.add(x + i, origin);
      i += W;
    }
    if (i < end) other.add(x + i, static_cast<int>(end - i), origin);
    one.flush(sums);
    other.flush(sums);
  }
}

// Calls two(i) for two vectors of a row at a time, one(i), and rest(i, count) for what is less. With `aligned`, where
// the outputs go past the caches, a first part comes before, so that all others are aligned to NW_BYTES.
template <class T, class TwoAt, class OneAt, class Rest>
NW_INLINE void over_vectors(const T* aligned, int64_t length, TwoAt two, OneAt one, Rest rest) {
  int64_t i = 0;
  const auto past = reinterpret_cast<uintptr_t>(aligned) % NW_BYTES;
  const int64_t first = past == 0 ? 0 : std::min(static_cast<int64_t>((NW_BYTES - past) / sizeof(T)), length);
  for (; i < first; i += W) rest(i, static_cast<int>(std::min<int64_t>(W, first - i)));
  i = first;
  for (; i + 2 * W <= length; i += 2 * W) two(i);
  if (i + W <= length) {
    one(i);
    i += W;
  }
  if (i < length) rest(i, static_cast<int>(length - i));
}

// Writes a row: what two(i), one(i) and rest(i, count) return.
template <class T, class TwoAt, class OneAt, class Rest>
NW_INLINE void write_row(T* y, int64_t length, bool streams, TwoAt two, OneAt one, Rest rest) {
  const auto end = [&](int64_t i, int count) { store(y + i, rest(i, count), count); };
  if (streams) {
    over_vectors(
        y, length, [&](int64_t i) { stream_two(y + i, two(i)); }, [&](int64_t i) { stream(y + i, one(i)); }, end);
  } else {
    over_vectors(
        static_cast<T*>(nullptr), length, [&](int64_t i) { store_two(y + i, two(i)); },
        [&](int64_t i) { store(y + i, one(i)); }, end);
  }
}

template <class T, int ACT, bool RES>
NW_INLINE void row_forward(const T* x, const T* residual, T* y, int64_t length, const Affine& f, Activation kind,
                           bool streams) {
  const auto value = [&](vf v, vf r) { return activate<ACT>(RES ? f(v) + r : f(v), kind); };
  const auto two = [&](int64_t i) {
    const Two v = load_two(x + i);
    Two r{};
    if constexpr (RES) r = load_two(residual + i);
    return Two{value(v.a, r.a), value(v.b, r.b)};
  };
  const auto one = [&](int64_t i) { return value(load(x + i), RES ? load(residual + i) : vf{}); };
  const auto rest = [&](int64_t i, int count) {
    return value(load(x + i, count, f.hi), RES ? load(residual + i, count, vf{}) : vf{});
  };
  write_row(y, length, streams, two, one, rest);
}

// With running statistics there is one pass, through memory in order.
template <class T, int ACT, bool RES>
void evaluate_planes(const Call& k) {
  const T* const x = static_cast<const T*>(k.x);
  const T* const residual = static_cast<const T*>(k.residual);
  T* const y = static_cast<T*>(k.y);
  const bool streams = streams_rows<T>(k);
  std::vector<float> p(static_cast<size_t>(3 * k.c));
  use_running(k, 0, k.c);
  affine_of<T>(k, 0, k.c, p.data(), k.c);
#pragma omp parallel num_threads(k.threads)
  {
    const int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const int64_t last = k.n * k.c * (thread + 1) / threads;
    for (int64_t row = k.n * k.c * thread / threads; row < last; ++row) {
      const float* const q = p.data() + row % k.c;
      const Affine f{splat(q[0]), splat(q[k.c]), splat(q[2 * k.c])};
      const auto real = [&](int64_t b, int64_t e) {
        const int64_t at = row * k.s + b;
        row_forward<T, ACT, RES>(x + at, residual + (RES ? at : 0), y + at, e - b, f, k.activation, streams);
      };
      stretches(k.mask ? k.mask + row / k.c * k.s : nullptr, k.s, real,
                [&](int64_t b, int64_t e) { fill_zero(y + row * k.s + b, e - b); });
    }
    if (k.stream) fence();
  }
}

template <class T, int ACT, bool RES>
void forward_planes(const Call& k) {
  if (!k.training) return evaluate_planes<T, ACT, RES>(k);
  const T* const x = static_cast<const T*>(k.x);
  const T* const residual = static_cast<const T*>(k.residual);
  T* const y = static_cast<T*>(k.y);
  const bool streams = streams_rows<T>(k);
  std::vector<float> shifts(static_cast<size_t>(k.c));

  const auto reduce = [&](const Part& part, Sums* sums) {
    float shift[MOST_CHANNELS];
    for (int64_t c = part.c_begin; c < part.c_end; ++c) {
      shift[c - part.c_begin] = shifts[static_cast<size_t>(c)] = shift_of<T>(k, c);
    }
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      row_moments(x + at, length, k.c * k.s, shift[c], sums[c]);
    };
    over_rows(k, part, false, row, [](int64_t, int64_t) {});
  };
  const auto finish = [&](const Part& part, ChannelSums& sums) {
    finish_forward(k, part.c_begin, part.c_end, &shifts[static_cast<size_t>(part.c_begin)], sums.a, sums.b);
  };
  const auto apply = [&](const Part& part, const ChannelSums&) {
    if (k.y == nullptr) return;
    Parameters<Affine> affines;
    affine_of<T>(k, part.c_begin, part.c_end, affines.p, MOST_CHANNELS);
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      row_forward<T, ACT, RES>(x + at, residual + (RES ? at : 0), y + at, length, affines[c], k.activation, streams);
    };
    over_rows(k, part, true, row, [&](int64_t at, int64_t length) { fill_zero(y + at, length); });
  };
  over_channels<T>(k, 1, reduce, finish, apply);
}

template <class T, int ACT, bool RES, bool FROM_OUTPUT>
NW_INLINE void row_products(const Backward<T>& row, int64_t length, int64_t ahead, const Affine& f, Activation kind,
                            Sums& sums) {
  const Affine affine[2] = {f, f};
  const Origin origin[2] = {Origin(f.hi), Origin(f.hi)};
  const auto at = [&](int64_t i) { return row.template after<RES>(i); };
  for (int64_t begin = 0; begin < length; begin += FEW * W) {
    const int64_t end = std::min(begin + FEW * W, length);
    Products<T> one, other;
    int64_t i = begin;
    for (; i + 2 * W <= end; i += 2 * W) {
      prefetch(row.x + i + ahead);
      prefetch(row.grad + i + ahead);
      prefetch(row.x + i + W + ahead);
      prefetch(row.grad + i + W + ahead);
      add_products_two<T, ACT, RES, FROM_OUTPUT>(at(i), affine, origin, kind, one, other);
    }
    if (i + W <= end) {
      add_products<T, ACT, RES, FROM_OUTPUT, true>(at(i), W, f, origin[0], kind, one);
      i += W;
    }
    if (i < end) {
      const int count = static_cast<int>(end - i);
      add_products<T, ACT, RES, FROM_OUTPUT, false>(at(i), count, f, origin[0], kind, other);
    }
    one.flush(sums);
    other.flush(sums);
  }
}

template <class T, int ACT, bool RES, bool FROM_OUTPUT>
NW_INLINE void row_backward(const T* x, const T* grad, T* grad_x, int64_t length, const Affine& f,
                            const Slopes& slopes, Activation kind, bool streams) {
  const auto value = [&](vf v, vf g) { return grad_x_of<ACT, RES, FROM_OUTPUT>(f, slopes, v, g, kind); };
  const auto two = [&](int64_t i) {
    const Two v = load_two(x + i), g = load_two(grad + i);
    return Two{value(v.a, g.a), value(v.b, g.b)};
  };
  const auto one = [&](int64_t i) { return value(load(x + i), load(grad + i)); };
  const auto rest = [&](int64_t i, int count) {
    return value(load(x + i, count, f.hi), load(grad + i, count, vf{}));
  };
  write_row(grad_x, length, streams, two, one, rest);
}

template <class T, int ACT, bool RES, bool FROM_OUTPUT>
void backward_planes(const Call& k) {
  const T* const x = static_cast<const T*>(k.x);
  const T* const slope_source = static_cast<const T*>(k.slope_source);
  const T* const grad_y = static_cast<const T*>(k.grad_y);
  T* const grad_x = static_cast<T*>(k.grad_x);
  T* const grad_residual = static_cast<T*>(k.grad_residual);
  T* const kept = RES ? (grad_residual ? grad_residual : grad_x) : nullptr;
  const bool streams = streams_rows<T>(k);

  const auto affines_of = [&](const Part& part) {
    Parameters<Affine> affines;
    (FROM_OUTPUT ? inverse_of : affine_of<T>)(k, part.c_begin, part.c_end, affines.p, MOST_CHANNELS);
    return affines;
  };
  const auto reduce = [&](const Part& part, Sums* sums) {
    const Parameters<Affine> affines = affines_of(part);
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      const Backward<T> p{x + at, slope_source + (RES ? at : 0), grad_y + at, kept + (RES ? at : 0)};
      row_products<T, ACT, RES, FROM_OUTPUT>(p, length, k.c * k.s, affines[c], k.activation, sums[c]);
    };
    over_rows(k, part, false, row, [](int64_t, int64_t) {});
  };
  const auto finish = [&](const Part& part, ChannelSums& sums) {
    finish_backward<T, FROM_OUTPUT>(k, part.c_begin, part.c_end, sums.a, sums.b);
  };
  const auto apply = [&](const Part& part, const ChannelSums& sums) {
    const Parameters<Affine> affines = affines_of(part);
    Parameters<Slopes> slopes;
    slopes_of<T, FROM_OUTPUT>(k, part.c_begin, part.c_end, sums.a, sums.b, slopes.p, MOST_CHANNELS);
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      row_backward<T, ACT, RES, FROM_OUTPUT>(x + at, (RES ? kept : grad_y) + at, grad_x + at, length, affines[c],
                                             slopes[c], k.activation, streams);
    };
    const auto padding = [&](int64_t at, int64_t length) {
      fill_zero(grad_x + at, length);
      if (grad_residual != nullptr) fill_zero(grad_residual + at, length);
    };
    over_rows(k, part, true, row, padding);
  };
  over_channels<T>(k, 2, reduce, finish, apply);
}

}  // namespace NW_ISA
