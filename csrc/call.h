// What a kernel is asked for: tensors as pointers, so that no header of torch is needed.
#pragma once

#include <cstdint>

enum class Activation : int32_t { none, relu, relu6, leaky_relu, elu, gelu, silu, hardswish, sigmoid, tanh };

// Elements are float, or bfloat16 where `bfloat16` is set; statistics are double, parameters float. A pointer
// may be null where its tensor is absent.
struct Call {
  // (n, c, s) contiguous, or with the channels last (n, s, c), which is the same as (n * s, c).
  int64_t n, c, s;
  bool channels_last, bfloat16, training;
  int threads;
  bool stream;    // outputs are written past the caches
  int64_t bytes;  // of an array of all elements
  Activation activation;
  double momentum, eps;

  const void* x;
  const uint8_t* mask;  // (n, s), 1 where a position is real, else 0
  const float* weight;
  const float* bias;
  float* running_mean;
  float* running_var;
  double* saved;  // (2, c): mean and 1 / sqrt(var + eps); written by forward, read by backward

  // Forward.
  const void* residual;
  void* y;          // null where only moments are asked for
  double* batch;    // (2, c): mean and Bessel-corrected variance of the batch; null where nobody asks
  double* moments;  // (2, c): mean and sum of squared deviations; null where nobody asks
  int64_t count;    // real positions

  // Backward. `slope_source` tells the activation's slope where a residual was added: it is the output of a ReLU, the
  // residual of any other activation, and null without a residual. `x` is the output where it took the input's place
  // (`from_output`).
  const void* slope_source;
  const void* grad_y;
  void* grad_x;
  void* grad_residual;
  float* grad_weight;
  float* grad_bias;
  bool from_output;
};

struct Kernels {
  const char* name;
  void (*forward)(const Call&);
  void (*backward)(const Call&);
};

Kernels kernels_baseline();
Kernels kernels_avx2();
Kernels kernels_avx512();
