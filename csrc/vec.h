// Vectors of one instruction set: what the kernels are written in. Widths follow from the compiler's flags.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define NW_AVX512 1
#define NW_BYTES 64
#elif defined(__AVX2__)
#define NW_AVX2 1
#define NW_BYTES 32
#else
#define NW_BYTES 16
#endif

#define NW_INLINE inline __attribute__((always_inline))

namespace NW_ISA {

constexpr int W = NW_BYTES / 4;  // floats in a vector
constexpr int H = W / 2;         // doubles in a vector

typedef float vf __attribute__((vector_size(NW_BYTES)));
typedef float hf __attribute__((vector_size(NW_BYTES / 2)));
typedef double vd __attribute__((vector_size(NW_BYTES)));
typedef int32_t vi __attribute__((vector_size(NW_BYTES)));
typedef uint32_t vu __attribute__((vector_size(NW_BYTES)));
typedef uint16_t vh __attribute__((vector_size(NW_BYTES / 2)));

// bfloat16 in memory; arithmetic is float's.
struct bf16 {
  uint16_t bits;
};

NW_INLINE vf splat(float v) { return v - vf{}; }
NW_INLINE vd splat(double v) { return v - vd{}; }

template <class To, class From>
NW_INLINE To as(From v) {
  static_assert(sizeof(To) == sizeof(From), "a reinterpretation keeps the size");
  To to;
  std::memcpy(&to, &v, sizeof to);
  return to;
}

NW_INLINE vf select(vi where, vf yes, vf no) { return where ? yes : no; }

NW_INLINE vf load(const float* p) {
  vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

NW_INLINE vd load(const double* p) {
  vd v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

NW_INLINE void store(double* p, vd v) { std::memcpy(p, &v, sizeof v); }

NW_INLINE vf from_bits(vh h) { return as<vf>(__builtin_convertvector(h, vu) << 16); }

// Round to nearest, ties to even: in the upper half of each. A NaN that arithmetic gave is quiet, and stays one when
// it is cut off.
NW_INLINE vu rounded(vf v) {
  const vu b = as<vu>(v);
  const vu up = b + (((b >> 16) & 1u) + 0x7fffu);
  return (v != v) ? b : up;
}
NW_INLINE vh to_bits(vf v) { return __builtin_convertvector(rounded(v) >> 16, vh); }

NW_INLINE vf load(const bf16* p) {
  vh h;
  std::memcpy(&h, p, sizeof h);
  return from_bits(h);
}

NW_INLINE void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }

NW_INLINE void store(bf16* p, vf v) {
  const vh h = to_bits(v);
  std::memcpy(p, &h, sizeof h);
}

// Past the caches, for outputs that would not stay in them; p is aligned to the vector.
NW_INLINE void stream(float* p, vf v) {
#if defined(NW_AVX512)
  _mm512_stream_ps(p, as<__m512>(v));
#elif defined(NW_AVX2)
  _mm256_stream_ps(p, as<__m256>(v));
#elif defined(__x86_64__)
  _mm_stream_ps(p, as<__m128>(v));
#else
  store(p, v);
#endif
}

NW_INLINE void stream(bf16* p, vf v) {
#if defined(NW_AVX512)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), as<__m256i>(to_bits(v)));
#elif defined(NW_AVX2)
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), as<__m128i>(to_bits(v)));
#else
  store(p, v);
#endif
}

NW_INLINE void fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

// Two vectors at a time. In bfloat16 they are the even and the odd elements: a shift and a mask take them apart.
struct Two {
  vf a, b;
};

NW_INLINE Two load_two(const float* p) { return {load(p), load(p + W)}; }
NW_INLINE Two load_two(const bf16* p) {
  vu v;
  std::memcpy(&v, p, sizeof v);
  return {as<vf>(v << 16), as<vf>(v & 0xffff0000u)};
}

NW_INLINE void store_two(float* p, Two v) {
  store(p, v.a);
  store(p + W, v.b);
}
NW_INLINE vu packed(Two v) { return (rounded(v.a) >> 16) | (rounded(v.b) & 0xffff0000u); }
NW_INLINE void store_two(bf16* p, Two v) {
  const vu bits = packed(v);
  std::memcpy(p, &bits, sizeof bits);
}

