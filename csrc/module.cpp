// The Python module: takes a call and what its results are written to, and calls a kernel. Which set of kernels is
// decided once, when the module is loaded.
#include <nanobind/nanobind.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "arguments.h"
#include "call.h"
#include "python.h"
#include "virtual_batches.h"

using namespace nb::literals;

namespace {

Kernels fastest(const char* wanted) {
#if defined(NW_X86)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  const bool any = wanted == nullptr || *wanted == '\0';
  if (avx512 && (any || std::strcmp(wanted, "avx512") == 0)) return kernels_avx512();
  if (avx2 && (any || std::strcmp(wanted, "avx2") == 0)) return kernels_avx2();
#else
  (void)wanted;
#endif
  return kernels_baseline();
}

const Kernels& kernels() {
  static const Kernels chosen = fastest(std::getenv("NORMWISE_KERNELS"));
  return chosen;
}

// Huge pages for an output before its first touch: fewer faults, each of which costs more than the arithmetic.
void advise(void* p, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t huge = uintptr_t{2} << 20;
  if (p == nullptr || bytes < static_cast<int64_t>(4 * huge)) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(p) + huge - 1) / huge * huge;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(p) + static_cast<uintptr_t>(bytes)) / huge * huge;
  // A hint: where it is refused nothing is lost.
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)p;
  (void)bytes;
#endif
}

// Returns the saved statistics.
nb::object forward(nb::handle given, bool bfloat16, int threads, int activation, nb::handle out, nb::handle batch) {
  std::vector<uint8_t> mask_copy;
  Call call = forward_call_of(given, bfloat16, threads, activation, out, mask_copy);
  require(call.training || (call.running_mean != nullptr && call.running_var != nullptr),
          "evaluation needs running statistics");
  nb::object saved = saved_statistics(call);
  call.batch = pointer<double>(batch);
  move_counter(given, call);
  const nb::gil_scoped_release released;
  if (call.y != call.x) advise(call.y, call.bytes);
  if (call.parts > 1) {
    virtual_batches::forward(kernels(), call);
  } else {
    kernels().forward(call);
  }
  return saved;
}

// Halves of a pass know no virtual batches.
void require_whole(const Call& call) { require(call.parts == 1, "half a pass takes the batch as a whole"); }

// Writes the mean and the biased variance of each channel, (2, c), and returns how many positions are real.
int64_t moments(nb::handle given, bool bfloat16, int threads, nb::handle found) {
  std::vector<uint8_t> mask_copy;
  Call call = call_of<Pass::forward>(given, bfloat16, threads, 0, 1, mask_copy);
  require_whole(call);
  call.moments = pointer<double>(found);
  require(call.moments != nullptr, "the moments have no memory");
  call.training = true;
  call.stage = Stage::reduce;
  std::vector<double> saved(static_cast<size_t>(2 * call.c));
  call.saved = saved.data();
  const nb::gil_scoped_release released;
  kernels().forward(call);
  return call.count;
}

// What is left of a forward pass in training once there are moments, of `count` positions that need not all be the
// call's. Returns the saved statistics.
nb::object normalise(nb::handle given, bool bfloat16, int threads, int activation, nb::handle out, int64_t count,
                     nb::handle moments) {
  std::vector<uint8_t> mask_copy;
  Call call = forward_call_of(given, bfloat16, threads, activation, out, mask_copy);
  require_whole(call);
  require(call.training && count >= 0, "moments are those of training, and of a count");
  call.count = count;
  call.moments = pointer<double>(moments);
  require(call.moments != nullptr, "the moments have no memory");
  nb::object saved = saved_statistics(call);
  move_counter(given, call);
  const nb::gil_scoped_release released;
  advise(call.y, call.bytes);
  kernels().finish(call);
  call.training = false;
  call.stage = Stage::apply;
  kernels().forward(call);
  return saved;
}

