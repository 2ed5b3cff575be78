// Virtual batches: consecutive parts of a batch, each normalised by its own statistics (Hoffer et al. 2017,
// https://arxiv.org/abs/1705.08741, section 4). In both memory orders a part is one stretch of memory, so a kernel
// takes it for a tensor of its own. Where parts can't be equal, the first ones have a sample more than the others.
//
//   forward   each part with its own row of `saved`; then running statistics, by the moments of all parts merged
//   backward  each part; then the parameters' gradients, which are added up in double
//
// The threads take whole parts, or share each where there are too few.
#pragma once

#include <omp.h>

#include <algorithm>
#include <vector>

#include "call.h"

namespace virtual_batches {

template <class T>
T* after(T* p, int64_t count) {
  return p == nullptr ? nullptr : p + count;
}

inline const void* after(const Call& call, const void* p, int64_t elements) {
  return after(static_cast<const unsigned char*>(p), elements * (call.bfloat16 ? 2 : 4));
}
inline void* after(const Call& call, void* p, int64_t elements) {
  return after(static_cast<unsigned char*>(p), elements * (call.bfloat16 ? 2 : 4));
}

// The call of one part, without what is the batch's as a whole.
inline Call part_of(const Call& call, int64_t i) {
  const int64_t samples = call.n / call.parts, larger = call.n % call.parts;
  const int64_t first = i * samples + std::min(i, larger), elements = first * call.c * call.s;
  Call part = call;
  part.n = samples + (i < larger);
  part.parts = 1;
  part.x = after(call, call.x, elements);
  part.mask = after(call.mask, first * call.s);
  part.count = part.n * call.s;
  if (part.mask != nullptr) part.count = std::count(part.mask, part.mask + part.count, uint8_t{1});
  part.saved = call.saved + i * 2 * call.c;
  part.running_mean = part.running_var = part.grad_weight = part.grad_bias = nullptr;
  part.batch = nullptr;
  part.residual = after(call, call.residual, elements);
  part.y = after(call, call.y, elements);
  part.slope_source = after(call, call.slope_source, elements);
  part.grad_y = after(call, call.grad_y, elements);
  part.grad_x = after(call, call.grad_x, elements);
  part.grad_residual = after(call, call.grad_residual, elements);
  return part;
}

// Calls each(i, part) for all parts.
template <class Each>
void over_parts(const Call& call, Each each) {
  const int64_t parts = call.parts;
  const bool whole = parts >= 4 * call.threads || parts % call.threads == 0;
#pragma omp parallel for schedule(static) num_threads(whole ? call.threads : 1)
  for (int64_t i = 0; i < parts; ++i) {
    Call part = part_of(call, i);
    if (whole) part.threads = 1;
    each(i, part);
  }
}

// Mean and biased variance of the whole batch, (2, c), from those of its parts.
inline std::vector<double> merged(const Call& call, const std::vector<double>& moments) {
  const int64_t parts = call.parts, channels = call.c;
  std::vector<double> whole(static_cast<size_t>(2 * channels));
  double* const mean = whole.data();
  double* const var = mean + channels;
  std::vector<double> shares;
  shares.reserve(static_cast<size_t>(parts));
  for (int64_t i = 0; i < parts; ++i) {
    shares.push_back(static_cast<double>(part_of(call, i).count) / static_cast<double>(call.count));
  }
  const auto over_numbers = [&](auto add) {
    for (int64_t i = 0; i < parts; ++i) {
      const double share = shares[static_cast<size_t>(i)];
      const double* const of_part = moments.data() + i * 2 * channels;
      for (int64_t c = 0; c < channels; ++c) add(share, c, of_part[c], of_part[channels + c]);
    }
  };
  over_numbers([&](double share, int64_t c, double mean_of_part, double) { mean[c] += share * mean_of_part; });
  over_numbers([&](double share, int64_t c, double mean_of_part, double var_of_part) {
    const double between = mean_of_part - mean[c];
    var[c] += share * (var_of_part + between * between);
  });
  return whole;
}

inline void forward(const Kernels& kernels, const Call& call) {
  const bool tells = call.count > 1 && (call.batch != nullptr || call.running_mean != nullptr);
  std::vector<double> moments(static_cast<size_t>(tells ? 2 * call.parts * call.c : 0));
  over_parts(call, [&](int64_t i, Call& part) {
    part.moments = tells ? moments.data() + i * 2 * call.c : nullptr;
    kernels.forward(part);
  });
  if (!tells) return;
  std::vector<double> of_all = merged(call, moments), saved(static_cast<size_t>(2 * call.c));
  Call whole = call;
  whole.moments = of_all.data();
  whole.saved = saved.data();
  kernels.finish(whole);
}

inline void backward(const Kernels& kernels, const Call& call) {
  const int64_t parts = call.parts;
  std::vector<double> gradients(static_cast<size_t>(2 * parts * call.c));
  over_parts(call, [&](int64_t i, Call& part) {
    part.grad_parameters = gradients.data() + i * 2 * call.c;
    kernels.backward(part);
  });
  for (int64_t i = 1; i < parts; ++i) {
    for (int64_t c = 0; c < 2 * call.c; ++c) gradients[c] += gradients[i * 2 * call.c + c];
  }
  for (int64_t c = 0; c < call.c; ++c) {
    call.grad_weight[c] = static_cast<float>(gradients[c]);
    call.grad_bias[c] = static_cast<float>(gradients[call.c + c]);
  }
}

}  // namespace virtual_batches
