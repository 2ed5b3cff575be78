// What forward and backward do with vectors and with the positions of a row.
#pragma once

#include <cmath>

#include "activation.h"

namespace NW_ISA {

// Two sums per lane, in double: of the values and of their squares, or of gradients and gradients times
// deviations. `low` and `high` are the halves of a vector of floats.
struct Sums {
  vd low_a{}, high_a{}, low_b{}, high_b{};

  // x and x^2 of x - shift: subtracting in double loses nothing, whatever the mean.
  NW_INLINE void add_moments(vf x, vd shift_low, vd shift_high) {
    const vd l = low(x) - shift_low, h = high(x) - shift_high;
    low_a += l;
    high_a += h;
    low_b += l * l;
    high_b += h * h;
  }

  // g and g (x - mean), in double, too: their sum is often far smaller than what is added.
  NW_INLINE void add_products(vf g, vf x, vd mean_low, vd mean_high) {
    const vd l = low(g), h = high(g);
    low_a += l;
    high_a += h;
    low_b += l * (low(x) - mean_low);
    high_b += h * (high(x) - mean_high);
  }

  NW_INLINE void operator+=(const Sums& other) {
    low_a += other.low_a;
    high_a += other.high_a;
    low_b += other.low_b;
    high_b += other.high_b;
  }

  NW_INLINE double total_a() const { return sum(low_a + high_a); }
  NW_INLINE double total_b() const { return sum(low_b + high_b); }
};

// y = act(((x - hi) - lo) * scale + bias). The mean is hi + lo: where it is far larger than the deviation, a
// float alone would miss it by more than y's last digit. Splatted, or a vector of channels.
struct Affine {
  vf hi, lo, scale, bias;

  NW_INLINE vf deviation(vf x) const { return (x - hi) - lo; }
  NW_INLINE vf operator()(vf x) const { return deviation(x) * scale + bias; }
};

// grad_x = a * g - (b * d + c).
struct Slopes {
  vf a, b, c;

