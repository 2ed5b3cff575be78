// The three numbers of a channel that an element is normalised with, and the three that its gradient is made with. Both
// are computed in double and rounded once. They are written as three arrays over channels, `stride` apart, and the
// loops run over neighbouring channels, several of them in a vector.
#pragma once

#include "channel/block.h"
#include "channel/origin.h"
#include "vectors/double_halves.h"

namespace NW_ISA {

// y = act((x - origin) * scale + bias): a vector of channels, or the same number in all lanes. The mean is the origin
// and a remainder: where it is far larger than the deviation, a float alone would miss it by more than y's last digit,
// so `bias` contains -remainder * scale.
struct Affine {
  FloatVec origin, scale, bias;

  NW_INLINE FloatVec deviation(FloatVec x) const { return x - origin; }
  NW_INLINE FloatVec from_deviation(FloatVec d) const { return multiply_add(d, scale, bias); }
  NW_INLINE FloatVec operator()(FloatVec x) const { return from_deviation(deviation(x)); }
};

// grad_x = of_gradient * g - (of_deviation * d + constant), where d is x - origin.
struct InputGradient {
  FloatVec of_gradient, of_deviation, constant;

  NW_INLINE FloatVec operator()(FloatVec g, FloatVec d) const {
    return multiply_add(of_gradient, g, -multiply_add(of_deviation, d, constant));
  }
};

// Writes Affine's numbers of the channels: origin at `to`, scale at to + stride, bias at to + 2 stride.
template <class T>
void affine_of(const Call& call, int64_t c_begin, int64_t c_end, float* to, int64_t stride) {
  const double* const mean = call.saved + c_begin;
  const double* const inv_std = call.saved + call.c + c_begin;
  const float* const weight = call.weight ? call.weight + c_begin : nullptr;
  const float* const bias = call.bias ? call.bias + c_begin : nullptr;
#pragma GCC ivdep
  for (int64_t i = 0; i < c_end - c_begin; ++i) {
    const double scale = (weight ? static_cast<double>(weight[i]) : 1.0) * inv_std[i];
    const double beta = bias ? static_cast<double>(bias[i]) : 0.0;
    to[i] = origin_of<T>(mean[i]);
    to[stride + i] = static_cast<float>(scale);
    to[2 * stride + i] = static_cast<float>(beta - mean_remainder<T>(mean[i]) * scale);
  }
}

// The same for a backward pass where the output took the input's place: the deviation is (z - bias) / scale, so here
// the origin is the bias, and the scale its inverse. See deviation_of in gradient.h.
inline void inverse_affine_of(const Call& call, int64_t c_begin, int64_t c_end, float* to, int64_t stride) {
  for (int64_t c = c_begin; c < c_end; ++c) {
    const double weight = call.weight ? static_cast<double>(call.weight[c]) : 1.0;
    to[c - c_begin] = call.bias ? call.bias[c] : 0.0f;
    to[stride + c - c_begin] = static_cast<float>(1.0 / (weight * call.saved[call.c + c]));
    to[2 * stride + c - c_begin] = 0.0f;
  }
}

// Writes InputGradient's numbers of the channels, from the gradients of mean and variance, as finish_backward leaves
// them.
template <class T, bool from_output>
void input_gradient_of(const Call& call, int64_t c_begin, int64_t c_end, ChannelSums sums, float* to, int64_t stride) {
  // One position alone is its own mean: nothing depends on it. In evaluation the statistics are constants.
  const double inverse_count = call.training && call.count > 1 ? 1.0 / static_cast<double>(call.count) : 0.0;
  const double depends = call.training && call.count < 2 ? 0.0 : 1.0;
  const double* const mean = call.saved + c_begin;
  const double* const inv_std = call.saved + call.c + c_begin;
  const float* const weight = call.weight ? call.weight + c_begin : nullptr;
  const double* const of_mean = sums.values;
  const double* const of_variance = sums.products;
#pragma GCC ivdep
  for (int64_t i = 0; i < c_end - c_begin; ++i) {
    const double scale = (weight ? static_cast<double>(weight[i]) : 1.0) * inv_std[i];
    const double slope = inverse_count != 0 ? -2 * of_variance[i] * inverse_count : 0.0;
    const double moved = from_output ? 0.0 : slope * mean_remainder<T>(mean[i]);
    to[i] = static_cast<float>(scale * depends);
    to[stride + i] = static_cast<float>(slope);
    to[2 * stride + i] = inverse_count != 0 ? static_cast<float>(-of_mean[i] * inverse_count - moved) : 0.0f;
  }
}

}  // namespace NW_ISA
