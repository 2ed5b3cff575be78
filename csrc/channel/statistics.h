// Statistics and parameters' gradients of channels, from their sums. The loops run over neighbouring channels, several
// of them in a vector. Pointers `sum` and `shift` are to the numbers of channel c_begin.
#pragma once

#include <cmath>

#include "channel/block.h"
#include "channel/origin.h"

namespace NW_ISA {

// Mean, variance, 1 / deviation and running statistics, from the sums of deviations from the shift and of their
// squares, which are overwritten.
inline void finish_forward(const Call& call, int64_t c_begin, int64_t c_end, const float* shift, ChannelSums sums) {
  const int64_t channels = c_end - c_begin;
  const double count = static_cast<double>(call.count), inverse_count = call.count > 0 ? 1.0 / count : 0.0;
  const double* const deviations = sums.values;
  double* const squares = sums.products;
  double* const mean = call.saved + c_begin;
  double* const inv_std = call.saved + call.c + c_begin;
  double* const var = squares;
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) {
    const double delta = deviations[i] * inverse_count, biased = squares[i] * inverse_count - delta * delta;
    mean[i] = static_cast<double>(shift[i]) + delta;
    var[i] = biased < 0 ? 0.0 : biased;
  }
  if (call.moments != nullptr) {
    for (int64_t i = 0; i < channels; ++i) {
      call.moments[c_begin + i] = mean[i];
      call.moments[call.c + c_begin + i] = var[i] * count;
    }
    return;
  }
#pragma GCC ivdep
  for (int64_t i = 0; i < channels; ++i) inv_std[i] = 1.0 / std::sqrt(var[i] + call.eps);
  if (call.count < 2) return;
  const double bessel = count / (count - 1), keep = 1 - call.momentum;
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

// Saves the running statistics as those that this call normalises with.
inline void use_running(const Call& call, int64_t c_begin, int64_t c_end) {
  for (int64_t c = c_begin; c < c_end; ++c) {
    call.saved[c] = static_cast<double>(call.running_mean[c]);
    call.saved[call.c + c] = 1.0 / std::sqrt(static_cast<double>(call.running_var[c]) + call.eps);
  }
}

// Gradients of weight and bias, from the sums of gradients and of their products with x - origin. The latter become
// products with x - mean.
template <class T, bool from_output>
void finish_backward(const Call& call, int64_t c_begin, int64_t c_end, ChannelSums sums) {
  const double* const mean = call.saved + c_begin;
  const double* const inv_std = call.saved + call.c + c_begin;
  const double* const gradients = sums.values;
  double* const products = sums.products;
  float* const grad_weight = call.grad_weight + c_begin;
  float* const grad_bias = call.grad_bias + c_begin;
#pragma GCC ivdep
  for (int64_t i = 0; i < c_end - c_begin; ++i) {
    const double remainder = from_output ? 0.0 : mean_remainder<T>(mean[i]);
    const double product = products[i] - remainder * gradients[i];
    products[i] = product;
    grad_weight[i] = static_cast<float>(product * inv_std[i]);
    grad_bias[i] = static_cast<float>(gradients[i]);
  }
}

}  // namespace NW_ISA