// p is aligned to NW_BYTES.
NW_INLINE void stream_two(float* p, Two v) {
  stream(p, v.a);
  stream(p + W, v.b);
}
NW_INLINE void stream_two(bf16* p, Two v) { stream(reinterpret_cast<float*>(p), as<vf>(packed(v))); }

// Two vectors in memory's order as those of their even and of their odd elements, and back.
NW_INLINE Two apart(Two v) {
#if defined(NW_AVX512)
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512 a = as<__m512>(v.a), b = as<__m512>(v.b);
  return {as<vf>(_mm512_permutex2var_ps(a, even, b)),
          as<vf>(_mm512_permutex2var_ps(a, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b))};
#else
  Two parts{};
  for (int i = 0; i < W / 2; ++i) {
    parts.a[i] = v.a[2 * i];
    parts.b[i] = v.a[2 * i + 1];
    parts.a[W / 2 + i] = v.b[2 * i];
    parts.b[W / 2 + i] = v.b[2 * i + 1];
  }
  return parts;
#endif
}

NW_INLINE Two together(Two v) {
#if defined(NW_AVX512)
  const __m512i first = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512 a = as<__m512>(v.a), b = as<__m512>(v.b);
  return {as<vf>(_mm512_permutex2var_ps(a, first, b)),
          as<vf>(_mm512_permutex2var_ps(a, _mm512_add_epi32(first, _mm512_set1_epi32(8)), b))};
#else
  Two whole{};
  for (int i = 0; i < W / 2; ++i) {
    whole.a[2 * i] = v.a[i];
    whole.a[2 * i + 1] = v.b[i];
    whole.b[2 * i] = v.a[W / 2 + i];
    whole.b[2 * i + 1] = v.b[W / 2 + i];
  }
  return whole;
#endif
}

// What belongs to columns, in the order in which load_two has the elements of T, and back.
template <class T>
NW_INLINE Two in_pairs(Two v) {
  return sizeof(T) == sizeof(float) ? v : apart(v);
}
template <class T>
NW_INLINE Two in_order(Two v) {
  return sizeof(T) == sizeof(float) ? v : together(v);
}

NW_INLINE vi lanes_below(int count) {
  vi lane{};
  for (int i = 0; i < W; ++i) lane[i] = i;
  return lane < count;
}

// The first `count` elements (a vector at most), and `fill` behind them; no byte behind them is read.
NW_INLINE vf load(const float* p, int count, vf fill) {
#if defined(NW_AVX512)
  return as<vf>(_mm512_mask_loadu_ps(as<__m512>(fill), static_cast<__mmask16>((1u << count) - 1), p));
#elif defined(NW_AVX2)
  const vi below = lanes_below(count);
  return select(below, as<vf>(_mm256_maskload_ps(p, as<__m256i>(below))), fill);
#else
  for (int i = 0; i < count; ++i) fill[i] = p[i];
  return fill;
#endif
}

NW_INLINE vf load(const bf16* p, int count, vf fill) {
#if defined(NW_AVX512)
  const __m256i bits = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), p);
  return select(lanes_below(count), from_bits(as<vh>(bits)), fill);
#else
  vh bits{};
  for (int i = 0; i < count; ++i) bits[i] = p[i].bits;
  return select(lanes_below(count), from_bits(bits), fill);
#endif
}

NW_INLINE void store(float* p, vf v, int count) {
#if defined(NW_AVX512)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), as<__m512>(v));
#elif defined(NW_AVX2)
  _mm256_maskstore_ps(p, as<__m256i>(lanes_below(count)), as<__m256>(v));
#else
  for (int i = 0; i < count; ++i) p[i] = v[i];
#endif
}

NW_INLINE void store(bf16* p, vf v, int count) {
  const vh bits = to_bits(v);
#if defined(NW_AVX512)
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << count) - 1), as<__m256i>(bits));
#else
  for (int i = 0; i < count; ++i) p[i].bits = bits[i];
#endif
}

// Into the second-level cache: what is wanted soon, and not yet.
NW_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

NW_INLINE vd widen(hf h) { return __builtin_convertvector(h, vd); }

