// The same Call computed by the plain formulas: one element at a time, in double, on one thread. Nothing but what it
// computes matters here; smoke_test.cpp holds the kernels to it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "call.h"

namespace reference {

inline double get(const Call& call, const void* array, int64_t i) {
  if (!call.bfloat16) return static_cast<double>(static_cast<const float*>(array)[i]);
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(array)[i]) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return static_cast<double>(value);
}

inline void set(const Call& call, void* array, int64_t i, double exact) {
  const float value = static_cast<float>(exact);
  if (!call.bfloat16) {
    static_cast<float*>(array)[i] = value;
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  static_cast<uint16_t*>(array)[i] = static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Calls element(i, real) for all elements of a channel, i being the place in memory.
template <class Element>
void over_channel(const Call& call, int64_t c, Element element) {
  for (int64_t n = 0; n < call.n; ++n) {
    for (int64_t s = 0; s < call.s; ++s) {
      const int64_t position = n * call.s + s;
      const int64_t i = call.channels_last ? position * call.c + c : (n * call.c + c) * call.s + s;
      element(i, call.mask == nullptr || call.mask[position] != 0);
    }
  }
}

inline double sigmoid(double z) { return 1 / (1 + std::exp(-z)); }
inline double gaussian_cdf(double z) { return std::erfc(-z * std::sqrt(0.5)) / 2; }

inline double activate(double z, Activation kind) {
  switch (kind) {
    case Activation::relu:
      return std::max(z, 0.0);
    case Activation::relu6:
      return std::clamp(z, 0.0, 6.0);
    case Activation::leaky_relu:
      return z > 0 ? z : 0.01 * z;
    case Activation::elu:
      return z > 0 ? z : std::expm1(z);
    case Activation::gelu:
      return z * gaussian_cdf(z);
    case Activation::silu:
      return z * sigmoid(z);
    case Activation::hardswish:
      return z * std::clamp(z + 3, 0.0, 6.0) / 6;
    case Activation::sigmoid:
      return sigmoid(z);
    case Activation::tanh:
      return std::tanh(z);
    default:
      return z;
  }
}

inline double derivative(double z, Activation kind) {
  switch (kind) {
    case Activation::relu:
      return z > 0 ? 1 : 0;
    case Activation::relu6:
      return z > 0 && z < 6 ? 1 : 0;
    case Activation::leaky_relu:
      return z > 0 ? 1 : 0.01;
    case Activation::elu:
      return z > 0 ? 1 : std::exp(z);
    case Activation::gelu:
      return gaussian_cdf(z) + z * std::exp(-z * z / 2) / std::sqrt(8 * std::atan(1.0));
    case Activation::silu:
      return sigmoid(z) * (1 + z * (1 - sigmoid(z)));
    case Activation::hardswish:
      return z <= -3 ? 0 : (z < 3 ? z / 3 + 0.5 : 1);
    case Activation::sigmoid:
      return sigmoid(z) * (1 - sigmoid(z));
    case Activation::tanh:
      return 1 - std::tanh(z) * std::tanh(z);
    default:
      return 1;
  }
}

// Mean and biased variance of the real elements of a channel, in two passes.
inline void moments(const Call& call, int64_t c, double& mean, double& var) {
  const double count = static_cast<double>(std::max<int64_t>(call.count, 1));
  mean = var = 0;
  over_channel(call, c, [&](int64_t i, bool real) { mean += real ? get(call, call.x, i) / count : 0; });
  over_channel(call, c,
               [&](int64_t i, bool real) { var += real ? std::pow(get(call, call.x, i) - mean, 2) / count : 0; });
}

inline void forward(const Call& call) {
  for (int64_t c = 0; c < call.c; ++c) {
    double mean = 0, var = 0;
    if (call.training) {
      moments(call, c, mean, var);
    } else {
      mean = static_cast<double>(call.running_mean[c]);
      var = static_cast<double>(call.running_var[c]);
    }
    if (call.training && call.count > 1) {
      const double unbiased = var * static_cast<double>(call.count) / static_cast<double>(call.count - 1);
      const auto move = [&](float* running, double to) {
        const double from = static_cast<double>(running[c]);
        running[c] = static_cast<float>(from + call.momentum * (to - from));
      };
      if (call.running_mean != nullptr) move(call.running_mean, mean);
      if (call.running_var != nullptr) move(call.running_var, unbiased);
    }
    const double inv_std = 1 / std::sqrt(var + call.eps);
    const double weight = call.weight ? static_cast<double>(call.weight[c]) : 1;
    const double bias = call.bias ? static_cast<double>(call.bias[c]) : 0;
    call.saved[c] = mean;
    call.saved[call.c + c] = inv_std;
    over_channel(call, c, [&](int64_t i, bool real) {
      const double z = (get(call, call.x, i) - mean) * inv_std * weight + bias;
      const double added = call.residual ? get(call, call.residual, i) : 0;
      set(call, call.y, i, real ? activate(z + added, call.activation) : 0);
    });
  }
}

inline void backward(const Call& call) {
  for (int64_t c = 0; c < call.c; ++c) {
    const double mean = call.saved[c], inv_std = call.saved[call.c + c];
    const double weight = call.weight ? static_cast<double>(call.weight[c]) : 1;
    const double bias = call.bias ? static_cast<double>(call.bias[c]) : 0;
    // The normalised x, and the gradient before the activation.
    const auto normalised = [&](int64_t i) {
      const double x = get(call, call.x, i);
      if (!call.from_output) return (x - mean) * inv_std;
      const bool scaled = call.activation == Activation::leaky_relu && !(x > 0);
      return ((scaled ? x * 100 : x) - bias) / weight;
    };
    const auto gradient = [&](int64_t i) {
      const double source = call.slope_source ? get(call, call.slope_source, i) : 0;
      const double z = normalised(i) * weight + bias + source;
      const bool by_output = call.slope_source && call.activation == Activation::relu;
      return get(call, call.grad_y, i) * derivative(by_output ? source : z, call.activation);
    };
    double sum = 0, product = 0;
    over_channel(call, c, [&](int64_t i, bool real) {
      sum += real ? gradient(i) : 0;
      product += real ? gradient(i) * normalised(i) : 0;
    });
    call.grad_weight[c] = static_cast<float>(product);
    call.grad_bias[c] = static_cast<float>(sum);
    const bool alone = call.training && call.count < 2;  // its own mean, on which nothing depends
    const double inverse_count = call.training && !alone ? 1 / static_cast<double>(call.count) : 0;
    over_channel(call, c, [&](int64_t i, bool real) {
      const double g = real ? gradient(i) : 0;
      const double centred = g - (sum + product * normalised(i)) * inverse_count;
      set(call, call.grad_x, i, real && !alone ? centred * weight * inv_std : 0);
      if (call.grad_residual) set(call, call.grad_residual, i, g);
    });
  }
}

}  // namespace reference
