// Statistics and parameters' gradients of channels, from their sums. The loops run over neighbouring channels, several
// of them in a vector. Pointers `sum` and `shift` are to the numbers of channel c_begin.
#pragma once

#include <algorithm>
#include <cmath>

#include "channel/block.h"
#include "channel/origin.h"

namespace NW_ISA {

// 1 / deviation and running statistics of channels, from their means, which are in `saved`, and biased variances.
inline void use_moments(const Call& call, int64_t c_begin, int64_t c_end, const double* var) {
  const int64_t channels = c_end - c_begin;
  const double* const mean = call.saved + c_begin;
  double* const inv_std = call.saved + call.c + c_begin;
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) inv_std[i] = 1.0 / std::sqrt(var[i] + call.eps);
  if (call.count < 2) return;
  const double count = static_cast<double>(call.count), bessel = count / (count - 1), keep = 1 - call.momentum;
  if (call.batch != nullptr) {
    for (int64_t i = 0; i < channels; ++i) {
      call.batch[c_begin + i] = mean[i];
      call.batch[call.c + c_begin + i] = var[i] * bessel;
    }
  }
  if (call.running_mean != nullptr) {
    float* const running = call.running_mean + c_begin;
#pragma GCC ivdep
    for (int64_t i = 0; i < channels; ++i) {
      running[i] = static_cast<float>(keep * static_cast<double>(running[i]) + call.momentum * mean[i]);
    }
  }
  if (call.running_var != nullptr) {
    float* const running = call.running_var + c_begin;
#pragma GCC ivdep
    for (int64_t i = 0; i < channels; ++i) {
      running[i] = static_cast<float>(keep * static_cast<double>(running[i]) + call.momentum * (var[i] * bessel));
    }
  }
}

// The same from moments, of one call or merged from several.
inline void finish_moments(const Call& call) {
  std::copy_n(call.moments, call.c, call.saved);
  use_moments(call, 0, call.c, call.moments + call.c);
}

// Mean, variance, 1 / deviation and running statistics, from the sums of deviations from the shift and of their
// squares, which are overwritten.
inline void finish_forward(const Call& call, int64_t c_begin, int64_t c_end, const float* shift, ChannelSums sums) {
  const int64_t channels = c_end - c_begin;
  const double inverse_count = call.count > 0 ? 1.0 / static_cast<double>(call.count) : 0.0;
  const double* const deviations = sums.values;
  double* const squares = sums.products;
  double* const mean = call.saved + c_begin;
  double* const var = squares;
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) {
    const double delta = deviations[i] * inverse_count, biased = squares[i] * inverse_count - delta * delta;
    mean[i] = static_cast<double>(shift[i]) + delta;
    var[i] = biased < 0 ? 0.0 : biased;
  }
  if (call.moments != nullptr) {
    std::copy_n(mean, channels, call.moments + c_begin);
    std::copy_n(var, channels, call.moments + call.c + c_begin);
  }
  if (call.stage == Stage::all) use_moments(call, c_begin, c_end, var);
}

// Saves the running statistics as those that this call normalises with.
inline void use_running(const Call& call, int64_t c_begin, int64_t c_end) {
  for (int64_t c = c_begin; c < c_end; ++c) {
    call.saved[c] = static_cast<double>(call.running_mean[c]);
    call.saved[call.c + c] = 1.0 / std::sqrt(static_cast<double>(call.running_var[c]) + call.eps);
  }
}

// Gradients of weight and bias, from the sums of gradients and of their products with x - origin; then those of mean
// and variance, which take the place of the sums. In the stage `apply` these are given.
template <class T, bool from_output>
void finish_backward(const Call& call, int64_t c_begin, int64_t c_end, ChannelSums sums) {
  const int64_t channels = c_end - c_begin;
  const double* const mean = call.saved + c_begin;
  const double* const inv_std = call.saved + call.c + c_begin;
  const float* const weight = call.weight ? call.weight + c_begin : nullptr;
  double* const gradients = sums.values;
  double* const products = sums.products;
  if (call.stage == Stage::apply) {
    std::copy_n(call.grad_moments + c_begin, channels, gradients);
    std::copy_n(call.grad_moments + call.c + c_begin, channels, products);
    return;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) {
    const double remainder = from_output ? 0.0 : mean_remainder<T>(mean[i]);
    products[i] = (products[i] - remainder * gradients[i]) * inv_std[i];
  }
  for (int64_t i = 0; call.grad_weight != nullptr && i < channels; ++i) {
    call.grad_weight[c_begin + i] = static_cast<float>(products[i]);
  }
  for (int64_t i = 0; call.grad_bias != nullptr && i < channels; ++i) {
    call.grad_bias[c_begin + i] = static_cast<float>(gradients[i]);
  }
  if (call.grad_parameters != nullptr) {
    std::copy_n(products, channels, call.grad_parameters + c_begin);
    std::copy_n(gradients, channels, call.grad_parameters + call.c + c_begin);
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) {
    const double scale = (weight ? static_cast<double>(weight[i]) : 1.0) * inv_std[i];
    gradients[i] *= -scale;
    products[i] *= -0.5 * scale * inv_std[i];
  }
  if (call.grad_moments != nullptr) {
    std::copy_n(gradients, channels, call.grad_moments + c_begin);
    std::copy_n(products, channels, call.grad_moments + call.c + c_begin);
  }
}

}  // namespace NW_ISA
