// Sums over the elements of a channel: of values, and of products of each value with a deviation. In the forward pass
// the values are the deviations from an origin, so the products are squares; in the backward pass they are gradients.
//
// Sums of float are in double: values, gradients and products may cancel, so that what is left of them is far smaller
// than what was added. Sums of bfloat16 are in float, a few elements at a time: its elements have 8 bits.
#pragma once

#include <type_traits>

#include "vectors/double_halves.h"
#include "vectors/relu.h"
#include "vectors/vec_pair.h"

namespace NW_ISA {

// Of one channel, whose total is over all lanes; or of a channel, or column, in each lane.
struct Sums {
  DoubleVec values_low{}, values_high{}, products_low{}, products_high{};

  NW_INLINE void add(DoubleVec v_low, DoubleVec v_high, DoubleVec p_low, DoubleVec p_high) {
    values_low += v_low;
    values_high += v_high;
    products_low += p_low;
    products_high += p_high;
  }

  NW_INLINE double total_values() const { return sum_lanes(values_low + values_high); }
  NW_INLINE double total_products() const { return sum_lanes(products_low + products_high); }
};

// Vectors after which the sums of a few elements are added to Sums.
constexpr int64_t VECTORS_PER_FLUSH = 32;

// A vector of the numbers that deviations are taken from, the mean of each lane's channel or a number near to it, and
// its halves.
struct Origin {
  FloatVec vector;
  DoubleVec low, high;

  NW_INLINE explicit Origin(FloatVec origin) : vector(origin), low(widen_low(origin)), high(widen_high(origin)) {}
};

// Sums of a few elements of float. To subtract and to multiply in double loses nothing, whatever the mean.
struct DoubleSums {
  DoubleVec values_low{}, values_high{}, products_low{}, products_high{};

  // Adds values and their products with factors.
  NW_INLINE void add(DoubleVec value_low, DoubleVec value_high, DoubleVec factor_low, DoubleVec factor_high) {
    values_low = add_by_fma(values_low, value_low);
    values_high = add_by_fma(values_high, value_high);
    products_low += value_low * factor_low;
    products_high += value_high * factor_high;
  }
  NW_INLINE void add_to(Sums& s) const { s.add(values_low, values_high, products_low, products_high); }
};

// The same of bfloat16.
struct FloatSums {
  FloatVec values{}, products{};

  NW_INLINE void add(FloatVec value, FloatVec factor) {
    values += value;
    products += value * factor;
  }
  NW_INLINE void add_to(Sums& s) const {
    s.add(widen_low(values), widen_high(values), widen_low(products), widen_high(products));
  }
};

// Sums of deviations, d = x - origin, and of their squares. Lanes after the last element are at the origin, and add
// nothing.
template <class T>
struct MomentSums;

template <>
struct MomentSums<float> : DoubleSums {
  NW_INLINE void add_deviations(DoubleVec low, DoubleVec high) { DoubleSums::add(low, high, low, high); }
  NW_INLINE void add(const float* p, const Origin& o) { add_deviations(widen_low(p) - o.low, widen_high(p) - o.high); }
  NW_INLINE void add(const float* p, int count, const Origin& o) {
    const FloatVec x = load(p, count, o.vector);
    add_deviations(widen_low(x) - o.low, widen_high(x) - o.high);
  }
};

template <>
struct MomentSums<bf16> : FloatSums {
  NW_INLINE void add_deviations(FloatVec d) { FloatSums::add(d, d); }
  NW_INLINE void add(const bf16* p, const Origin& o) { add_deviations(load(p) - o.vector); }
  NW_INLINE void add(const bf16* p, int count, const Origin& o) { add_deviations(load(p, count, o.vector) - o.vector); }
};

// Adds the two vectors at p; sums and origins are in pair order.
NW_INLINE void add_pair(MomentSums<float>& even, MomentSums<float>& odd, const float* p, const Origin& even_origin,
                        const Origin& odd_origin) {
  even.add(p, even_origin);
  odd.add(p + LANES, odd_origin);
}
NW_INLINE void add_pair(MomentSums<bf16>& even, MomentSums<bf16>& odd, const bf16* p, const Origin& even_origin,
                        const Origin& odd_origin) {
  const VecPair x = load_pair(p);
  even.add_deviations(x.even - even_origin.vector);
  odd.add_deviations(x.odd - odd_origin.vector);
}

// Sums of gradients g, and of their products with deviations d = x - origin.
template <class T>
struct ProductSums;

template <>
struct ProductSums<float> : DoubleSums {
  using DoubleSums::add;
  NW_INLINE void add(FloatVec g, FloatVec d) { add(widen_low(g), widen_high(g), widen_low(d), widen_high(d)); }
  NW_INLINE void add(FloatVec g, FloatVec x, const Origin& o) {
    add(widen_low(g), widen_high(g), widen_low(x) - o.low, widen_high(x) - o.high);
  }
  NW_INLINE void add(const float* g, const float* x, const Origin& o) {
    add(widen_low(g), widen_high(g), widen_low(x) - o.low, widen_high(x) - o.high);
  }
  // Only the gradients of some lanes.
  NW_INLINE void add(LaneMask lanes, const float* g, const float* x, const Origin& o) {
    add(widen_low(lanes, g), widen_high(lanes, g), widen_low(x) - o.low, widen_high(x) - o.high);
  }
};

template <>
struct ProductSums<bf16> : FloatSums {};

}  // namespace NW_ISA
