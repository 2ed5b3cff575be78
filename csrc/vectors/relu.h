// ReLU and its mask, for which every instruction set has something of its own.
#pragma once

#include "vectors/double_halves.h"

namespace NW_ISA {

// max(z, 0). A NaN is kept, as torch keeps it: of two operands that don't compare, the instruction takes the second.
NW_INLINE FloatVec relu(FloatVec z) {
#if defined(NW_AVX512)
  return bit_cast<FloatVec>(_mm512_max_ps(_mm512_setzero_ps(), bit_cast<__m512>(z)));
#elif defined(NW_AVX2)
  return bit_cast<FloatVec>(_mm256_max_ps(_mm256_setzero_ps(), bit_cast<__m256>(z)));
#else
  return z <= FloatVec{} ? FloatVec{} : z;
#endif
}

// Lanes of a vector: those where a ReLU lets its input through. A NaN passes, as with torch.
#if defined(NW_AVX512)
typedef __mmask16 LaneMask;
NW_INLINE LaneMask relu_passes(FloatVec z) {
  return _mm512_cmp_ps_mask(bit_cast<__m512>(z), _mm512_setzero_ps(), _CMP_NLE_UQ);
}
NW_INLINE FloatVec keep_lanes(LaneMask lanes, FloatVec v) {
  return bit_cast<FloatVec>(_mm512_maskz_mov_ps(lanes, bit_cast<__m512>(v)));
}
NW_INLINE DoubleVec widen_low(LaneMask lanes, const float* p) {
  return bit_cast<DoubleVec>(_mm512_maskz_cvtps_pd(static_cast<__mmask8>(lanes), _mm256_loadu_ps(p)));
}
NW_INLINE DoubleVec widen_high(LaneMask lanes, const float* p) {
  return widen_low(static_cast<LaneMask>(lanes >> DOUBLE_LANES), p + DOUBLE_LANES);
}
#else
typedef IntVec LaneMask;
NW_INLINE LaneMask relu_passes(FloatVec z) { return ~(z <= FloatVec{}); }
NW_INLINE FloatVec keep_lanes(LaneMask lanes, FloatVec v) { return select(lanes, v, FloatVec{}); }
NW_INLINE DoubleVec widen_low(LaneMask lanes, const float* p) { return widen_low(keep_lanes(lanes, load(p))); }
NW_INLINE DoubleVec widen_high(LaneMask lanes, const float* p) { return widen_high(keep_lanes(lanes, load(p))); }
#endif

}  // namespace NW_ISA
