// The panel of a thread: the numbers of its columns.
#pragma once

#include <memory>
#include <new>
#include <type_traits>

#include "channel/affine.h"
#include "channel/sums.h"
#include "columns/view.h"

namespace NW_ISA {

struct AlignedDelete {
  void operator()(void* p) const { ::operator delete[](p, std::align_val_t{64}); }
};

template <class T>
std::unique_ptr<T, AlignedDelete> aligned_array(int64_t count) {
  return std::unique_ptr<T, AlignedDelete>(
      static_cast<T*>(::operator new[](static_cast<size_t>(count) * sizeof(T), std::align_val_t{64})));
}

// Arrays over columns, each padded to whole pairs of vectors, `stride` apart: the two sums, the shift, and three
// numbers of Affine and of InputGradient. After them three of channels, before these are spread over their columns.
class Panel {
 public:
  Panel(const ColumnView& view, int64_t channels)
      : columns_per_channel_(view.columns_per_channel),
        stride_((channels * view.columns_per_channel + 2 * LANES - 1) / LANES * LANES),
        doubles_(aligned_array<double>(2 * stride_)),
        floats_(aligned_array<float>(10 * stride_)) {}

  static constexpr int64_t BYTES_PER_COLUMN = 2 * sizeof(double) + 10 * sizeof(float);

  NW_INLINE int64_t stride() const { return stride_; }
  NW_INLINE ChannelSums sums() const { return {doubles_.get(), doubles_.get() + stride_}; }
  NW_INLINE float* shift() const { return floats_.get(); }
  NW_INLINE float* affine() const { return floats_.get() + stride_; }
  NW_INLINE float* input_gradient() const { return floats_.get() + 4 * stride_; }

  // One number of the two vectors of columns at p, in pair order.
  template <class T>
  NW_INLINE VecPair pair_at(const float* p) const {
    return to_pair_order<T>(load_pair(p));
  }
  // Affine or InputGradient of the vector of columns at p, which is somewhere in affine() or input_gradient().
  template <class Numbers>
  NW_INLINE Numbers numbers_at(const float* p) const {
    return {load(p), load(p + stride_), load(p + 2 * stride_)};
  }
  // The same of two vectors of columns, in pair order.
  template <class T, class Numbers>
  NW_INLINE void numbers_pair_at(const float* p, Numbers (&numbers)[2]) const {
    const VecPair first = pair_at<T>(p), second = pair_at<T>(p + stride_), third = pair_at<T>(p + 2 * stride_);
    numbers[0] = {first.even, second.even, third.even};
    numbers[1] = {first.odd, second.odd, third.odd};
  }

  void clear_sums() const { std::memset(doubles_.get(), 0, static_cast<size_t>(2 * stride_) * sizeof(double)); }

  // Adds MomentSums or ProductSums to those of the vector of columns from `column` on; of two vectors, given in pair
  // order.
  template <class VectorSums>
  NW_INLINE void add(int64_t column, const VectorSums& added) const {
    Sums sums = sums_at(column);
    added.add_to(sums);
    store_sums(column, sums);
  }
  template <class T, class VectorSums>
  NW_INLINE void add_pair(int64_t column, VectorSums even, VectorSums odd) const {
    if constexpr (std::is_same_v<T, bf16>) {
      const VecPair values = to_memory_order<T>({even.values, odd.values});
      const VecPair products = to_memory_order<T>({even.products, odd.products});
      even.values = values.even, odd.values = values.odd;
      even.products = products.even, odd.products = products.odd;
    }
    add(column, even);
    add(column + LANES, odd);
  }

  // Makes the sums of columns those of channels.
  void fold_columns(int64_t channels) const {
    if (columns_per_channel_ == 1) return;
    const ChannelSums both = sums();
    for (double* sums : {both.values, both.products}) {
      for (int64_t c = 0; c < channels; ++c) {
        const double* const columns = sums + c * columns_per_channel_;
        DoubleVec total{};
        double others = 0;
        int64_t j = 0;
        for (; j + DOUBLE_LANES <= columns_per_channel_; j += DOUBLE_LANES) total += load(columns + j);
        for (; j < columns_per_channel_; ++j) others += columns[j];
        sums[c] = sum_lanes(total) + others;
      }
    }
  }

  // compute(p) writes `arrays` numbers of each channel, at p and `stride` apart; here they come for each column.
  template <class Compute>
  void spread(float* to, int arrays, int64_t channels, Compute compute) const {
    if (columns_per_channel_ == 1) return compute(to);
    float* const of_channels = floats_.get() + 7 * stride_;
    compute(of_channels);
    for (int64_t i = 0; i < arrays; ++i) {
      float* out = to + i * stride_;
      for (int64_t c = 0; c < channels; ++c, out += columns_per_channel_) {
        const FloatVec value = splat(of_channels[i * stride_ + c]);
        // After the channel's end the next one writes, or nothing is read.
        for (int64_t j = 0; j < columns_per_channel_; j += LANES) store(out + j, value);
      }
    }
  }

 private:
  NW_INLINE Sums sums_at(int64_t column) const {
    const ChannelSums from = sums().from(column);
    return {load(from.values), load(from.values + DOUBLE_LANES), load(from.products),
            load(from.products + DOUBLE_LANES)};
  }
  NW_INLINE void store_sums(int64_t column, const Sums& added) const {
    const ChannelSums to = sums().from(column);
    store(to.values, added.values_low);
    store(to.values + DOUBLE_LANES, added.values_high);
    store(to.products, added.products_low);
    store(to.products + DOUBLE_LANES, added.products_high);
  }

  int64_t columns_per_channel_, stride_;
  std::unique_ptr<double, AlignedDelete> doubles_;
  std::unique_ptr<float, AlignedDelete> floats_;
};

}  // namespace NW_ISA
