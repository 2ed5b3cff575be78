// What belongs to a channel: statistics from sums, and what the elements are normalised with. All of these loops run
// over neighbouring channels, several of them in a vector.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "activation.h"

namespace NW_ISA {

// y = act((x - hi) * scale + bias). The mean is hi + lo: where it is far larger than the deviation, a float alone
// would miss it by more than y's last digit, so `bias` takes care of lo. Splatted, or a vector of channels.
struct Affine {
  vf hi, scale, bias;

  NW_INLINE vf deviation(vf x) const { return x - hi; }
  NW_INLINE vf from_deviation(vf d) const { return multiply_add(d, scale, bias); }
  NW_INLINE vf operator()(vf x) const { return from_deviation(deviation(x)); }
};

// grad_x = a * g - (b * d + c), where d is x - hi.
struct Slopes {
  vf a, b, c;

  NW_INLINE vf operator()(vf g, vf d) const { return multiply_add(a, g, -multiply_add(b, d, c)); }
};

NW_INLINE float value_of(const float* p) { return *p; }
NW_INLINE float value_of(const bf16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Rows, and elements of each, that tell the shift: what squares are taken around. Any finite number is right; one far
// off costs digits. They are from all over the channel, so that neither an outlier nor an unusual beginning decides.
constexpr int64_t SAMPLED_ROWS = 4, SAMPLED = 4;

// What deviations of T are taken from, near to `value`. In bfloat16 it has as many bits as the elements, which keeps
// deviations, their squares and their products with gradients exact.
template <class T>
NW_INLINE float origin_of(double value) {
  float origin = static_cast<float>(value);
  if constexpr (std::is_same_v<T, bf16>) {
    uint32_t bits;
    std::memcpy(&bits, &origin, sizeof bits);
    bits &= 0xffff0000u;
    std::memcpy(&origin, &bits, sizeof bits);
  }
  return origin;
}

template <class T>
NW_INLINE float shift_from(double total, int64_t count) {
  const float shift = origin_of<T>(total / static_cast<double>(count));
  return shift - shift == 0 ? shift : 0.0f;
}

// Of a channel of contiguous (n, c, s).
template <class T>
float shift_of(const Call& k, int64_t channel) {
  const T* const x = static_cast<const T*>(k.x) + channel * k.s;
  double total = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < std::min(SAMPLED_ROWS, k.n); ++i) {
    const int64_t n = k.n * i / std::min(SAMPLED_ROWS, k.n);
    for (int64_t j = 0; j < std::min(SAMPLED, k.s); ++j) {
      const int64_t s = k.s * j / std::min(SAMPLED, k.s);
      if (k.mask != nullptr && k.mask[n * k.s + s] == 0) continue;
      total += static_cast<double>(value_of(x + n * k.c * k.s + s));
      ++count;
    }
  }
  if (count == 0 && k.count > 0) {
    // All of them are padding; some other position is real.
    const int64_t at = static_cast<const uint8_t*>(std::memchr(k.mask, 1, static_cast<size_t>(k.n * k.s))) - k.mask;
    total = static_cast<double>(value_of(x + at / k.s * k.c * k.s + at % k.s));
  }
  return shift_from<T>(total, std::max<int64_t>(count, 1));
}

// Of channels that stand last.
template <class T>
void shifts_of(const Call& k, int64_t begin, int64_t end, float* shift) {
  const T* const x = static_cast<const T*>(k.x);
  const int64_t rows = k.n * k.s;
  const T* row[SAMPLED_ROWS];
  for (int64_t i = 0; i < SAMPLED_ROWS; ++i) {
    int64_t at = rows * i / SAMPLED_ROWS;
    if (k.mask != nullptr && k.count > 0) {
      const void* real = std::memchr(k.mask + at, 1, static_cast<size_t>(rows - at));
      if (real == nullptr) real = std::memchr(k.mask, 1, static_cast<size_t>(rows));
      at = static_cast<const uint8_t*>(real) - k.mask;
    }
    row[i] = x + at * k.c;
  }
  for (int64_t c = begin; c < end; ++c) {
    double total = 0;
    for (const T* p : row) total += static_cast<double>(value_of(p + c));
    shift[c - begin] = shift_from<T>(total, SAMPLED_ROWS);
  }
}

// Statistics of channels from the sums of deviations from the shift, and of their squares, which are overwritten:
// pointers are to what belongs to channel `begin`.
inline void finish_forward(const Call& k, int64_t begin, int64_t end, const float* shift, const double* sum,
                           double* squares) {
  const int64_t channels = end - begin;
  const double count = static_cast<double>(k.count), part = k.count > 0 ? 1.0 / count : 0.0;
  double* const mean = k.saved + begin;
  double* const inv_std = k.saved + k.c + begin;
  double* const var = squares;
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) {
    const double delta = sum[i] * part, found = squares[i] * part - delta * delta;
    mean[i] = static_cast<double>(shift[i]) + delta;
    var[i] = found < 0 ? 0.0 : found;
  }
  if (k.moments != nullptr) {
    for (int64_t i = 0; i < channels; ++i) {
      k.moments[begin + i] = mean[i];
      k.moments[k.c + begin + i] = var[i] * count;
    }
    return;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) inv_std[i] = 1.0 / std::sqrt(var[i] + k.eps);
  if (k.count < 2) return;
  const double bessel = count / (count - 1), keep = 1 - k.momentum;
  if (k.batch != nullptr) {
    for (int64_t i = 0; i < channels; ++i) {
      k.batch[begin + i] = mean[i];
      k.batch[k.c + begin + i] = var[i] * bessel;
    }
  }
  if (k.running_mean != nullptr) {
    float* const running = k.running_mean + begin;
#pragma GCC ivdep
    for (int64_t i = 0; i < channels; ++i) {
      running[i] = static_cast<float>(keep * static_cast<double>(running[i]) + k.momentum * mean[i]);
    }
  }
  if (k.running_var != nullptr) {
    float* const running = k.running_var + begin;
#pragma GCC ivdep
    for (int64_t i = 0; i < channels; ++i) {
      running[i] = static_cast<float>(keep * static_cast<double>(running[i]) + k.momentum * (var[i] * bessel));
    }
  }
}

