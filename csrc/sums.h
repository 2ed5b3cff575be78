// Sums over the elements of a channel. Values, gradients and products may cancel, so that what is left of them is
// far smaller than what was added: they are added up in double. Squares don't: float does for a few of them.
#pragma once

#include "vec.h"

namespace NW_ISA {

// Of one channel, or of a channel a lane: `a` of values or gradients, `b` of squares or products.
struct Sums {
  vd low_a{}, high_a{}, low_b{}, high_b{};

  NW_INLINE double total_a() const { return sum(low_a + high_a); }
  NW_INLINE double total_b() const { return sum(low_b + high_b); }
};

// Vectors after which sums in float go into sums in double, half of them in each of two. Not more: where values are on
// a grid, as with a mean of 1e4 deviations, the last bits of squares are no random ones, and rounding would go one way.
constexpr int64_t FEW = 32;

// x, and (x - shift)^2. In bfloat16, whose elements have 8 bits, x - shift takes the place of x, and float will do.
template <class T>
struct Moments;

template <>
struct Moments<float> {
  vd low_a{}, high_a{};
  vf b{};

  NW_INLINE void add(const float* p, vf shift) {
    low_a = plus(low_a, low(p));
    high_a = plus(high_a, high(p));
    const vf d = load(p) - shift;
    b += d * d;
  }

  NW_INLINE void add(const float* p, int count, vf shift) {
    const vf x = load(p, count, vf{}), d = select(lanes_below(count), x - shift, vf{});
    low_a += low(x);
    high_a += high(x);
    b += d * d;
  }

  NW_INLINE void flush(Sums& s) const {
    s.low_a += low_a;
    s.high_a += high_a;
    s.low_b += low(b);
    s.high_b += high(b);
  }
};

template <>
struct Moments<bf16> {
  vf a{}, b{};

  NW_INLINE void add(vf d) {
    a += d;
    b += d * d;
  }
  NW_INLINE void add(const bf16* p, vf shift) { add(load(p) - shift); }
  NW_INLINE void add(const bf16* p, int count, vf shift) { add(load(p, count, shift) - shift); }

  NW_INLINE void flush(Sums& s) const {
    s.low_a += low(a);
    s.high_a += high(a);
    s.low_b += low(b);
    s.high_b += high(b);
  }
};

// Two vectors at p, in the order of load_two.
NW_INLINE void add_two(Moments<float>& one, Moments<float>& other, const float* p, vf shift, vf other_shift) {
  one.add(p, shift);
  other.add(p + W, other_shift);
}
NW_INLINE void add_two(Moments<bf16>& one, Moments<bf16>& other, const bf16* p, vf shift, vf other_shift) {
  const Two x = load_two(p);
  one.add(x.a - shift);
  other.add(x.b - other_shift);
}

// The halves of a vector of channels' means, as near as a float is to them.
struct Origin {
  vd low, high;

  NW_INLINE explicit Origin(vf hi) : low(NW_ISA::low(hi)), high(NW_ISA::high(hi)) {}
};

// g, and g times d, where d is x - hi: exact in double, whatever the mean.
template <class T>
struct Products;

template <>
struct Products<float> {
  vd low_a{}, high_a{}, low_b{}, high_b{};

  NW_INLINE void add(vd g_low, vd g_high, vd d_low, vd d_high) {
    low_a = plus(low_a, g_low);
    high_a = plus(high_a, g_high);
    low_b += g_low * d_low;
    high_b += g_high * d_high;
  }
  NW_INLINE void add(vf g, vf x, const Origin& o) { add(low(g), high(g), low(x) - o.low, high(x) - o.high); }
  NW_INLINE void add(vf g, vf d) { add(low(g), high(g), low(d), high(d)); }
  NW_INLINE void add(const float* g, const float* x, const Origin& o) {
    add(low(g), high(g), low(x) - o.low, high(x) - o.high);
  }
  NW_INLINE void add(Lanes lanes, const float* g, const float* x, const Origin& o) {
    add(low(lanes, g), high(lanes, g), low(x) - o.low, high(x) - o.high);
  }

  NW_INLINE void flush(Sums& s) const {
    s.low_a += low_a;
    s.high_a += high_a;
    s.low_b += low_b;
    s.high_b += high_b;
  }
};

template <>
struct Products<bf16> {
  vf a{}, b{};

  NW_INLINE void add(vf g, vf d) {
    a += g;
    b += g * d;
  }

  NW_INLINE void flush(Sums& s) const {
    s.low_a += low(a);
    s.high_a += high(a);
    s.low_b += low(b);
    s.high_b += high(b);
  }
};

}  // namespace NW_ISA
