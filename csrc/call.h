// What a kernel is asked for: tensors as pointers, so that no header of torch is needed.
#pragma once

#include <cstdint>

// In the order of normwise/activations.py: Python compares the names when it loads the module.
#define NW_ACTIVATIONS(X) X(none) X(relu) X(relu6) X(leaky_relu) X(elu) X(gelu) X(silu) X(hardswish) X(sigmoid) X(tanh)

#define NW_ENUMERATOR(name) name,
enum class Activation : int32_t { NW_ACTIVATIONS(NW_ENUMERATOR) };
#undef NW_ENUMERATOR

#define NW_NAME(name) #name,
constexpr const char* ACTIVATION_NAMES[] = {NW_ACTIVATIONS(NW_NAME)};
#undef NW_NAME

// Steps of a pass that a call asks for: all, or the first or the last alone. Between these the numbers of channels may
// be merged with those of other calls: moments in the forward pass, their gradients in the backward pass.
enum class Stage : int32_t { all, reduce, apply };

// Elements are float, or bfloat16 where `bfloat16` is set; statistics are double, parameters float. A pointer
// may be null where its tensor is absent.
struct Call {
  // (n, c, s) contiguous, or with the channels last (n, s, c), which is the same as (n * s, c).
  int64_t n, c, s;
  int64_t parts;  // each normalised by itself: see virtual_batches.h; 1 for the whole batch
  bool channels_last, bfloat16, training;
  Stage stage;
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
  double* saved;  // (2, c): mean and 1 / sqrt(var + eps); written by forward, read by backward and by forward's `apply`

  // Forward.
  const void* residual;
  void* y;
  double* batch;    // (2, c): mean and Bessel-corrected variance of the batch; null if not needed
  double* moments;  // (2, c): mean and biased variance; null unless asked for or given
  int64_t count;    // real positions, of all calls whose sums were merged

  // Backward. `slope_source` determines the activation's slope if a residual was added: it is the output of a ReLU, the
  // residual of any other activation, and null without a residual. `x` is the output where it took the input's place
  // (`from_output`).
  const void* slope_source;
  const void* grad_y;
  void* grad_x;
  void* grad_residual;
  float* grad_weight;  // this and the next are null if not needed
  float* grad_bias;
  double* grad_parameters;  // (2, c): the same before they are rounded
  double* grad_moments;     // (2, c): of mean and biased variance; null unless asked for or given
  bool from_output;
};

struct Kernels {
  const char* name;
  void (*forward)(const Call&);
  void (*backward)(const Call&);
  void (*finish)(const Call&);  // the steps between: from `moments` to `saved`, `batch`, and running statistics
};

Kernels kernels_baseline();
Kernels kernels_avx2();
Kernels kernels_avx512();
