// Stretches of real positions and of padding in a row.
#pragma once

#include <cstdint>
#include <cstring>

#include "vectors/vector.h"

namespace NW_ISA {

// Calls real(begin, end) for each stretch of real positions of a row, padding(begin, end) for each of the others.
template <class Real, class Padding>
NW_INLINE void over_stretches(const uint8_t* mask, int64_t length, Real real, Padding padding) {
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

// What a first pass does with padding: nothing.
struct SkipPadding {
  NW_INLINE void operator()(int64_t, int64_t) const {}
};

template <class T>
NW_INLINE void fill_zero(T* p, int64_t count) {
  if (p != nullptr) std::memset(static_cast<void*>(p), 0, static_cast<size_t>(count) * sizeof(T));
}

}  // namespace NW_ISA
