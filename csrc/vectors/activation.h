// Activations and their derivatives, as torch has them, by the numbers of Activation in call.h.
#pragma once

#include "call.h"
#include "vectors/relu.h"

namespace NW_ISA {

template <int N>
NW_INLINE FloatVec polynomial(FloatVec x, const float (&c)[N]) {
  FloatVec p = splat(c[N - 1]);
  for (int i = N - 2; i >= 0; --i) p = p * x + splat(c[i]);
  return p;
}

// exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1) with x = n ln 2 + r, |r| <= ln(2)/2. Taylor's polynomial of
// degree 7 is within 2^-26 there. NaN passes through both comparisons.
struct Exponential {
  FloatVec power, expm1_of_r;  // 2^n and exp(r) - 1

  NW_INLINE explicit Exponential(FloatVec x) {
    x = x > splat(88.0f) ? splat(88.0f) : x;
    x = x < splat(-87.0f) ? splat(-87.0f) : x;
    const FloatVec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    const FloatVec n = (x * splat(1.44269504f) + magic) - magic;
    const FloatVec r = (x - n * splat(0.693359375f)) - n * splat(-2.12194440e-4f);
    constexpr float c[] = {1.0f, 0.5f, 1.0f / 6, 1.0f / 24, 1.0f / 120, 1.0f / 720, 1.0f / 5040};
    expm1_of_r = r * polynomial(r, c);
    // The integer of a NaN is anything; expm1_of_r keeps the NaN.
    power = bit_cast<FloatVec>((__builtin_convertvector(n, IntVec) + 127) << 23);
  }

  NW_INLINE FloatVec exp() const { return power * expm1_of_r + power; }
  NW_INLINE FloatVec expm1() const { return power * expm1_of_r + (power - splat(1.0f)); }
};

NW_INLINE FloatVec exp(FloatVec x) { return Exponential(x).exp(); }
NW_INLINE FloatVec expm1(FloatVec x) { return Exponential(x).expm1(); }
NW_INLINE FloatVec sigmoid(FloatVec z) { return splat(1.0f) / (splat(1.0f) + exp(-z)); }

NW_INLINE FloatVec tanh(FloatVec z) {
  // Beyond 10 it is 1 to the last digit.
  z = z > splat(10.0f) ? splat(10.0f) : z;
  const FloatVec e = expm1(z + z);
  return e / (e + splat(2.0f));
}

// Both polynomials are least-squares fits at Chebyshev nodes, within 7e-8 of erf: erf(t)/t in t^2 below 1,
// and the logarithm of 1 - erf(t) from 1 to 4.
NW_INLINE FloatVec erf(FloatVec t) {
  constexpr float inner[] = {1.1283791f,   -0.37612626f,   0.11283597f,   -0.026854329f,
                             0.005189312f, -0.0008018855f, 7.8824974e-05f};
  constexpr float outer[] = {0.00030321296f, -1.1301666f,    -0.6319371f,     -0.10997824f,  0.026364718f,
                             -0.0047402224f, 0.00059276953f, -4.5590623e-05f, 1.6140616e-06f};
  FloatVec a = t < splat(0.0f) ? -t : t;
  const FloatVec small = t * polynomial(t * t, inner);
  a = a > splat(4.0f) ? splat(4.0f) : a;
  const FloatVec large = splat(1.0f) - exp(polynomial(a, outer));
  return a < splat(1.0f) ? small : (t < splat(0.0f) ? -large : large);
}

NW_INLINE FloatVec gaussian_cdf(FloatVec z) { return splat(0.5f) * (splat(1.0f) + erf(z * splat(0.70710678f))); }

// Every activation but none and ReLU.
NW_INLINE FloatVec general_activation(FloatVec z, Activation kind) {
  const FloatVec zero{};
  switch (kind) {
    case Activation::relu6: {
      const FloatVec clamped = z <= zero ? zero : z;
      return clamped > splat(6.0f) ? splat(6.0f) : clamped;
    }
    case Activation::leaky_relu:
      return z > zero ? z : z * splat(0.01f);
    case Activation::elu:
      return z > zero ? z : expm1(z);
    case Activation::gelu:
      return z * gaussian_cdf(z);
    case Activation::silu:
      return z * sigmoid(z);
    case Activation::hardswish: {
      const FloatVec t = z + splat(3.0f);
      const FloatVec clamped = t <= zero ? zero : t;
      return z * (clamped > splat(6.0f) ? splat(6.0f) : clamped) / splat(6.0f);
    }
    case Activation::sigmoid:
      return sigmoid(z);
    case Activation::tanh:
      return tanh(z);
    default:
      return z;
  }
}

NW_INLINE FloatVec general_derivative(FloatVec z, Activation kind) {
  const FloatVec zero{}, one = splat(1.0f);
  switch (kind) {
    case Activation::relu6:
      return (z <= zero) | (z >= splat(6.0f)) ? zero : one;
    case Activation::leaky_relu:
      return z > zero ? one : splat(0.01f);
    case Activation::elu:
      return z > zero ? one : exp(z);
    case Activation::gelu:
      return gaussian_cdf(z) + z * exp(splat(-0.5f) * z * z) * splat(0.39894228f);
    case Activation::silu: {
      const FloatVec s = sigmoid(z);
      return s * (one + z * (one - s));
    }
    case Activation::hardswish: {
      const FloatVec inside = z / splat(3.0f) + splat(0.5f);
      return z <= splat(-3.0f) ? zero : (z < splat(3.0f) ? inside : one);
    }
    case Activation::sigmoid: {
      const FloatVec s = sigmoid(z);
      return s * (one - s);
    }
    case Activation::tanh: {
      const FloatVec t = tanh(z);
      return one - t * t;
    }
    default:
      return one;
  }
}

// The activation as far as it is known when the kernels are compiled: one of these two, or a number that is read at run
// time.
enum class Fused { none, relu, general };

template <Fused act>
NW_INLINE FloatVec activate(FloatVec z, Activation kind) {
  if constexpr (act == Fused::none) {
    return z;
  } else if constexpr (act == Fused::relu) {
    return relu(z);
  } else {
    return general_activation(z, kind);
  }
}

// The gradient of z, from that of activate(z).
template <Fused act>
NW_INLINE FloatVec gradient_before_activation(FloatVec z, FloatVec grad, Activation kind) {
  if constexpr (act == Fused::none) {
    return grad;
  } else if constexpr (act == Fused::relu) {
    return keep_lanes(relu_passes(z), grad);
  } else {
    return grad * general_derivative(z, kind);
  }
}

}  // namespace NW_ISA
