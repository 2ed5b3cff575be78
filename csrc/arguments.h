// Calls of the kernels from those of normwise.kernels: a Call or a BackwardCall, with attributes of its own each.
#pragma once

#include <algorithm>
#include <iterator>
#include <vector>

#include "call.h"
#include "python.h"

// A mask, in which any byte other than 0 is True, as bytes of 0 and 1: the kernels look for either. `copy` is where
// they are put if they have to be.
inline int64_t take_mask(Call& call, const uint8_t* mask, std::vector<uint8_t>& copy) {
  const int64_t positions = call.n * call.s;
  if (mask == nullptr) return positions;
  int64_t count = 0;
  uint8_t all = 0;
  for (int64_t i = 0; i < positions; ++i) {
    count += mask[i] != 0;
    all |= mask[i];
  }
  call.mask = mask;
  if (all > 1) {
    copy.resize(static_cast<size_t>(positions));
    std::transform(mask, mask + positions, copy.begin(), [](uint8_t byte) { return uint8_t{byte != 0}; });
    call.mask = copy.data();
  }
  return count;
}

// Least number of elements per thread for which a second thread pays off.
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
  static Attribute parts_attribute("parts");
  Call call{};
  const nb::tuple layout = nb::cast<nb::tuple>(layout_attribute.of(given));
  require(layout.size() == 4, "the layout is (n, c, s, channels_last)");
  call.n = nb::cast<int64_t>(layout[0]);
  call.c = nb::cast<int64_t>(layout[1]);
  call.s = nb::cast<int64_t>(layout[2]);
  call.channels_last = nb::cast<bool>(layout[3]);
  require(call.n > 0 && call.c > 0 && call.s > 0, "every size must be 1 or more");
  int64_t elements = 0, most = 0;
  const bool overflows = __builtin_mul_overflow(call.n, call.c, &elements) ||
                         __builtin_mul_overflow(elements, call.s, &elements) ||
                         __builtin_mul_overflow(elements, int64_t{16}, &most);
  require(!overflows, "more elements than memory can have");
  require(activation >= 0 && activation < static_cast<int>(std::size(ACTIVATION_NAMES)), "an unknown activation");
  call.bfloat16 = bfloat16;
  call.training = training_attribute.flag(given);
  call.parts = nb::cast<int64_t>(parts_attribute.of(given));
  require(call.parts > 0 && call.parts <= call.n, "a part of a batch has 1 sample or more");
  require(call.parts == 1 || call.training, "only training has parts of a batch");
  call.activation = static_cast<Activation>(activation);
  call.x = pointer<const void>(given, x_attribute);
  require(call.x != nullptr, "the input has no memory");
  call.weight = pointer<const float>(given, weight_attribute);
  call.bias = pointer<const float>(given, bias_attribute);
  const int64_t size = bfloat16 ? 2 : 4;
  call.bytes = elements * size;
  call.threads = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, elements / ELEMENTS_PER_THREAD)));
  call.stream = arrays * call.bytes >= STREAMED;
  call.count = take_mask(call, pointer<const uint8_t>(given, mask_attribute), mask_copy);
  return call;
}

// Bytes of `saved`, with one row per virtual batch.
inline Py_ssize_t saved_bytes(const Call& call) {
  return static_cast<Py_ssize_t>(call.parts * 2 * call.c * static_cast<int64_t>(sizeof(double)));
}

// Python's memory for `saved`, aligned as malloc aligns.
inline nb::object saved_statistics(Call& call) {
  nb::object saved = nb::steal(PyByteArray_FromStringAndSize(nullptr, saved_bytes(call)));
  if (!saved.is_valid()) nb::raise_python_error();
  call.saved = reinterpret_cast<double*>(PyByteArray_AS_STRING(saved.ptr()));
  return saved;
}

// What the forward pass reads and writes besides `call_of`. `counter` is the number of batches so far; without a
// momentum the running statistics are the plain average over them. A batch with fewer than two real positions does not
// count.
inline Call forward_call_of(nb::handle given, bool bfloat16, int threads, int activation, nb::handle out,
                            std::vector<uint8_t>& mask_copy) {
  static Attribute residual_attribute("residual");
  static Attribute eps_attribute("eps");
  static Attribute running_mean_attribute("running_mean");
  static Attribute running_var_attribute("running_var");
  const void* residual = pointer<const void>(given, residual_attribute);
  const int arrays = residual != nullptr ? 3 : 2;  // of all elements: input, output, residual
  Call call = call_of<Pass::forward>(given, bfloat16, threads, activation, arrays, mask_copy);
  call.y = pointer<void>(out);
  require(call.y != nullptr, "the output has no memory");
  call.running_mean = pointer<float>(given, running_mean_attribute);
  call.running_var = pointer<float>(given, running_var_attribute);
  call.eps = number(eps_attribute.of(given));
  call.residual = residual;
  return call;
}

inline void move_counter(nb::handle given, Call& call) {
  static Attribute momentum_attribute("momentum");
  static Attribute counter_attribute("counter");
  const nb::object momentum = momentum_attribute.of(given);
  call.momentum = momentum.is_none() ? 0.0 : number(momentum);
  int64_t* counter = pointer<int64_t>(given, counter_attribute);
  if (counter != nullptr && call.training && call.count > 1) {
    const int64_t batches = ++*counter;
    if (momentum.is_none()) call.momentum = 1.0 / static_cast<double>(batches);
  }
}

// What every part of the backward pass reads besides `call_of`.
inline Call backward_call_of(nb::handle given, bool bfloat16, int threads, int activation, nb::handle grad_residual,
                             std::vector<uint8_t>& mask_copy) {
  static Attribute saved_attribute("saved");
  static Attribute slope_source_attribute("slope_source");
  static Attribute grad_y_attribute("grad_y");
  static Attribute from_output_attribute("from_output");
  const void* slope_source = pointer<const void>(given, slope_source_attribute);
  const int arrays = slope_source != nullptr ? 4 : 3;  // input, gradients of output and input, slope source
  Call call = call_of<Pass::backward>(given, bfloat16, threads, activation, arrays, mask_copy);
  call.slope_source = slope_source;
  call.grad_y = pointer<const void>(given, grad_y_attribute);
  require(call.grad_y != nullptr, "the gradient of the output has no memory");
  call.grad_residual = pointer<void>(grad_residual);
  require(slope_source == nullptr || call.grad_residual != nullptr, "the gradient of the residual has no memory");
  call.from_output = from_output_attribute.flag(given);
  require(!call.from_output || (slope_source == nullptr &&
                                (call.activation == Activation::none || call.activation == Activation::leaky_relu)),
          "this activation can't be undone");
  const nb::object saved = saved_attribute.of(given);
  require(PyByteArray_Check(saved.ptr()) && PyByteArray_GET_SIZE(saved.ptr()) == saved_bytes(call),
          "the saved statistics are of another size");
  call.saved = reinterpret_cast<double*>(PyByteArray_AS_STRING(saved.ptr()));
  return call;
}
