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

// Rows, and elements of each, that tell the shift, which squares are taken around. Any finite number is right; one near
// the mean saves work. They are from all over the channel, so that an unusual beginning does not decide.
constexpr int64_t SAMPLED_ROWS = 4, SAMPLED = 4;

NW_INLINE float shift_from(double total, int64_t count) {
  const float shift = static_cast<float>(total / static_cast<double>(count));
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
  return shift_from(total, count > 0 ? count : 1);
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
    shift[c - begin] = shift_from(total, SAMPLED_ROWS);
  }
}

// Mean and biased variance of a channel in double, one element after the other.
template <class T>
void exact_moments(const Call& k, int64_t channel, double& mean, double& var) {
  const T* const x = static_cast<const T*>(k.x);
  const int64_t positions = k.n * k.s;
  const auto over = [&](auto add) {
    for (int64_t i = 0; i < positions; ++i) {
      if (k.mask != nullptr && k.mask[i] == 0) continue;
      const int64_t at = k.channels_last ? i * k.c + channel : (i / k.s * k.c + channel) * k.s + i % k.s;
      add(static_cast<double>(value_of(x + at)));
    }
  };
  double total = 0, squares = 0, rest = 0;
  over([&](double value) { total += value; });
  mean = total / static_cast<double>(k.count);
  over([&](double value) {
    rest += value - mean;
    squares += (value - mean) * (value - mean);
  });
  var = (squares - rest * rest / static_cast<double>(k.count)) / static_cast<double>(k.count);
  mean += rest / static_cast<double>(k.count);
}

// Statistics of channels from their sums, which are overwritten: pointers are to what belongs to channel `begin`.
template <class T>
void finish_forward(const Call& k, int64_t begin, int64_t end, const float* shift, double* sum, double* squares) {
  constexpr bool SHIFTED = std::is_same_v<T, bf16>;
  const int64_t channels = end - begin;
  const double count = static_cast<double>(k.count), part = k.count > 0 ? 1.0 / count : 0.0;
  double* const mean = k.saved + begin;
  double* const inv_std = k.saved + k.c + begin;
  double* const var = squares;
  int64_t doubtful = 0;
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) {
    const double origin = static_cast<double>(shift[i]);
    const double delta = SHIFTED ? sum[i] * part : sum[i] * part - origin;
    const double found = squares[i] * part - delta * delta;
    mean[i] = SHIFTED ? origin + delta : sum[i] * part;
    // Far from the shift, squares in float would lose digits to cancellation; and they may have overflowed, which
    // makes a NaN here.
    doubtful += delta * delta + 0 * squares[i] <= 4 * found ? 0 : 1;
    var[i] = found > 0 ? found : 0.0;
  }
  for (int64_t i = 0; i < channels && doubtful > 0 && k.count > 0; ++i) {
    const double delta = mean[i] - static_cast<double>(shift[i]);
    if (!(delta * delta <= 4 * var[i]) || !(var[i] <= 1e300)) exact_moments<T>(k, begin + i, mean[i], var[i]);
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
inline double rest_of(double mean) {
  const double lo = mean - static_cast<double>(static_cast<float>(mean));
  return lo - lo == 0 ? lo : 0.0;
}

inline void use_running(const Call& k, int64_t begin, int64_t end) {
  for (int64_t c = begin; c < end; ++c) {
    k.saved[c] = static_cast<double>(k.running_mean[c]);
    k.saved[k.c + c] = 1.0 / std::sqrt(static_cast<double>(k.running_var[c]) + k.eps);
  }
}

// What Affine holds of channels: hi at p, scale at p + step, bias at p + 2 step.
inline void affine_of(const Call& k, int64_t begin, int64_t end, float* p, int64_t step) {
  const double* const mean = k.saved + begin;
  const double* const inv_std = k.saved + k.c + begin;
  const float* const weight = k.weight ? k.weight + begin : nullptr;
  const float* const bias = k.bias ? k.bias + begin : nullptr;
#pragma GCC ivdep
  for (int64_t i = 0; i < end - begin; ++i) {
    const double scale = (weight ? static_cast<double>(weight[i]) : 1.0) * inv_std[i];
    p[i] = static_cast<float>(mean[i]);
    p[step + i] = static_cast<float>(scale);
    p[2 * step + i] = static_cast<float>((bias ? static_cast<double>(bias[i]) : 0.0) - rest_of(mean[i]) * scale);
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
template <bool FROM_OUTPUT>
void finish_backward(const Call& k, int64_t begin, int64_t end, const double* g, double* gd) {
  const double* const mean = k.saved + begin;
  const double* const inv_std = k.saved + k.c + begin;
  float* const grad_weight = k.grad_weight + begin;
  float* const grad_bias = k.grad_bias + begin;
#pragma GCC ivdep
  for (int64_t i = 0; i < end - begin; ++i) {
    const double lo = FROM_OUTPUT ? 0.0 : rest_of(mean[i]);
    const double found = gd[i] - lo * g[i];
    gd[i] = found;
    grad_weight[i] = static_cast<float>(found * inv_std[i]);
    grad_bias[i] = static_cast<float>(g[i]);
  }
}

// What Slopes holds of channels: a at p, b at p + step, c at p + 2 step.
template <bool FROM_OUTPUT>
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
    const double rest = FROM_OUTPUT ? 0.0 : b * rest_of(mean[i]);
    p[i] = static_cast<float>(scale * alone);
    p[step + i] = static_cast<float>(b);
    p[2 * step + i] = part != 0 ? static_cast<float>(scale * g[i] * part - rest) : 0.0f;
  }
}

}  // namespace NW_ISA
