// The Python module: reads a call's attributes, asks its tensors for their addresses, and calls a kernel. Which set of
// kernels is decided once, when the module is loaded.
#include <nanobind/nanobind.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <stdexcept>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "call.h"

namespace nb = nanobind;
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

// Python has checked all that only it can see, such as what memory a tensor has; here is what can be seen of numbers.
void require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// An attribute of a class with slots. Its descriptor is kept, since a look-up by name costs small calls more than the
// value itself.
class Attribute {
 public:
  explicit Attribute(const char* name) : name_(PyUnicode_InternFromString(name)) {
    if (name_ == nullptr) nb::raise_python_error();
  }

  nb::object of(nb::handle object) {
    PyTypeObject* type = Py_TYPE(object.ptr());
    if (type != type_) {
      nb::object descriptor = nb::steal(PyObject_GetAttr(reinterpret_cast<PyObject*>(type), name_));
      if (!descriptor.is_valid()) nb::raise_python_error();
      get_ = Py_TYPE(descriptor.ptr())->tp_descr_get;
      require(get_ != nullptr, "a call is of a class with slots");
      Py_XDECREF(descriptor_);
      descriptor_ = descriptor.release().ptr();
      type_ = type;
    }
    nb::object value = nb::steal(get_(descriptor_, object.ptr(), reinterpret_cast<PyObject*>(type_)));
    if (!value.is_valid()) nb::raise_python_error();
    return value;
  }

  bool flag(nb::handle object) {
    const int holds = PyObject_IsTrue(of(object).ptr());
    if (holds < 0) nb::raise_python_error();
    return holds != 0;
  }

 private:
  PyObject* name_;
  PyTypeObject* type_ = nullptr;
  PyObject* descriptor_ = nullptr;
  descrgetfunc get_ = nullptr;
};

double number(nb::handle value) {
  const double found = PyFloat_AsDouble(value.ptr());
  if (found == -1.0 && PyErr_Occurred()) nb::raise_python_error();
  return found;
}

// Where a tensor's elements are, by its own word; null for None.
template <class T>
T* pointer(nb::handle tensor) {
  // The method itself: plain tensors have no other, and to look it up costs more than to call it. Never released.
  static PyObject* const data_ptr =
      nb::object(nb::module_::import_("torch").attr("Tensor").attr("data_ptr")).release().ptr();
  if (tensor.is_none()) return nullptr;
  PyObject* arguments[] = {tensor.ptr()};
  const nb::object address = nb::steal(PyObject_Vectorcall(data_ptr, arguments, 1, nullptr));
  if (!address.is_valid()) nb::raise_python_error();
  return reinterpret_cast<T*>(nb::cast<uintptr_t>(address));
}

// The same of a tensor that is an attribute. The call keeps it alive.
template <class T>
T* pointer(nb::handle call, Attribute& attribute) {
  return pointer<T>(attribute.of(call));
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

// Attributes that both passes read, of a Call or a BackwardCall of normwise.kernels: each has attributes of its own.
enum class Pass { forward, backward };

template <Pass pass>
Call call_of(nb::handle given, bool bfloat16, int threads, int activation, int arrays,
             std::vector<uint8_t>& mask_copy) {
  static Attribute layout_attribute("layout");
  static Attribute x_attribute("x");
  static Attribute mask_attribute("mask");
  static Attribute weight_attribute("weight");
  static Attribute bias_attribute("bias");
  static Attribute training_attribute("training");
  Call k{};
  const nb::tuple layout = nb::cast<nb::tuple>(layout_attribute.of(given));
  require(layout.size() == 4, "the layout is (n, c, s, channels_last)");
  k.n = nb::cast<int64_t>(layout[0]);
  k.c = nb::cast<int64_t>(layout[1]);
  k.s = nb::cast<int64_t>(layout[2]);
  k.channels_last = nb::cast<bool>(layout[3]);
  require(k.n > 0 && k.c > 0 && k.s > 0, "every size must be 1 or more");
  int64_t elements = 0, most = 0;
  const bool overflows = __builtin_mul_overflow(k.n, k.c, &elements) ||
                         __builtin_mul_overflow(elements, k.s, &elements) ||
                         __builtin_mul_overflow(elements, int64_t{16}, &most);
  require(!overflows, "more elements than memory can have");
  require(activation >= 0 && activation < static_cast<int>(std::size(ACTIVATION_NAMES)), "an unknown activation");
  k.bfloat16 = bfloat16;
  k.training = training_attribute.flag(given);
  k.activation = static_cast<Activation>(activation);
  k.x = pointer<const void>(given, x_attribute);
  require(k.x != nullptr, "the input has no memory");
  k.weight = pointer<const float>(given, weight_attribute);
  k.bias = pointer<const float>(given, bias_attribute);
  const int64_t size = bfloat16 ? 2 : 4;
  k.bytes = elements * size;
  k.threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, elements / ELEMENTS_PER_THREAD)));
  k.stream = arrays * k.bytes >= STREAMED;
  k.count = take_mask(k, pointer<const uint8_t>(given, mask_attribute), mask_copy);
  return k;
}

