// What forward and backward do with vectors, and with the positions of a row.
#pragma once

#include "channel.h"
#include "sums.h"

namespace NW_ISA {

// Calls real(begin, end) for stretches of real positions of a row, padding(begin, end) for the others.
template <class Real, class Padding>
NW_INLINE void stretches(const uint8_t* mask, int64_t length, Real real, Padding padding) {
  if (mask == nullptr) {
    real(int64_t{0}, length);
    return;
  }
  for (int64_t begin = 0; begin < length;) {
    const bool is_real = mask[begin] != 0;
    const void* change = std::memchr(mask + begin, is_real ? 0 : 1, static_cast<size_t>(length - begin));
    const int64_t end = change ? static_cast<const uint8_t*>(change) - mask : length;
    if (is_real) {
      real(begin, end);
    } else {
      padding(begin, end);
    }
    begin = end;
  }
}

struct Nothing {
  NW_INLINE void operator()(int64_t, int64_t) const {}
};

template <class T>
NW_INLINE void fill_zero(T* p, int64_t count) {
  if (p != nullptr) std::memset(static_cast<void*>(p), 0, static_cast<size_t>(count) * sizeof(T));
}

// x - hi; where the output took the place of the input it is (z - bias) / scale, and z follows from the output
// (Rota Bulo et al. 2018, section 3.1).
template <bool FROM_OUTPUT>
NW_INLINE vf deviation_of(const Affine& f, vf x, Activation kind) {
  if constexpr (FROM_OUTPUT) {
    const vf z = kind == Activation::leaky_relu ? (x > vf{} ? x : x * splat(100.0f)) : x;
    return (z - f.hi) * f.scale;
  } else {
    return f.deviation(x);
  }
}

// The gradient before the activation. `slope_source` is the output of a ReLU, the residual of any other activation.
template <int ACT, bool RES, bool FROM_OUTPUT>
NW_INLINE vf gradient_of(const Affine& f, vf x, vf d, vf slope_source, vf grad, Activation kind) {
  if constexpr (ACT == NONE) {
    return grad;
  } else if constexpr (FROM_OUTPUT) {
    return backward_of<ACT>(x, grad, kind);  // which has the sign of z
  } else if constexpr (RES && ACT == RELU) {
    return backward_of<ACT>(slope_source, grad, kind);
  } else if constexpr (RES) {
    return backward_of<ACT>(f.from_deviation(d) + slope_source, grad, kind);
  } else {
    return backward_of<ACT>(f.from_deviation(d), grad, kind);
  }
}

// Pointers to the same elements of the tensors of a backward pass. Where a residual was added, the gradient before
// the activation is kept: it is the residual's, and the second pass reads it again.
template <class T>
struct Backward {
  const T* x;
  const T* slope_source;
  const T* grad;
  T* kept;

  // So many elements further on.
  template <bool RES>
  NW_INLINE Backward after(int64_t count) const {
    return {x + count, slope_source + (RES ? count : 0), grad + count, kept + (RES ? count : 0)};
  }
};

// Adds what one vector has to the sums of gradients and products; `count` elements, unless WHOLE.
template <class T, int ACT, bool RES, bool FROM_OUTPUT, bool WHOLE>
NW_INLINE void add_products(const Backward<T>& p, int count, const Affine& f, const Origin& origin, Activation kind,
                            Products<T>& sums) {
  constexpr bool DIRECT = WHOLE && !RES && !FROM_OUTPUT && std::is_same_v<T, float>;
  if constexpr (DIRECT && ACT == NONE) {
    sums.add(p.grad, p.x, origin);
  } else if constexpr (DIRECT && ACT == RELU) {
    sums.add(passes(f(load(p.x))), p.grad, p.x, origin);
  } else {
    const vf x = WHOLE ? load(p.x) : load(p.x, count, f.hi), d = deviation_of<FROM_OUTPUT>(f, x, kind);
    vf t{};
    if constexpr (RES) t = WHOLE ? load(p.slope_source) : load(p.slope_source, count, vf{});
    const vf grad = WHOLE ? load(p.grad) : load(p.grad, count, vf{});
    vf g = gradient_of<ACT, RES, FROM_OUTPUT>(f, x, d, t, grad, kind);
    if constexpr (!WHOLE) g = select(lanes_below(count), g, vf{});
    if constexpr (RES && WHOLE) store(p.kept, g);
    if constexpr (RES && !WHOLE) store(p.kept, g, count);
    // Lanes behind the end have no gradient, and must not have an infinite deviation.
    if constexpr (FROM_OUTPUT || std::is_same_v<T, bf16>) {
      sums.add(g, WHOLE ? d : select(lanes_below(count), d, vf{}));
    } else {
      sums.add(g, x, origin);
    }
  }
}

// Two whole vectors, in the order of load_two.
template <class T, int ACT, bool RES, bool FROM_OUTPUT>
NW_INLINE void add_products_two(const Backward<T>& p, const Affine (&f)[2], const Origin (&origin)[2], Activation kind,
                                Products<T>& one, Products<T>& other) {
  if constexpr (std::is_same_v<T, float>) {
    add_products<T, ACT, RES, FROM_OUTPUT, true>(p, W, f[0], origin[0], kind, one);
    add_products<T, ACT, RES, FROM_OUTPUT, true>(p.template after<RES>(W), W, f[1], origin[1], kind, other);
  } else {
    const Two x = load_two(p.x), grad = load_two(p.grad);
    Two t{}, g;
    if constexpr (RES) t = load_two(p.slope_source);
    const vf d = deviation_of<FROM_OUTPUT>(f[0], x.a, kind), e = deviation_of<FROM_OUTPUT>(f[1], x.b, kind);
    g.a = gradient_of<ACT, RES, FROM_OUTPUT>(f[0], x.a, d, t.a, grad.a, kind);
    g.b = gradient_of<ACT, RES, FROM_OUTPUT>(f[1], x.b, e, t.b, grad.b, kind);
    if constexpr (RES) store_two(p.kept, g);
    one.add(g.a, d);
    other.add(g.b, e);
  }
}

// The gradient of x, from the gradient before the activation where a residual was added, else before it.
template <int ACT, bool RES, bool FROM_OUTPUT>
NW_INLINE vf grad_x_of(const Affine& f, const Slopes& slopes, vf x, vf grad, Activation kind) {
  const vf d = deviation_of<FROM_OUTPUT>(f, x, kind);
  return slopes(gradient_of<RES ? NONE : ACT, false, FROM_OUTPUT>(f, x, d, vf{}, grad, kind), d);
}

}  // namespace NW_ISA
