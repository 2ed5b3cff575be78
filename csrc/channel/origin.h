// The number that a channel's deviations are taken from: in the sums of the forward pass a *shift* found by looking at
// a few elements, afterwards the mean as a float.
//
// Squares are summed around the shift and not around 0, because E[x^2] - E[x]^2 loses all digits where the mean is far
// larger than the deviation. Any finite shift is right; one far off costs digits.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "call.h"
#include "vectors/vector.h"

namespace NW_ISA {

NW_INLINE float to_float(const float* p) { return *p; }
NW_INLINE float to_float(const bf16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The origin of deviations of T that is near to `value`. For bfloat16 it has as many bits as the elements, which keeps
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

// The mean without its origin, which is too small for the origin's digits. An infinite mean has none.
template <class T>
NW_INLINE double mean_remainder(double mean) {
  const double remainder = mean - static_cast<double>(origin_of<T>(mean));
  return remainder - remainder == 0 ? remainder : 0.0;
}

// Rows, and elements of each, whose mean is the shift. They are from all over the channel, so that neither an outlier
// nor an unusual beginning decides.
constexpr int64_t SAMPLED_ROWS = 4, SAMPLED_ELEMENTS = 4;

template <class T>
NW_INLINE float finite_shift(double total, int64_t count) {
  const float shift = origin_of<T>(total / static_cast<double>(count));
  return shift - shift == 0 ? shift : 0.0f;
}

// The shift of a channel of contiguous (n, c, s).
template <class T>
float shift_of(const Call& call, int64_t channel) {
  const T* const x = static_cast<const T*>(call.x) + channel * call.s;
  double total = 0;
  int64_t count = 0;
  for (int64_t i = 0; i < std::min(SAMPLED_ROWS, call.n); ++i) {
    const int64_t n = call.n * i / std::min(SAMPLED_ROWS, call.n);
    for (int64_t j = 0; j < std::min(SAMPLED_ELEMENTS, call.s); ++j) {
      const int64_t s = call.s * j / std::min(SAMPLED_ELEMENTS, call.s);
      if (call.mask != nullptr && call.mask[n * call.s + s] == 0) continue;
      total += static_cast<double>(to_float(x + n * call.c * call.s + s));
      ++count;
    }
  }
  if (count == 0 && call.count > 0) {
    // All of them are padding; some other position is real.
    const auto positions = static_cast<size_t>(call.n * call.s);
    const int64_t at = static_cast<const uint8_t*>(std::memchr(call.mask, 1, positions)) - call.mask;
    total = static_cast<double>(to_float(x + at / call.s * call.c * call.s + at % call.s));
  }
  return finite_shift<T>(total, std::max<int64_t>(count, 1));
}

// The shifts of channels that are last in memory.
template <class T>
void shifts_of(const Call& call, int64_t c_begin, int64_t c_end, float* shift) {
  const T* const x = static_cast<const T*>(call.x);
  const int64_t rows = call.n * call.s;
  const T* row[SAMPLED_ROWS];
  for (int64_t i = 0; i < SAMPLED_ROWS; ++i) {
    int64_t at = rows * i / SAMPLED_ROWS;
    if (call.mask != nullptr && call.count > 0) {
      const void* real = std::memchr(call.mask + at, 1, static_cast<size_t>(rows - at));
      if (real == nullptr) real = std::memchr(call.mask, 1, static_cast<size_t>(rows));
      at = static_cast<const uint8_t*>(real) - call.mask;
    }
    row[i] = x + at * call.c;
  }
  for (int64_t c = c_begin; c < c_end; ++c) {
    double total = 0;
    for (const T* p : row) total += static_cast<double>(to_float(p + c));
    shift[c - c_begin] = finite_shift<T>(total, SAMPLED_ROWS);
  }
}

}  // namespace NW_ISA
