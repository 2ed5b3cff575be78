// Sums over the elements of a channel. Of float in double: values, gradients and products may cancel, so that what is left
// of them is far smaller than what was added. Of bfloat16 in float, a few at a time: its elements have 8 bits.
#pragma once

#include <type_traits>

#include "vec.h"

namespace NW_ISA {

// Of one channel, or of a channel a lane: `a` of deviations or gradients, `b` of squares or products.
struct Sums {
  vd low_a{}, high_a{}, low_b{}, high_b{};

  NW_INLINE void add(vd a_low, vd a_high, vd b_low, vd b_high) {
    low_a += a_low;
    high_a += a_high;
    low_b += b_low;
    high_b += b_high;
  }

  NW_INLINE double total_a() const { return sum(low_a + high_a); }
  NW_INLINE double total_b() const { return sum(low_b + high_b); }
};

// Vectors after which what was added up goes into Sums.
constexpr int64_t FEW = 32;

// What deviations are taken from: a vector of channels' means, or of what is near to them, and its halves.
struct Origin {
  vf v;
  vd low, high;

  NW_INLINE explicit Origin(vf from) : v(from), low(NW_ISA::low(from)), high(NW_ISA::high(from)) {}
};

// A few elements' sums. To subtract and to multiply in double loses nothing, whatever the mean.
struct DoubleLanes {
  vd low_a{}, high_a{}, low_b{}, high_b{};

  NW_INLINE void add(vd a_low, vd a_high, vd by_low, vd by_high) {
    low_a = plus(low_a, a_low);
    high_a = plus(high_a, a_high);
    low_b += a_low * by_low;
    high_b += a_high * by_high;
  }
  NW_INLINE void flush(Sums& s) const { s.add(low_a, high_a, low_b, high_b); }
};

struct FloatLanes {
  vf a{}, b{};

  NW_INLINE void add(vf value, vf by) {
    a += value;
    b += value * by;
  }
  NW_INLINE void flush(Sums& s) const { s.add(low(a), high(a), low(b), high(b)); }
};

// d = x - origin, and its square. Lanes behind the end are at the origin, and add nothing.
template <class T>
struct Moments;

template <>
struct Moments<float> : DoubleLanes {
  NW_INLINE void add_halves(vd low, vd high) { DoubleLanes::add(low, high, low, high); }
  NW_INLINE void add(const float* p, const Origin& o) { add_halves(low(p) - o.low, high(p) - o.high); }
  NW_INLINE void add(const float* p, int count, const Origin& o) {
    const vf x = load(p, count, o.v);
    add_halves(low(x) - o.low, high(x) - o.high);
  }
};

template <>
struct Moments<bf16> : FloatLanes {
  NW_INLINE void add_deviation(vf d) { FloatLanes::add(d, d); }
  NW_INLINE void add(const bf16* p, const Origin& o) { add_deviation(load(p) - o.v); }
  NW_INLINE void add(const bf16* p, int count, const Origin& o) { add_deviation(load(p, count, o.v) - o.v); }
};

// Two vectors at p, in the order of load_two.
NW_INLINE void add_two(Moments<float>& one, Moments<float>& other, const float* p, const Origin& a, const Origin& b) {
  one.add(p, a);
  other.add(p + W, b);
}
NW_INLINE void add_two(Moments<bf16>& one, Moments<bf16>& other, const bf16* p, const Origin& a, const Origin& b) {
  const Two x = load_two(p);
  one.add_deviation(x.a - a.v);
  other.add_deviation(x.b - b.v);
}

// g, and g times d, where d is x - hi.
template <class T>
struct Products;

template <>
struct Products<float> : DoubleLanes {
  using DoubleLanes::add;
  NW_INLINE void add(vf g, vf d) { add(low(g), high(g), low(d), high(d)); }
  NW_INLINE void add(vf g, vf x, const Origin& o) { add(low(g), high(g), low(x) - o.low, high(x) - o.high); }
  NW_INLINE void add(const float* g, const float* x, const Origin& o) {
    add(low(g), high(g), low(x) - o.low, high(x) - o.high);
  }
  NW_INLINE void add(Lanes lanes, const float* g, const float* x, const Origin& o) {
    add(low(lanes, g), high(lanes, g), low(x) - o.low, high(x) - o.high);
  }
};

template <>
struct Products<bf16> : FloatLanes {};

}  // namespace NW_ISA