  NW_INLINE vf operator()(vf g, vf d) const { return a * g - (b * d + c); }
};

// Calls real(begin, end) for stretches of real positions of a row, padding(begin, end) for the others.
template <class Real, class Padding>
NW_INLINE void stretches(const uint8_t* mask, int64_t length, Real real, Padding padding) {
  if (mask == nullptr) {
    real(int64_t{0}, length);
    return;
  }
  for (int64_t begin = 0; begin < length;) {
    const bool is_real = mask[begin] != 0;
    const void* change = std::memchr(mask + begin, is_real ? 0 : 1, static_cast<size_t>(length - begin));
    const int64_t end = change ? static_cast<const uint8_t*>(change) - mask : length;
    if (is_real) {
      real(begin, end);
    } else {
      padding(begin, end);
    }
    begin = end;
  }
}

struct Nothing {
  NW_INLINE void operator()(int64_t, int64_t) const {}
};

template <class T>
NW_INLINE void fill_zero(T* p, int64_t count) {
  if (p != nullptr) std::memset(static_cast<void*>(p), 0, static_cast<size_t>(count) * sizeof(T));
}

NW_INLINE float value_of(const float* p) { return *p; }
NW_INLINE float value_of(const bf16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// A value near the mean that all sums are shifted by: the mean of a few elements, so that an outlier among them
// can't be it. Any finite number is right; one far off costs digits.
template <class T>
inline float shift_of(const T* x, int64_t count, int64_t stride) {
  double total = 0;
  for (int64_t i = 0; i < count; ++i) total += value_of(x + i * stride);
  const float shift = static_cast<float>(total / static_cast<double>(count > 0 ? count : 1));
  return std::isfinite(shift) ? shift : 0.0f;
}

// Batch statistics of a channel from its sums, and what follows from them.
inline void finish_forward(const Call& k, int64_t channel, double shift, double sum, double squares) {
  const double count = static_cast<double>(k.count);
  const double delta = k.count > 0 ? sum / count : 0.0;
  const double mean = k.count > 0 ? shift + delta : 0.0;
  double var = k.count > 0 ? (squares - sum * delta) / count : 0.0;
  if (var < 0) var = 0;
  k.saved[channel] = mean;
  k.saved[k.c + channel] = 1.0 / std::sqrt(var + k.eps);
  if (k.count < 2) return;
  const double unbiased = var * (count / (count - 1));
  if (k.batch != nullptr) {
    k.batch[channel] = mean;
    k.batch[k.c + channel] = unbiased;
  }
  if (k.running_mean != nullptr) {
    float& running = k.running_mean[channel];
    running = static_cast<float>((1 - k.momentum) * running + k.momentum * mean);
  }
  if (k.running_var != nullptr) {
    float& running = k.running_var[channel];
    running = static_cast<float>((1 - k.momentum) * running + k.momentum * unbiased);
  }
}

inline void use_running(const Call& k, int64_t channel) {
  k.saved[channel] = k.running_mean[channel];
  k.saved[k.c + channel] = 1.0 / std::sqrt(static_cast<double>(k.running_var[channel]) + k.eps);
}

// hi, lo, scale and bias of a channel, to p[0], p[step], p[2 step] and p[3 step].
inline void affine_of(const Call& k, int64_t channel, float* p, int64_t step) {
  const double mean = k.saved[channel], inv_std = k.saved[k.c + channel];
  const double weight = k.weight ? k.weight[channel] : 1.0;
  const float bias = k.bias ? k.bias[channel] : 0.0f;
  if (k.from_output) {
    // d = (z - bias) / scale, with z from the output; see deviation_of.
    p[0] = bias;
    p[step] = static_cast<float>(1.0 / (weight * inv_std));
  } else {
    p[0] = static_cast<float>(mean);
    // An infinite mean has no rest.
    p[step] = std::isfinite(p[0]) ? static_cast<float>(mean - p[0]) : 0.0f;
  }
  p[2 * step] = static_cast<float>(weight * inv_std);
  p[3 * step] = bias;
}

// Gradients of weight and bias from the sums of g and g * d; a, b and c of Slopes as affine_of stores its own.
inline void finish_backward(const Call& k, int64_t channel, double g, double gd, float* p, int64_t step) {
  const double inv_std = k.saved[k.c + channel];
  const double weight = k.weight ? k.weight[channel] : 1.0;
  const double scale = weight * inv_std;
  const double count = static_cast<double>(k.count > 0 ? k.count : 1);
  if (k.grad_bias) k.grad_bias[channel] = static_cast<float>(g);
  if (k.grad_weight) k.grad_weight[channel] = static_cast<float>(gd * inv_std);
  // One position alone is its own mean: nothing depends on it.
  p[0] = k.training && k.count < 2 ? 0.0f : static_cast<float>(scale);
  p[step] = k.training && k.count > 1 ? static_cast<float>(scale * inv_std * inv_std * gd / count) : 0.0f;
  p[2 * step] = k.training && k.count > 1 ? static_cast<float>(scale * g / count) : 0.0f;
}

// x - mean, where the output took the place of the input, is (z - bias) / scale, and z follows from the output
// (Rota Bulo et al. 2018, section 3.1).
template <bool FROM_OUTPUT>
NW_INLINE vf deviation_of(const Affine& f, vf x, Activation kind) {
  if constexpr (FROM_OUTPUT) {
    const vf z = kind == Activation::leaky_relu ? (x > vf{} ? x : x * splat(100.0f)) : x;
    return (z - f.hi) * f.lo;
  } else {
    return f.deviation(x);
  }
}

// The gradient before the activation. `third` is the output of a ReLU, the residual of any other activation.
template <int ACT, bool RES, bool FROM_OUTPUT>
NW_INLINE vf gradient_of(const Affine& f, vf x, vf d, vf third, vf grad, Activation kind) {
  if constexpr (ACT == NONE) {
    return grad;
  } else if constexpr (FROM_OUTPUT) {
    return backward_of<ACT>(x, grad, kind);  // which has the sign of z
  } else if constexpr (RES && ACT == RELU) {
    return backward_of<ACT>(third, grad, kind);
  } else if constexpr (RES) {
    return backward_of<ACT>(d * f.scale + f.bias + third, grad, kind);
  } else {
    return backward_of<ACT>(d * f.scale + f.bias, grad, kind);
  }
}

}  // namespace NW_ISA
