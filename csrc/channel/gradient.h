// The backward pass of one or two vectors of elements.
#pragma once

#include "channel/affine.h"
#include "channel/sums.h"
#include "vectors/activation.h"

namespace NW_ISA {

// x - origin; where the output took the place of the input it is (z - bias) / scale, and z follows from the output
// (Rota Bulo et al. 2018, section 3.1).
template <bool from_output>
NW_INLINE FloatVec deviation_of(const Affine& affine, FloatVec x, Activation kind) {
  if constexpr (from_output) {
    const FloatVec z = kind == Activation::leaky_relu ? (x > FloatVec{} ? x : x * splat(100.0f)) : x;
    return (z - affine.origin) * affine.scale;
  } else {
    return affine.deviation(x);
  }
}

// The gradient before the activation, from that of the output; d is the deviation of x.
template <Fused act, bool has_residual, bool from_output>
NW_INLINE FloatVec gradient_of(const Affine& affine, FloatVec x, FloatVec d, FloatVec slope_source, FloatVec grad,
                               Activation kind) {
  if constexpr (act == Fused::none) {
    return grad;
  } else if constexpr (from_output) {
    return gradient_before_activation<act>(x, grad, kind);  // the output has the sign of z
  } else if constexpr (has_residual && act == Fused::relu) {
    return gradient_before_activation<act>(slope_source, grad, kind);
  } else if constexpr (has_residual) {
    return gradient_before_activation<act>(affine.from_deviation(d) + slope_source, grad, kind);
  } else {
    return gradient_before_activation<act>(affine.from_deviation(d), grad, kind);
  }
}

// Pointers to the same elements of the tensors of a backward pass. Where a residual was added, the gradient before the
// activation is kept: it is the residual's, and the second pass reads it again.
template <class T>
struct BackwardPointers {
  const T* x;
  const T* slope_source;
  const T* grad;
  T* kept;

  // Pointers to the elements `count` further on.
  template <bool has_residual>
  NW_INLINE BackwardPointers after(int64_t count) const {
    return {x + count, slope_source + (has_residual ? count : 0), grad + count, kept + (has_residual ? count : 0)};
  }
};

// Adds one vector to the sums of gradients and products; `count` elements of it, unless it is whole.
template <class T, Fused act, bool has_residual, bool from_output, bool whole>
NW_INLINE void add_products(const BackwardPointers<T>& p, int count, const Affine& affine, const Origin& origin,
                            Activation kind, ProductSums<T>& sums) {
  constexpr bool from_memory = whole && !has_residual && !from_output && std::is_same_v<T, float>;
  if constexpr (from_memory && act == Fused::none) {
    sums.add(p.grad, p.x, origin);
  } else if constexpr (from_memory && act == Fused::relu) {
    sums.add(relu_passes(affine(load(p.x))), p.grad, p.x, origin);
  } else {
    const FloatVec x = whole ? load(p.x) : load(p.x, count, affine.origin);
    const FloatVec d = deviation_of<from_output>(affine, x, kind);
    FloatVec source{};
    if constexpr (has_residual) source = whole ? load(p.slope_source) : load(p.slope_source, count, FloatVec{});
    const FloatVec grad = whole ? load(p.grad) : load(p.grad, count, FloatVec{});
    FloatVec g = gradient_of<act, has_residual, from_output>(affine, x, d, source, grad, kind);
    if constexpr (!whole) g = select(lanes_below(count), g, FloatVec{});
    if constexpr (has_residual && whole) store(p.kept, g);
    if constexpr (has_residual && !whole) store(p.kept, g, count);
    // Lanes after the end have no gradient, and must not have an infinite deviation.
    if constexpr (from_output || std::is_same_v<T, bf16>) {
      sums.add(g, whole ? d : select(lanes_below(count), d, FloatVec{}));
    } else {
      sums.add(g, x, origin);
    }
  }
}

// Adds two whole vectors; everything is in pair order.
template <class T, Fused act, bool has_residual, bool from_output>
NW_INLINE void add_products_pair(const BackwardPointers<T>& p, const Affine (&affine)[2], const Origin (&origin)[2],
                                 Activation kind, ProductSums<T>& even, ProductSums<T>& odd) {
  if constexpr (std::is_same_v<T, float>) {
    const BackwardPointers<T> second = p.template after<has_residual>(LANES);
    add_products<T, act, has_residual, from_output, true>(p, LANES, affine[0], origin[0], kind, even);
    add_products<T, act, has_residual, from_output, true>(second, LANES, affine[1], origin[1], kind, odd);
  } else {
    const VecPair x = load_pair(p.x), grad = load_pair(p.grad);
    VecPair source{}, d, g;
    if constexpr (has_residual) source = load_pair(p.slope_source);
    d.even = deviation_of<from_output>(affine[0], x.even, kind);
    d.odd = deviation_of<from_output>(affine[1], x.odd, kind);
    g.even = gradient_of<act, has_residual, from_output>(affine[0], x.even, d.even, source.even, grad.even, kind);
    g.odd = gradient_of<act, has_residual, from_output>(affine[1], x.odd, d.odd, source.odd, grad.odd, kind);
    if constexpr (has_residual) store_pair(p.kept, g);
    even.add(g.even, d.even);
    odd.add(g.odd, d.odd);
  }
}

// The gradient of x, from the kept gradient where a residual was added, else from that of the output.
template <Fused act, bool has_residual, bool from_output>
NW_INLINE FloatVec grad_x_of(const Affine& affine, const InputGradient& gradient, FloatVec x, FloatVec grad,
                             Activation kind) {
  constexpr Fused remaining = has_residual ? Fused::none : act;
  const FloatVec d = deviation_of<from_output>(affine, x, kind);
  return gradient(gradient_of<remaining, false, from_output>(affine, x, d, FloatVec{}, grad, kind), d);
}

}  // namespace NW_ISA
