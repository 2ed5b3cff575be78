// Vectors of one instruction set, in which the kernels are written. The compiler's flags say how wide they are. All
// intrinsics of a processor are in this folder.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define NW_AVX512 1
#define NW_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define NW_AVX2 1
#define NW_VECTOR_BYTES 32
#else
#define NW_VECTOR_BYTES 16
#endif

#define NW_INLINE inline __attribute__((always_inline))

namespace NW_ISA {

constexpr int LANES = NW_VECTOR_BYTES / 4;  // floats in a vector
constexpr int DOUBLE_LANES = LANES / 2;     // doubles in a vector

// Whole vectors, and those of half the size: half as many floats, or a bfloat16 for each lane of a FloatVec.
typedef float FloatVec __attribute__((vector_size(NW_VECTOR_BYTES)));
typedef float FloatHalfVec __attribute__((vector_size(NW_VECTOR_BYTES / 2)));
typedef double DoubleVec __attribute__((vector_size(NW_VECTOR_BYTES)));
typedef int32_t IntVec __attribute__((vector_size(NW_VECTOR_BYTES)));
typedef uint32_t UintVec __attribute__((vector_size(NW_VECTOR_BYTES)));
typedef uint16_t Bf16Bits __attribute__((vector_size(NW_VECTOR_BYTES / 2)));

// bfloat16 in memory; arithmetic is float's.
struct bf16 {
  uint16_t bits;
};

NW_INLINE FloatVec splat(float v) { return v - FloatVec{}; }
NW_INLINE DoubleVec splat(double v) { return v - DoubleVec{}; }

template <class To, class From>
NW_INLINE To bit_cast(From v) {
  static_assert(sizeof(To) == sizeof(From), "a reinterpretation keeps the size");
  To to;
  std::memcpy(&to, &v, sizeof to);
  return to;
}

NW_INLINE FloatVec select(IntVec where, FloatVec yes, FloatVec no) { return where ? yes : no; }

NW_INLINE FloatVec load(const float* p) {
  FloatVec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

NW_INLINE DoubleVec load(const double* p) {
  DoubleVec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

NW_INLINE void store(double* p, DoubleVec v) { std::memcpy(p, &v, sizeof v); }

NW_INLINE FloatVec from_bf16_bits(Bf16Bits h) { return bit_cast<FloatVec>(__builtin_convertvector(h, UintVec) << 16); }

// Round to nearest, ties to even: in the upper half of each. A NaN that arithmetic gave is quiet, and stays one when
// it is cut off.
NW_INLINE UintVec rounded_to_bf16(FloatVec v) {
  const UintVec b = bit_cast<UintVec>(v);
  const UintVec up = b + (((b >> 16) & 1u) + 0x7fffu);
  return (v != v) ? b : up;
}
NW_INLINE Bf16Bits to_bf16_bits(FloatVec v) { return __builtin_convertvector(rounded_to_bf16(v) >> 16, Bf16Bits); }

NW_INLINE FloatVec load(const bf16* p) {
  Bf16Bits h;
  std::memcpy(&h, p, sizeof h);
  return from_bf16_bits(h);
}

NW_INLINE void store(float* p, FloatVec v) { std::memcpy(p, &v, sizeof v); }

NW_INLINE void store(bf16* p, FloatVec v) {
  const Bf16Bits h = to_bf16_bits(v);
  std::memcpy(p, &h, sizeof h);
}

// Past the caches, for outputs that would not stay in them; p is aligned to the vector.
NW_INLINE void stream(float* p, FloatVec v) {
#if defined(NW_AVX512)
  _mm512_stream_ps(p, bit_cast<__m512>(v));
#elif defined(NW_AVX2)
  _mm256_stream_ps(p, bit_cast<__m256>(v));
#elif defined(__x86_64__)
  _mm_stream_ps(p, bit_cast<__m128>(v));
#else
  store(p, v);
#endif
}

NW_INLINE void stream(bf16* p, FloatVec v) {
#if defined(NW_AVX512)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), bit_cast<__m256i>(to_bf16_bits(v)));
#elif defined(NW_AVX2)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), bit_cast<__m128i>(to_bf16_bits(v)));
#else
  store(p, v);
#endif
}

NW_INLINE void fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

NW_INLINE IntVec lanes_below(int count) {
  IntVec lane{};
  for (int i = 0; i < LANES; ++i) lane[i] = i;
  return lane < count;
}

// The first `count` elements (at most a vector), then `fill`; no byte after them is read.
NW_INLINE FloatVec load(const float* p, int count, FloatVec fill) {
#if defined(NW_AVX512)
  return bit_cast<FloatVec>(_mm512_mask_loadu_ps(bit_cast<__m512>(fill), static_cast<__mmask16>((1u << count) - 1), p));
#elif defined(NW_AVX2)
  const IntVec below = lanes_below(count);
  return select(below, bit_cast<FloatVec>(_mm256_maskload_ps(p, bit_cast<__m256i>(below))), fill);
#else
  for (int i = 0; i < count; ++i) fill[i] = p[i];
  return fill;
#endif
}

NW_INLINE FloatVec load(const bf16* p, int count, FloatVec fill) {
#if defined(NW_AVX512)
  const __m256i bits = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), p);
  return select(lanes_below(count), from_bf16_bits(bit_cast<Bf16Bits>(bits)), fill);
#else
  Bf16Bits bits{};
  for (int i = 0; i < count; ++i) bits[i] = p[i].bits;
  return select(lanes_below(count), from_bf16_bits(bits), fill);
#endif
}

NW_INLINE void store(float* p, FloatVec v, int count) {
#if defined(NW_AVX512)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), bit_cast<__m512>(v));
#elif defined(NW_AVX2)
  _mm256_maskstore_ps(p, bit_cast<__m256i>(lanes_below(count)), bit_cast<__m256>(v));
#else
  for (int i = 0; i < count; ++i) p[i] = v[i];
#endif
}

NW_INLINE void store(bf16* p, FloatVec v, int count) {
  const Bf16Bits bits = to_bf16_bits(v);
#if defined(NW_AVX512)
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << count) - 1), bit_cast<__m256i>(bits));
#else
  for (int i = 0; i < count; ++i) p[i].bits = bits[i];
#endif
}

// Into the second-level cache: what is wanted soon, and not yet.
NW_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

}  // namespace NW_ISA