NW_INLINE vd low(vf v) {
#if defined(NW_AVX512)
  return as<vd>(_mm512_cvtps_pd(_mm512_castps512_ps256(as<__m512>(v))));
#elif defined(NW_AVX2)
  return as<vd>(_mm256_cvtps_pd(_mm256_castps256_ps128(as<__m256>(v))));
#else
  hf h;
  std::memcpy(&h, &v, sizeof h);
  return widen(h);
#endif
}

NW_INLINE vd high(vf v) {
#if defined(NW_AVX512)
  return as<vd>(_mm512_cvtps_pd(_mm512_extractf32x8_ps(as<__m512>(v), 1)));
#elif defined(NW_AVX2)
  return as<vd>(_mm256_cvtps_pd(_mm256_extractf128_ps(as<__m256>(v), 1)));
#else
  hf h;
  std::memcpy(&h, reinterpret_cast<const char*>(&v) + sizeof h, sizeof h);
  return widen(h);
#endif
}

// Halves of a vector in memory: cheaper than to take a register apart.
NW_INLINE vd low(const float* p) {
#if defined(NW_AVX512)
  return as<vd>(_mm512_cvtps_pd(_mm256_loadu_ps(p)));
#elif defined(NW_AVX2)
  return as<vd>(_mm256_cvtps_pd(_mm_loadu_ps(p)));
#else
  hf h;
  std::memcpy(&h, p, sizeof h);
  return widen(h);
#endif
}

NW_INLINE vd high(const float* p) { return low(p + H); }

// sum + v, on the units that multiply: the ones that add are busy with conversions.
NW_INLINE vd plus(vd sum, vd v) {
#if defined(NW_AVX512)
  return as<vd>(_mm512_fmadd_pd(as<__m512d>(v), _mm512_set1_pd(1.0), as<__m512d>(sum)));
#else
  return sum + v;
#endif
}

// Lanes where a ReLU passes its input: a NaN passes, as with torch.
#if defined(NW_AVX512)
typedef __mmask16 Lanes;
NW_INLINE Lanes passes(vf z) { return _mm512_cmp_ps_mask(as<__m512>(z), _mm512_setzero_ps(), _CMP_NLE_UQ); }
NW_INLINE vf only(Lanes lanes, vf v) { return as<vf>(_mm512_maskz_mov_ps(lanes, as<__m512>(v))); }
NW_INLINE vd low(Lanes lanes, const float* p) {
  return as<vd>(_mm512_maskz_cvtps_pd(static_cast<__mmask8>(lanes), _mm256_loadu_ps(p)));
}
NW_INLINE vd high(Lanes lanes, const float* p) { return low(static_cast<Lanes>(lanes >> H), p + H); }
#else
typedef vi Lanes;
NW_INLINE Lanes passes(vf z) { return ~(z <= vf{}); }
NW_INLINE vf only(Lanes lanes, vf v) { return select(lanes, v, vf{}); }
NW_INLINE vd low(Lanes lanes, const float* p) { return low(only(lanes, load(p))); }
NW_INLINE vd high(Lanes lanes, const float* p) { return high(only(lanes, load(p))); }
#endif

// a * b + c, rounded once. Where no instruction does that, in double, which holds the product.
NW_INLINE vf multiply_add(vf a, vf b, vf c) {
#if defined(__FMA__) || defined(__aarch64__)
  return a * b + c;
#else
  const hf halves[2] = {__builtin_convertvector(low(a) * low(b) + low(c), hf),
                        __builtin_convertvector(high(a) * high(b) + high(c), hf)};
  vf v;
  std::memcpy(&v, halves, sizeof v);
  return v;
#endif
}

NW_INLINE double sum(vd v) {
  double total = 0;
  for (int i = 0; i < H; ++i) total += v[i];
  return total;
}

// z, or 0 where it is below. A NaN is kept, as torch keeps it: of two operands that don't compare, the instruction
// takes the second.
NW_INLINE vf not_negative(vf z) {
#if defined(NW_AVX512)
  return as<vf>(_mm512_max_ps(_mm512_setzero_ps(), as<__m512>(z)));
#elif defined(NW_AVX2)
  return as<vf>(_mm256_max_ps(_mm256_setzero_ps(), as<__m256>(z)));
#else
  return z <= vf{} ? vf{} : z;
#endif
}

}  // namespace NW_ISA
