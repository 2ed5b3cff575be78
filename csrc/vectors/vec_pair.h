// Pairs of vectors: bfloat16 is read and written two vectors at a time.
#pragma once

#include "vectors/vector.h"

namespace NW_ISA {

// Two vectors of neighbouring elements, in *pair order*: of bfloat16 they are the even and the odd elements, because a
// shift and a mask are enough to separate these; of float they are simply the first and the second vector.
struct VecPair {
  FloatVec even, odd;
};

NW_INLINE VecPair load_pair(const float* p) { return {load(p), load(p + LANES)}; }
NW_INLINE VecPair load_pair(const bf16* p) {
  UintVec v;
  std::memcpy(&v, p, sizeof v);
  return {bit_cast<FloatVec>(v << 16), bit_cast<FloatVec>(v & 0xffff0000u)};
}

NW_INLINE void store_pair(float* p, VecPair v) {
  store(p, v.even);
  store(p + LANES, v.odd);
}
NW_INLINE UintVec packed_bf16(VecPair v) {
  return (rounded_to_bf16(v.even) >> 16) | (rounded_to_bf16(v.odd) & 0xffff0000u);
}
NW_INLINE void store_pair(bf16* p, VecPair v) {
  const UintVec bits = packed_bf16(v);
  std::memcpy(p, &bits, sizeof bits);
}

// p is aligned to NW_VECTOR_BYTES.
NW_INLINE void stream_pair(float* p, VecPair v) {
  stream(p, v.even);
  stream(p + LANES, v.odd);
}
NW_INLINE void stream_pair(bf16* p, VecPair v) {
  stream(reinterpret_cast<float*>(p), bit_cast<FloatVec>(packed_bf16(v)));
}

// Two consecutive vectors become those of their even and of their odd elements.
NW_INLINE VecPair deinterleave(VecPair v) {
#if defined(NW_AVX512)
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512 a = bit_cast<__m512>(v.even), b = bit_cast<__m512>(v.odd);
  return {bit_cast<FloatVec>(_mm512_permutex2var_ps(a, even, b)),
          bit_cast<FloatVec>(_mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b))};
#else
  VecPair separated{};
  for (int i = 0; i < LANES / 2; ++i) {
    separated.even[i] = v.even[2 * i];
    separated.odd[i] = v.even[2 * i + 1];
    separated.even[LANES / 2 + i] = v.odd[2 * i];
    separated.odd[LANES / 2 + i] = v.odd[2 * i + 1];
  }
  return separated;
#endif
}

// The inverse of deinterleave.
NW_INLINE VecPair interleave(VecPair v) {
#if defined(NW_AVX512)
  const __m512i first = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512 a = bit_cast<__m512>(v.even), b = bit_cast<__m512>(v.odd);
  return {bit_cast<FloatVec>(_mm512_permutex2var_ps(a, first, b)),
          bit_cast<FloatVec>(_mm512_permutex2var_ps(a, _mm512_add_epi32(first, _mm512_set1_epi32(8)), b))};
#else
  VecPair joined{};
  for (int i = 0; i < LANES / 2; ++i) {
    joined.even[2 * i] = v.even[i];
    joined.even[2 * i + 1] = v.odd[i];
    joined.odd[2 * i] = v.even[LANES / 2 + i];
    joined.odd[2 * i + 1] = v.odd[LANES / 2 + i];
  }
  return joined;
#endif
}

// Numbers of columns, two consecutive vectors of them, in the order in which load_pair has elements of T; and back.
template <class T>
NW_INLINE VecPair to_pair_order(VecPair v) {
  return sizeof(T) == sizeof(float) ? v : deinterleave(v);
}
template <class T>
NW_INLINE VecPair to_memory_order(VecPair v) {
  return sizeof(T) == sizeof(float) ? v : interleave(v);
}

}  // namespace NW_ISA