// The lo of Affine. An infinite mean has none.
template <class T>
NW_INLINE double rest_of(double mean) {
  const double lo = mean - static_cast<double>(origin_of<T>(mean));
  return lo - lo == 0 ? lo : 0.0;
}

inline void use_running(const Call& k, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; ++c) {
    k.saved[c] = static_cast<double>(k.running_mean[c]);
    k.saved[k.c + c] = 1.0 / std::sqrt(static_cast<double>(k.running_var[c]) + k.eps);
  }
}

// What Affine holds of channels: hi at p, scale at p + step, bias at p + 2 step.
template <class T>
void affine_of(const Call& k, int64_t begin, int64_t end, float* p, int64_t step) {
  const double* const mean = k.saved + begin;
  const double* const inv_std = k.saved + k.c + begin;
  const float* const weight = k.weight ? k.weight + begin : nullptr;
  const float* const bias = k.bias ? k.bias + begin : nullptr;
#pragma GCC ivdep
  for (int64_t i = 0; i < end - begin; ++i) {
    const double scale = (weight ? static_cast<double>(weight[i]) : 1.0) * inv_std[i];
    p[i] = origin_of<T>(mean[i]);
    p[step + i] = static_cast<float>(scale);
    p[2 * step + i] = static_cast<float>((bias ? static_cast<double>(bias[i]) : 0.0) - rest_of<T>(mean[i]) * scale);
  }
}

// The same where the output took the input's place: the deviation is (z - bias) / scale, so hi is the bias, and
// scale its inverse. See deviation_of.
inline void inverse_of(const Call& k, int64_t begin, int64_t end, float* p, int64_t step) {
  for (int64_t c = begin; c < end; ++c) {
    const double weight = k.weight ? static_cast<double>(k.weight[c]) : 1.0;
    p[c - begin] = k.bias ? k.bias[c] : 0.0f;
    p[step + c - begin] = static_cast<float>(1.0 / (weight * k.saved[k.c + c]));
    p[2 * step + c - begin] = 0.0f;
  }
}

// Gradients of weight and bias from sums of g and of g * (x - hi), which become those of g * (x - mean).
template <class T, bool FROM_OUTPUT>
void finish_backward(const Call& k, int64_t begin, int64_t end, const double* g, double* gd) {
  const double* const mean = k.saved + begin;
  const double* const inv_std = k.saved + k.c + begin;
  float* const grad_weight = k.grad_weight + begin;
  float* const grad_bias = k.grad_bias + begin;
#pragma GCC ivdep
  for (int64_t i = 0; i < end - begin; ++i) {
    const double lo = FROM_OUTPUT ? 0.0 : rest_of<T>(mean[i]);
    const double found = gd[i] - lo * g[i];
    gd[i] = found;
    grad_weight[i] = static_cast<float>(found * inv_std[i]);
    grad_bias[i] = static_cast<float>(g[i]);
  }
}

// What Slopes holds of channels: a at p, b at p + step, c at p + 2 step.
template <class T, bool FROM_OUTPUT>
void slopes_of(const Call& k, int64_t begin, int64_t end, const double* g, const double* gd, float* p, int64_t step) {
  // One position alone is its own mean: nothing depends on it. In evaluation the statistics are constants.
  const double part = k.training && k.count > 1 ? 1.0 / static_cast<double>(k.count) : 0.0;
  const double alone = k.training && k.count < 2 ? 0.0 : 1.0;
  const double* const mean = k.saved + begin;
  const double* const inv_std = k.saved + k.c + begin;
  const float* const weight = k.weight ? k.weight + begin : nullptr;
#pragma GCC ivdep
  for (int64_t i = 0; i < end - begin; ++i) {
    const double scale = (weight ? static_cast<double>(weight[i]) : 1.0) * inv_std[i];
    const double b = part != 0 ? scale * inv_std[i] * inv_std[i] * gd[i] * part : 0.0;
    const double rest = FROM_OUTPUT ? 0.0 : b * rest_of<T>(mean[i]);
    p[i] = static_cast<float>(scale * alone);
    p[step + i] = static_cast<float>(b);
    p[2 * step + i] = part != 0 ? static_cast<float>(scale * g[i] * part - rest) : 0.0f;
  }
}

}  // namespace NW_ISA
