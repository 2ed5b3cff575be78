// The Python module: pointers in, kernels called. Which of them is decided once, when the module is loaded.
#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "call.h"

namespace nb = nanobind;

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

template <class T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
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

// Python has checked all that only it can see, such as what memory a tensor has; here is what can be seen of numbers.
void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// A mask, of which a byte that is not 0 is True, as bytes of 0 and 1: the kernels look for either. `copy` is where they
// are put if they have to be.
int64_t take_mask(Call& k, const uint8_t* mask, std::vector<uint8_t>& copy) {
  const int64_t positions = k.n * k.s;
  if (mask == nullptr) return positions;
  int64_t count = 0;
  uint8_t all = 0;
  for (int64_t i = 0; i < positions; ++i) {
    count += mask[i] != 0;
    all |= mask[i];
  }
  k.mask = mask;
  if (all > 1) {
    copy.resize(static_cast<size_t>(positions));
    std::transform(mask, mask + positions, copy.begin(), [](uint8_t byte) { return uint8_t{byte != 0}; });
    k.mask = copy.data();
  }
  return count;
}

// A second thread is worth its while for so many elements of its own.
constexpr int64_t ELEMENTS_PER_THREAD = 32768;
// Outputs go past the caches where all arrays of a pass together are more than a last-level cache keeps.
constexpr int64_t STREAMED = int64_t{32} << 20;

Call call_of(const nb::tuple& shape, bool bfloat16, bool training, int threads, int activation, int arrays, uintptr_t x,
             uintptr_t mask, uintptr_t weight, uintptr_t bias, std::vector<uint8_t>& mask_copy) {
  Call k{};
  k.n = nb::cast<int64_t>(shape[0]);
  k.c = nb::cast<int64_t>(shape[1]);
  k.s = nb::cast<int64_t>(shape[2]);
  k.channels_last = nb::cast<bool>(shape[3]);
  require(k.n > 0 && k.c > 0 && k.s > 0, "every size must be 1 or more");
  int64_t elements = 0, most = 0;
  const bool overflows = __builtin_mul_overflow(k.n, k.c, &elements) ||
                         __builtin_mul_overflow(elements, k.s, &elements) ||
                         __builtin_mul_overflow(elements, int64_t{16}, &most);
  require(!overflows, "more elements than memory can have");
  require(activation >= 0 && activation <= static_cast<int>(Activation::tanh), "an unknown activation");
  require(x != 0, "the input has no memory");
  k.bfloat16 = bfloat16;
  k.training = training;
  k.activation = static_cast<Activation>(activation);
  k.x = pointer<const void>(x);
  k.weight = pointer<const float>(weight);
  k.bias = pointer<const float>(bias);
  const int64_t size = bfloat16 ? 2 : 4;
  k.bytes = elements * size;
  k.threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, elements / ELEMENTS_PER_THREAD)));
  k.stream = arrays * k.bytes >= STREAMED;
  k.count = take_mask(k, pointer<const uint8_t>(mask), mask_copy);
  return k;
}

