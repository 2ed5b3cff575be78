// Halves of a vector of floats as vectors of doubles, the arithmetic on them, and products rounded once.
#pragma once

#include "vectors/vector.h"

namespace NW_ISA {

NW_INLINE DoubleVec to_double(FloatHalfVec h) { return __builtin_convertvector(h, DoubleVec); }

// The first half of the lanes, as doubles; widen_high is the second.
NW_INLINE DoubleVec widen_low(FloatVec v) {
#if defined(NW_AVX512)
  return bit_cast<DoubleVec>(_mm512_cvtps_pd(_mm512_castps512_ps256(bit_cast<__m512>(v))));
#elif defined(NW_AVX2)
  return bit_cast<DoubleVec>(_mm256_cvtps_pd(_mm256_castps256_ps128(bit_cast<__m256>(v))));
#else
  FloatHalfVec h;
  std::memcpy(&h, &v, sizeof h);
  return to_double(h);
#endif
}

NW_INLINE DoubleVec widen_high(FloatVec v) {
#if defined(NW_AVX512)
  return bit_cast<DoubleVec>(_mm512_cvtps_pd(_mm512_extractf32x8_ps(bit_cast<__m512>(v), 1)));
#elif defined(NW_AVX2)
  return bit_cast<DoubleVec>(_mm256_cvtps_pd(_mm256_extractf128_ps(bit_cast<__m256>(v), 1)));
#else
  FloatHalfVec h;
  std::memcpy(&h, reinterpret_cast<const char*>(&v) + sizeof h, sizeof h);
  return to_double(h);
#endif
}

// The same of a vector in memory, which is cheaper than to take a register apart.
NW_INLINE DoubleVec widen_low(const float* p) {
#if defined(NW_AVX512)
  return bit_cast<DoubleVec>(_mm512_cvtps_pd(_mm256_loadu_ps(p)));
#elif defined(NW_AVX2)
  return bit_cast<DoubleVec>(_mm256_cvtps_pd(_mm_loadu_ps(p)));
#else
  FloatHalfVec h;
  std::memcpy(&h, p, sizeof h);
  return to_double(h);
#endif
}

NW_INLINE DoubleVec widen_high(const float* p) { return widen_low(p + DOUBLE_LANES); }

// sum + v, on the units that multiply: the ones that add are busy with conversions.
NW_INLINE DoubleVec add_by_fma(DoubleVec sum, DoubleVec v) {
#if defined(NW_AVX512)
  return bit_cast<DoubleVec>(_mm512_fmadd_pd(bit_cast<__m512d>(v), _mm512_set1_pd(1.0), bit_cast<__m512d>(sum)));
#else
  return sum + v;
#endif
}

NW_INLINE double sum_lanes(DoubleVec v) {
  double total = 0;
  for (int i = 0; i < DOUBLE_LANES; ++i) total += v[i];
  return total;
}

// a * b + c, rounded once. Where no instruction does that, in double, which holds the product.
NW_INLINE FloatVec multiply_add(FloatVec a, FloatVec b, FloatVec c) {
#if defined(__FMA__) || defined(__aarch64__)
  return a * b + c;
#else
  const FloatHalfVec halves[2] = {__builtin_convertvector(widen_low(a) * widen_low(b) + widen_low(c), FloatHalfVec),
                                  __builtin_convertvector(widen_high(a) * widen_high(b) + widen_high(c), FloatHalfVec)};
  FloatVec v;
  std::memcpy(&v, halves, sizeof v);
  return v;
#endif
}

}  // namespace NW_ISA