void backward(nb::handle given, bool bfloat16, int threads, int activation, nb::handle grad_x, nb::handle grad_residual,
              nb::handle grad_weight, nb::handle grad_bias) {
  std::vector<uint8_t> mask_copy;
  Call call = backward_call_of(given, bfloat16, threads, activation, grad_residual, mask_copy);
  call.grad_x = pointer<void>(grad_x);
  call.grad_weight = pointer<float>(grad_weight);
  call.grad_bias = pointer<float>(grad_bias);
  require(call.grad_x != nullptr && call.grad_weight != nullptr && call.grad_bias != nullptr,
          "a gradient has no memory");
  const nb::gil_scoped_release released;
  advise(call.grad_x, call.bytes);
  advise(call.grad_residual, call.bytes);
  if (call.parts > 1) {
    virtual_batches::backward(kernels(), call);
  } else {
    kernels().backward(call);
  }
}

// The first half of the backward pass: writes the gradients of mean and variance, (2, c), those of the parameters, and
// the real positions of the residual's.
void moments_gradient(nb::handle given, bool bfloat16, int threads, int activation, nb::handle grad_residual,
                      nb::handle grad_weight, nb::handle grad_bias, nb::handle grad_moments) {
  std::vector<uint8_t> mask_copy;
  Call call = backward_call_of(given, bfloat16, threads, activation, grad_residual, mask_copy);
  require_whole(call);
  call.stage = Stage::reduce;
  call.grad_weight = pointer<float>(grad_weight);
  call.grad_bias = pointer<float>(grad_bias);
  call.grad_moments = pointer<double>(grad_moments);
  require(call.grad_moments != nullptr, "a gradient has no memory");
  const nb::gil_scoped_release released;
  advise(call.grad_residual, call.bytes);
  kernels().backward(call);
}

// The second half: writes the gradient of the input, from those of the moments of `count` positions that need not all
// be the call's, and the padding of the residual's.
void input_gradient(nb::handle given, bool bfloat16, int threads, int activation, nb::handle grad_x,
                    nb::handle grad_residual, int64_t count, nb::handle grad_moments) {
  std::vector<uint8_t> mask_copy;
  Call call = backward_call_of(given, bfloat16, threads, activation, grad_residual, mask_copy);
  require_whole(call);
  require(count >= 0, "a count of positions is 0 or more");
  call.stage = Stage::apply;
  call.count = count;
  call.grad_x = pointer<void>(grad_x);
  call.grad_moments = pointer<double>(grad_moments);
  require(call.grad_x != nullptr && call.grad_moments != nullptr, "a gradient has no memory");
  const nb::gil_scoped_release released;
  advise(call.grad_x, call.bytes);
  kernels().backward(call);
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "Batch normalization on the CPU, of calls whose tensors Python has checked.";
  m.def("forward", &forward, "call"_a, "bfloat16"_a, "threads"_a, "activation"_a, "out"_a, "batch"_a.none());
  m.def("moments", &moments, "call"_a, "bfloat16"_a, "threads"_a, "found"_a);
  m.def("backward", &backward, "call"_a, "bfloat16"_a, "threads"_a, "activation"_a, "grad_x"_a,
        "grad_residual"_a.none(), "grad_weight"_a, "grad_bias"_a);
  m.def("normalise", &normalise, "call"_a, "bfloat16"_a, "threads"_a, "activation"_a, "out"_a, "count"_a, "moments"_a);
  m.def("moments_gradient", &moments_gradient, "call"_a, "bfloat16"_a, "threads"_a, "activation"_a,
        "grad_residual"_a.none(), "grad_weight"_a.none(), "grad_bias"_a.none(), "grad_moments"_a);
  m.def("input_gradient", &input_gradient, "call"_a, "bfloat16"_a, "threads"_a, "activation"_a, "grad_x"_a,
        "grad_residual"_a.none(), "count"_a, "grad_moments"_a);
  m.attr("activations") = [] {
    nb::list names;
    for (const char* name : ACTIVATION_NAMES) names.append(name);
    return nb::tuple(names);
  }();
  m.def("instruction_set", [] { return kernels().name; });
}