// Returns the saved statistics. `counter` is the number of batches so far; with `average` the running statistics are
// the plain average over them, whatever the momentum. A batch with fewer than two real positions does not count.
nb::object forward(const nb::tuple& shape, bool bfloat16, bool training, int threads, int activation, double momentum,
                   bool average, double eps, uintptr_t x, uintptr_t mask, uintptr_t weight, uintptr_t bias,
                   uintptr_t running_mean, uintptr_t running_var, uintptr_t counter, uintptr_t residual, uintptr_t y,
                   uintptr_t batch) {
  std::vector<uint8_t> mask_copy;
  const int arrays = residual != 0 ? 3 : 2;  // of all elements: input, output, residual
  Call k = call_of(shape, bfloat16, training, threads, activation, arrays, x, mask, weight, bias, mask_copy);
  require(y != 0, "the output has no memory");
  require(training || (running_mean != 0 && running_var != 0), "evaluation needs running statistics");
  require(!average || counter != 0, "an average needs a counter");
  // Aligned as malloc aligns.
  nb::object saved = nb::steal(PyByteArray_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(2 * k.c * 8)));
  if (!saved.is_valid()) nb::raise_python_error();
  k.saved = reinterpret_cast<double*>(PyByteArray_AS_STRING(saved.ptr()));
  k.eps = eps;
  k.running_mean = pointer<float>(running_mean);
  k.running_var = pointer<float>(running_var);
  k.residual = pointer<const void>(residual);
  k.y = pointer<void>(y);
  k.batch = pointer<double>(batch);
  k.momentum = momentum;
  if (counter != 0 && training && k.count > 1) {
    const int64_t batches = ++*pointer<int64_t>(counter);
    if (average) k.momentum = 1.0 / static_cast<double>(batches);
  }
  const nb::gil_scoped_release released;
  if (k.y != k.x) advise(k.y, k.bytes);
  kernels().forward(k);
  return saved;
}

// Writes the mean and the sum of squared deviations of each channel, (2, c), and returns how many positions are real.
int64_t moments(const nb::tuple& shape, bool bfloat16, int threads, uintptr_t x, uintptr_t mask, uintptr_t found) {
  std::vector<uint8_t> mask_copy;
  Call k = call_of(shape, bfloat16, true, threads, 0, 1, x, mask, 0, 0, mask_copy);
  require(found != 0, "the moments have no memory");
  std::vector<double> saved(static_cast<size_t>(2 * k.c));
  k.saved = saved.data();
  k.moments = pointer<double>(found);
  const nb::gil_scoped_release released;
  kernels().forward(k);
  return k.count;
}

void backward(const nb::tuple& shape, bool bfloat16, bool training, int threads, int activation, bool from_output,
              uintptr_t x, uintptr_t mask, uintptr_t weight, uintptr_t bias, nb::handle saved, uintptr_t slope_source,
              uintptr_t grad_y, uintptr_t grad_x, uintptr_t grad_residual, uintptr_t grad_weight, uintptr_t grad_bias) {
  std::vector<uint8_t> mask_copy;
  const int arrays = slope_source != 0 ? 4 : 3;  // input, gradients of output and input, slope source
  Call k = call_of(shape, bfloat16, training, threads, activation, arrays, x, mask, weight, bias, mask_copy);
  require(grad_y != 0 && grad_x != 0 && grad_weight != 0 && grad_bias != 0, "a gradient has no memory");
  require(!from_output ||
              (slope_source == 0 && (k.activation == Activation::none || k.activation == Activation::leaky_relu)),
          "this activation can't be undone");
  k.from_output = from_output;
  if (PyByteArray_Check(saved.ptr())) {
    require(PyByteArray_GET_SIZE(saved.ptr()) == static_cast<Py_ssize_t>(2 * k.c * 8),
            "the saved statistics are of another size");
    k.saved = reinterpret_cast<double*>(PyByteArray_AS_STRING(saved.ptr()));
  } else {
    k.saved = pointer<double>(nb::cast<uintptr_t>(saved));
    require(k.saved != nullptr, "the saved statistics have no memory");
  }
  k.slope_source = pointer<const void>(slope_source);
  k.grad_y = pointer<const void>(grad_y);
  k.grad_x = pointer<void>(grad_x);
  k.grad_residual = pointer<void>(grad_residual);
  k.grad_weight = pointer<float>(grad_weight);
  k.grad_bias = pointer<float>(grad_bias);
  const nb::gil_scoped_release released;
  advise(k.grad_x, k.bytes);
  advise(k.grad_residual, k.bytes);
  kernels().backward(k);
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "Batch normalization on the CPU. Addresses of tensors, which the caller has checked.";
  m.def("forward", &forward);
  m.def("moments", &moments);
  m.def("backward", &backward);
  m.def("instruction_set", [] { return kernels().name; });
}
