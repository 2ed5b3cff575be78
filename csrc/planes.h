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
constexpr int64_t STRETCH = 16384, CACHED = 512 << 10;  // bytes

// Channels and rows that one thread handles.
struct Part {
  int64_t c_begin, c_end, n_begin, n_end;
};

// prepare(c_begin, c_end), then reduce(part, sums of each channel), finish(channel, sum a, sum b) and
// apply(part), for all channels. A channel is one thread's, unless there are too few channels to go round:
// then the rows are shared out.
template <class T, class Prepare, class Reduce, class Finish, class Apply>
NW_INLINE void over_channels(const Call& k, Prepare prepare, Reduce reduce, Finish finish, Apply apply) {
  const bool by_rows = k.threads > 1 && k.c < 4 * k.threads && k.c % k.threads != 0 && k.n >= k.threads;
  const int64_t row = std::max<int64_t>(k.s * static_cast<int64_t>(sizeof(T)), 1);
  const int64_t fits = std::min<int64_t>(STRETCH / row, CACHED / (row * std::max<int64_t>(k.n, 1)));
  const int64_t group = std::clamp<int64_t>(fits, 1, MOST_CHANNELS);
  std::vector<double> partial;
#pragma omp parallel num_threads(k.threads)
  {
    const int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    Sums sums[MOST_CHANNELS];
    if (by_rows) {
#pragma omp single
      {
        partial.resize(static_cast<size_t>(threads * k.c * 2));
        prepare(int64_t{0}, k.c);
      }
      const int64_t n_begin = k.n * thread / threads, n_end = k.n * (thread + 1) / threads;
      for (int64_t c = 0; c < k.c; ++c) {
        sums[0] = Sums();
        reduce(Part{c, c + 1, n_begin, n_end}, sums);
        double* p = &partial[static_cast<size_t>((thread * k.c + c) * 2)];
        p[0] = sums[0].total_a();
        p[1] = sums[0].total_b();
      }
#pragma omp barrier
#pragma omp single
      for (int64_t c = 0; c < k.c; ++c) {
        double a = 0, b = 0;
        for (int t = 0; t < threads; ++t) {
          a += partial[static_cast<size_t>((t * k.c + c) * 2)];
          b += partial[static_cast<size_t>((t * k.c + c) * 2 + 1)];
        }
        finish(c, a, b);
      }
      for (int64_t c = 0; c < k.c; ++c) apply(Part{c, c + 1, n_begin, n_end});
    } else {
      const int64_t last = k.c * (thread + 1) / threads;
      for (int64_t c_begin = k.c * thread / threads; c_begin < last; c_begin += group) {
        const Part part{c_begin, std::min(c_begin + group, last), 0, k.n};
        prepare(part.c_begin, part.c_end);
        for (int64_t c = part.c_begin; c < part.c_end; ++c) sums[c - c_begin] = Sums();
        reduce(part, sums);
        for (int64_t c = part.c_begin; c < part.c_end; ++c) {
          finish(c, sums[c - c_begin].total_a(), sums[c - c_begin].total_b());
        }
        apply(part);
      }
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

NW_INLINE Affine splat_affine(const Call& k, int64_t channel) {
  float p[4];
  affine_of(k, channel, p, 1);
  return {splat(p[0]), splat(p[1]), splat(p[2]), splat(p[3])};
}

// `ahead` is the distance to the channel's next row, which the hardware does not guess.
template <class T>
NW_INLINE void row_moments(const T* x, int64_t length, int64_t ahead, float shift, Sums& sums) {
  const vd s = splat(static_cast<double>(shift));
  Sums other;
  int64_t i = 0;
  for (; i + 2 * W <= length; i += 2 * W) {
    prefetch(x + i + ahead);
    prefetch(x + i + W + ahead);
    sums.add_moments(load(x + i), s, s);
    other.add_moments(load(x + i + W), s, s);
  }
  if (i + W <= length) {
    other.add_moments(load(x + i), s, s);
    i += W;
  }
  if (i < length) {
    // Lanes behind the end are at the shift, and add nothing.
    sums.add_moments(load(x + i, static_cast<int>(length - i), splat(shift)), s, s);
  }
  sums += other;
}

// Calls whole(i) for each vector of a row, two at a time, and rest(i, count) for what is less than one. With
// `aligned`, where the outputs go past the caches, a first part comes before, so that all others are aligned.
template <class T, class Whole, class Rest>
NW_INLINE void over_vectors(const T* aligned, int64_t length, Whole whole, Rest rest) {
  int64_t i = 0;
  const auto past = reinterpret_cast<uintptr_t>(aligned) % (W * sizeof(T));
  if (past != 0 && length >= W) {
    i = static_cast<int64_t>(W - past / sizeof(T));
    rest(int64_t{0}, static_cast<int>(i));
  }
  for (; i + 2 * W <= length; i += 2 * W) {
    whole(i);
    whole(i + W);
  }
  if (i + W <= length) {
    whole(i);
    i += W;
  }
  if (i < length) rest(i, static_cast<int>(length - i));
}

template <class T, int ACT, bool RES>
NW_INLINE void row_forward(const T* x, const T* residual, T* y, int64_t length, const Affine& f, Activation kind,
                           bool streams) {
  const auto value = [&](vf v, vf r) { return activate<ACT>(RES ? f(v) + r : f(v), kind); };
  const auto at = [&](int64_t i) { return value(load(x + i), RES ? load(residual + i) : vf{}); };
  const auto rest = [&](int64_t i, int count) {
    const vf r = RES ? load(residual + i, count, vf{}) : vf{};
    store(y + i, value(load(x + i, count, f.hi), r), count);
  };
  if (streams) {
    over_vectors(y, length, [&](int64_t i) { stream(y + i, at(i)); }, rest);
  } else {
    over_vectors(static_cast<T*>(nullptr), length, [&](int64_t i) { store(y + i, at(i)); }, rest);
  }
}

template <class T, int ACT, bool RES>
void forward_planes(const Call& k) {
  const T* const x = static_cast<const T*>(k.x);
  const T* const residual = static_cast<const T*>(k.residual);
  T* const y = static_cast<T*>(k.y);
  std::vector<float> shifts(static_cast<size_t>(k.c));

  // The first stretch of real positions tells the shifts.
  int64_t first = 0, first_count = std::min<int64_t>(16, k.s);
  if (k.mask != nullptr && k.count > 0) {
    first = static_cast<const uint8_t*>(std::memchr(k.mask, 1, static_cast<size_t>(k.n * k.s))) - k.mask;
    first_count = std::min<int64_t>(16, k.s - first % k.s);
    const void* end = std::memchr(k.mask + first, 0, static_cast<size_t>(first_count));
    if (end != nullptr) first_count = static_cast<const uint8_t*>(end) - (k.mask + first);
  }
  const auto prepare = [&](int64_t c_begin, int64_t c_end) {
    for (int64_t c = c_begin; c < c_end && k.training && k.count > 0; ++c) {
      shifts[static_cast<size_t>(c)] = shift_of(x + (first / k.s * k.c + c) * k.s + first % k.s, first_count, 1);
    }
  };
  const auto reduce = [&](const Part& part, Sums* sums) {
    if (!k.training) return;
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      row_moments(x + at, length, k.c * k.s, shifts[static_cast<size_t>(part.c_begin + c)], sums[c]);
    };
    over_rows(k, part, false, row, [](int64_t, int64_t) {});
  };
  const auto finish = [&](int64_t c, double sum, double squares) {
    if (k.training) {
      finish_forward(k, c, shifts[static_cast<size_t>(c)], sum, squares);
    } else {
      use_running(k, c);
    }
  };
  const auto apply = [&](const Part& part) {
    Affine affine[MOST_CHANNELS];
    for (int64_t c = part.c_begin; c < part.c_end; ++c) affine[c - part.c_begin] = splat_affine(k, c);
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      row_forward<T, ACT, RES>(x + at, residual + (RES ? at : 0), y + at, length, affine[c], k.activation, k.stream);
    };
    over_rows(k, part, true, row, [&](int64_t at, int64_t length) { fill_zero(y + at, length); });
  };
  over_channels<T>(k, prepare, reduce, finish, apply);
}

// Sums of the gradient before the activation, and of it times the deviation. Where a residual was added, that
// gradient is kept in `kept`: it is the residual's, and the second pass reads it again.
template <class T, int ACT, bool RES, bool FROM_OUTPUT>
NW_INLINE void row_products(const T* x, const T* third, const T* grad, T* kept, int64_t length, int64_t ahead,
                            const Affine& f, double mean, Activation kind, Sums& sums) {
  const vd m = FROM_OUTPUT ? vd{} : splat(mean);
  Sums other;
  const auto add = [&](int64_t i, Sums& to) {
    prefetch(x + i + ahead);
    prefetch(grad + i + ahead);
    const vf v = load(x + i), d = deviation_of<FROM_OUTPUT>(f, v, kind);
    const vf g = gradient_of<ACT, RES, FROM_OUTPUT>(f, v, d, RES ? load(third + i) : vf{}, load(grad + i), kind);
    if constexpr (RES) store(kept + i, g);
    to.add_products(g, FROM_OUTPUT ? d : v, m, m);
  };
  int64_t i = 0;
  for (; i + 2 * W <= length; i += 2 * W) {
    add(i, sums);
    add(i + W, other);
  }
  if (i + W <= length) {
    add(i, other);
    i += W;
  }
  if (i < length) {
    const int count = static_cast<int>(length - i);
    const vi below = lanes_below(count);
    const vf v = load(x + i, count, f.hi), d = select(below, deviation_of<FROM_OUTPUT>(f, v, kind), vf{});
    const vf t = RES ? load(third + i, count, vf{}) : vf{};
    const vf g = select(
        below, gradient_of<ACT, RES, FROM_OUTPUT>(f, v, d, t, load(grad + i, count, vf{}), kind), vf{});
    if constexpr (RES) store(kept + i, g, count);
    // Lanes behind the end have no gradient.
    sums.add_products(g, FROM_OUTPUT ? d : v, m, m);
  }
  sums += other;
}

// From `grad`, which is the gradient before the activation already where a residual was added.
template <class T, int ACT, bool RES, bool FROM_OUTPUT>
NW_INLINE void row_backward(const T* x, const T* grad, T* grad_x, int64_t length, const Affine& f,
                            const Slopes& slopes, Activation kind, bool streams) {
  constexpr int LEFT = RES ? NONE : ACT;
  const auto value = [&](vf v, vf g) {
    const vf d = deviation_of<FROM_OUTPUT>(f, v, kind);
    return slopes(gradient_of<LEFT, false, FROM_OUTPUT>(f, v, d, vf{}, g, kind), d);
  };
  const auto at = [&](int64_t i) { return value(load(x + i), load(grad + i)); };
  const auto rest = [&](int64_t i, int count) {
    store(grad_x + i, value(load(x + i, count, f.hi), load(grad + i, count, vf{})), count);
  };
  if (streams) {
    over_vectors(grad_x, length, [&](int64_t i) { stream(grad_x + i, at(i)); }, rest);
  } else {
    over_vectors(static_cast<T*>(nullptr), length, [&](int64_t i) { store(grad_x + i, at(i)); }, rest);
  }
}

template <class T, int ACT, bool RES, bool FROM_OUTPUT>
void backward_planes(const Call& k) {
  const T* const x = static_cast<const T*>(k.x);
  const T* const third = static_cast<const T*>(k.third);
  const T* const grad_y = static_cast<const T*>(k.grad_y);
  T* const grad_x = static_cast<T*>(k.grad_x);
  T* const grad_residual = static_cast<T*>(k.grad_residual);
  T* const kept = RES ? (grad_residual ? grad_residual : grad_x) : nullptr;
  std::vector<float> slopes(static_cast<size_t>(3 * k.c));

  const auto affines = [&](const Part& part, Affine* affine) {
    for (int64_t c = part.c_begin; c < part.c_end; ++c) affine[c - part.c_begin] = splat_affine(k, c);
  };
  const auto reduce = [&](const Part& part, Sums* sums) {
    Affine affine[MOST_CHANNELS];
    affines(part, affine);
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      row_products<T, ACT, RES, FROM_OUTPUT>(x + at, third + (RES ? at : 0), grad_y + at, kept + (RES ? at : 0),
                                             length, k.c * k.s, affine[c], k.saved[part.c_begin + c],
                                             k.activation, sums[c]);
    };
    over_rows(k, part, false, row, [](int64_t, int64_t) {});
  };
  const auto finish = [&](int64_t c, double g, double gd) {
    finish_backward(k, c, g, gd, &slopes[static_cast<size_t>(c)], k.c);
  };
  const auto apply = [&](const Part& part) {
    Affine affine[MOST_CHANNELS];
    Slopes slope[MOST_CHANNELS];
    affines(part, affine);
    for (int64_t c = part.c_begin; c < part.c_end; ++c) {
      const float* p = &slopes[static_cast<size_t>(c)];
      slope[c - part.c_begin] = {splat(p[0]), splat(p[k.c]), splat(p[2 * k.c])};
    }
    const auto row = [&](int64_t at, int64_t length, int64_t c) {
      row_backward<T, ACT, RES, FROM_OUTPUT>(x + at, RES ? kept + at : grad_y + at, grad_x + at, length, affine[c],
                                             slope[c], k.activation, k.stream);
    };
    const auto padding = [&](int64_t at, int64_t length) {
      fill_zero(grad_x + at, length);
      if (grad_residual != nullptr) fill_zero(grad_residual + at, length);
    };
    over_rows(k, part, true, row, padding);
  };
  over_channels<T>(k, [](int64_t, int64_t) {}, reduce, finish, apply);
}

}  // namespace NW_ISA
