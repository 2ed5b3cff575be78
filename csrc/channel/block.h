// Parts of a tensor that one thread takes through all steps of a pass, and the names that both ways through memory have
// for the steps. ForwardPlanes, BackwardPlanes, ForwardColumns and BackwardColumns each have three methods:
//
//   reduce(block, ...)           the first pass over memory: adds up the sums of the block's channels
//   finish(c_begin, c_end, sums) once the sums of these channels are over all rows: statistics, or gradients of
//                                them and of the parameters
//   apply(block, ...)            the second pass over memory: writes the outputs
#pragma once

#include <cstdint>

#include "call.h"
#include "vectors/vector.h"

namespace NW_ISA {

struct Block {
  int64_t row_begin, row_end, c_begin, c_end;

  NW_INLINE int64_t rows() const { return row_end - row_begin; }
  NW_INLINE int64_t channels() const { return c_end - c_begin; }
};

// In which order memory is passed over: the second time backwards, to find in the cache what was read last.
enum class Order { forwards, backwards };

// Two numbers of each of some channels; see sums.h. finish() overwrites them with what apply() needs.
struct ChannelSums {
  double* values;
  double* products;

  NW_INLINE ChannelSums from(int64_t channel) const { return {values + channel, products + channel}; }
};

// A channel is one thread's, unless there are too few channels to go round: then the threads share the rows.
inline bool shares_rows(const Call& call, int64_t rows) {
  return call.threads > 1 && call.c < 4 * call.threads && call.c % call.threads != 0 && rows >= call.threads;
}

}  // namespace NW_ISA