// Returns the saved statistics. `counter` is the number of batches so far; without a momentum the running statistics
// are the plain average over them. A batch with fewer than two real positions does not count.
nb::object forward(nb::handle given, bool bfloat16, int threads, int activation, nb::handle out, nb::handle batch) {
  static Attribute residual_attribute("residual");
  static Attribute momentum_attribute("momentum");
  static Attribute eps_attribute("eps");
  static Attribute running_mean_attribute("running_mean");
  static Attribute running_var_attribute("running_var");
  static Attribute counter_attribute("counter");
  std::vector<uint8_t> mask_copy;
  const void* residual = pointer<const void>(given, residual_attribute);
  const int arrays = residual != nullptr ? 3 : 2;  // of all elements: input, output, residual
  Call k = call_of<Pass::forward>(given, bfloat16, threads, activation, arrays, mask_copy);
  k.y = pointer<void>(out);
  require(k.y != nullptr, "the output has no memory");
  k.running_mean = pointer<float>(given, running_mean_attribute);
  k.running_var = pointer<float>(given, running_var_attribute);
  require(k.training || (k.running_mean != nullptr && k.running_var != nullptr), "evaluation needs running statistics");
  // Aligned as malloc aligns.
  nb::object saved = nb::steal(PyByteArray_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(2 * k.c * 8)));
  if (!saved.is_valid()) nb::raise_python_error();
  k.saved = reinterpret_cast<double*>(PyByteArray_AS_STRING(saved.ptr()));
  k.eps = number(eps_attribute.of(given));
  k.residual = residual;
  k.batch = pointer<double>(batch);
  const nb::object momentum = momentum_attribute.of(given);
  k.momentum = momentum.is_none() ? 0.0 : number(momentum);
  int64_t* counter = pointer<int64_t>(given, counter_attribute);
  if (counter != nullptr && k.training && k.count > 1) {
    const int64_t batches = ++*counter;
    if (momentum.is_none()) k.momentum = 1.0 / static_cast<double>(batches);
  }
  const nb::gil_scoped_release released;
  if (k.y != k.x) advise(k.y, k.bytes);
  kernels().forward(k);
  return saved;
}

// Writes the mean and the sum of squared deviations of each channel, (2, c), and returns how many positions are real.
int64_t moments(nb::handle given, bool bfloat16, int threads, nb::handle found) {
  std::vector<uint8_t> mask_copy;
  Call k = call_of<Pass::forward>(given, bfloat16, threads, 0, 1, mask_copy);
  k.moments = pointer<double>(found);
  require(k.moments != nullptr, "the moments have no memory");
  k.training = true;
  std::vector<double> saved(static_cast<size_t>(2 * k.c));
  k.saved = saved.data();
  const nb::gil_scoped_release released;
  kernels().forward(k);
  return k.count;
}

void backward(nb::handle given, bool bfloat16, int threads, int activation, nb::handle grad_x, nb::handle grad_residual,
              nb::handle grad_weight, nb::handle grad_bias) {
  static Attribute saved_attribute("saved");
  static Attribute slope_source_attribute("slope_source");
  static Attribute grad_y_attribute("grad_y");
  static Attribute from_output_attribute("from_output");
  std::vector<uint8_t> mask_copy;
  const void* slope_source = pointer<const void>(given, slope_source_attribute);
  const int arrays = slope_source != nullptr ? 4 : 3;  // input, gradients of output and input, slope source
  Call k = call_of<Pass::backward>(given, bfloat16, threads, activation, arrays, mask_copy);
  k.slope_source = slope_source;
  k.grad_y = pointer<const void>(given, grad_y_attribute);
  k.grad_x = pointer<void>(grad_x);
  k.grad_residual = pointer<void>(grad_residual);
  k.grad_weight = pointer<float>(grad_weight);
  k.grad_bias = pointer<float>(grad_bias);
  require(k.grad_y != nullptr && k.grad_x != nullptr && k.grad_weight != nullptr && k.grad_bias != nullptr,
          "a gradient has no memory");
  require(slope_source == nullptr || k.grad_residual != nullptr, "the gradient of the residual has no memory");
  k.from_output = from_output_attribute.flag(given);
  require(!k.from_output ||
              (slope_source == nullptr && (k.activation == Activation::none || k.activation == Activation::leaky_relu)),
          "this activation can't be undone");
  const nb::object saved = saved_attribute.of(given);
  require(PyByteArray_Check(saved.ptr()) && PyByteArray_GET_SIZE(saved.ptr()) == static_cast<Py_ssize_t>(2 * k.c * 8),
          "the saved statistics are of another size");
  k.saved = reinterpret_cast<double*>(PyByteArray_AS_STRING(saved.ptr()));
  const nb::gil_scoped_release released;
  advise(k.grad_x, k.bytes);
  advise(k.grad_residual, k.bytes);
  kernels().backward(k);
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "Batch normalization on the CPU, of calls whose tensors Python has checked.";
  m.def("forward", &forward, "call"_a, "bfloat16"_a, "threads"_a, "activation"_a, "out"_a, "batch"_a.none());
  m.def("moments", &moments, "call"_a, "bfloat16"_a, "threads"_a, "found"_a);
  m.def("backward", &backward, "call"_a, "bfloat16"_a, "threads"_a, "activation"_a, "grad_x"_a,
        "grad_residual"_a.none(), "grad_weight"_a, "grad_bias"_a);
  m.attr("activations") = [] {
    nb::list names;
    for (const char* name : ACTIVATION_NAMES) names.append(name);
    return nb::tuple(names);
  }();
  m.def("instruction_set", [] { return kernels().name; });
}
