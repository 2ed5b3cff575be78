// Holds the kernels of every instruction set that is compiled in, and that this machine has, to reference.h, on a few
// shapes with everything that a call can ask for. Prints a line for each set; exits with 1 if one differs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <string>
#include <vector>

#include "call.h"
#include "reference.h"
#include "smoke_tensors.h"
#include "virtual_batches.h"

namespace {

// The kernels compute activations in float, the reference in double.
constexpr double MOST_UNITS = 8;

// The largest difference, in units of the largest number's last digit.
template <class Value>
double difference(int64_t count, double unit, Value value) {
  double largest = 1e-3, error = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto [got, expected] = value(i);
    largest = std::max(largest, std::fabs(expected));
    error = std::max(error, got == expected ? 0 : std::fabs(got - expected));
    if (std::isnan(got)) return INFINITY;
  }
  return error / (largest * unit);
}

// The forward pass as processes go through it that merge their moments between its halves.
void forward_in_halves(const Kernels& kernels, Tensors& tensors) {
  Call call = tensors.call;
  call.moments = tensors.moments.data();
  call.stage = Stage::reduce;
  call.y = nullptr;
  kernels.forward(call);
  call = tensors.call;
  call.moments = tensors.moments.data();
  kernels.finish(call);
  call.stage = Stage::apply;
  call.training = false;
  kernels.forward(call);
}

void backward_in_halves(const Kernels& kernels, Tensors& tensors) {
  Call call = tensors.call;
  call.grad_moments = tensors.grad_moments.data();
  call.stage = Stage::reduce;
  call.grad_x = nullptr;
  kernels.backward(call);
  call.stage = Stage::apply;
  call.grad_x = tensors.call.grad_x;
  call.grad_weight = call.grad_bias = nullptr;
  kernels.backward(call);
}

// Parts as the reference has them: batches of their own, but for the running statistics.
void reference_forward_in_parts(const Call& call) {
  Bytes y(static_cast<size_t>(call.n * call.c * call.s) * sizeof(float));
  std::vector<double> saved(static_cast<size_t>(2 * call.c));
  Call whole = call;
  whole.y = y.data();
  whole.saved = saved.data();
  reference::forward(whole);
  for (int64_t i = 0; i < call.parts; ++i) reference::forward(virtual_batches::part_of(call, i));
}

void reference_backward_in_parts(const Call& call) {
  std::vector<double> weight(static_cast<size_t>(call.c)), bias(weight);
  for (int64_t i = 0; i < call.parts; ++i) {
    Call part = virtual_batches::part_of(call, i);
    part.grad_weight = call.grad_weight;
    part.grad_bias = call.grad_bias;
    reference::backward(part);
    for (size_t c = 0; c < weight.size(); ++c) {
      weight[c] += static_cast<double>(call.grad_weight[c]);
      bias[c] += static_cast<double>(call.grad_bias[c]);
    }
  }
  std::copy(weight.begin(), weight.end(), call.grad_weight);
  std::copy(bias.begin(), bias.end(), call.grad_bias);
}

void forward(const Kernels& kernels, Tensors& tensors, Way way) {
  if (way == Way::halves) return forward_in_halves(kernels, tensors);
  if (way == Way::parts) return virtual_batches::forward(kernels, tensors.call);
  kernels.forward(tensors.call);
}

void backward(const Kernels& kernels, Tensors& tensors, Way way) {
  if (way == Way::halves) return backward_in_halves(kernels, tensors);
  if (way == Way::parts) return virtual_batches::backward(kernels, tensors.call);
  kernels.backward(tensors.call);
}

std::string first_difference(const Kernels& kernels, const Setting& setting, Way way) {
  Tensors got(setting, way), expected(setting, way);
  forward(kernels, got, way);
  (way == Way::parts ? reference_forward_in_parts : reference::forward)(expected.call);
  const double float_unit = std::ldexp(1, -23), unit = setting.bfloat16 ? std::ldexp(1, -7) : float_unit;
  const int64_t elements = setting.n * setting.c * setting.s;
  std::string found;
  const auto elementwise = [&](const char* name, const void* a, const void* b) {
    if (a == nullptr) return;
    const double units = difference(elements, unit, [&](int64_t i) {
      return std::pair(reference::get(got.call, a, i), reference::get(got.call, b, i));
    });
    if (!(units <= MOST_UNITS)) found += std::string(" ") + name + " by " + std::to_string(units) + " units;";
  };
  const auto per_channel = [&](const char* name, const auto& a, const auto& b, double cancels) {
    const double units = difference(static_cast<int64_t>(a.size()), cancels * unit, [&](int64_t i) {
      const auto at = static_cast<size_t>(i);
      return std::pair(static_cast<double>(a[at]), static_cast<double>(b[at]));
    });
    if (!(units <= MOST_UNITS)) found += std::string(" ") + name + " by " + std::to_string(units) + " units;";
  };
  elementwise("y", got.call.y, expected.call.y);
  per_channel("saved", got.saved, expected.saved, 1);
  per_channel("running mean", got.running_mean, expected.running_mean, 1);
  per_channel("running variance", got.running_var, expected.running_var, 1);
  // The backward pass starts from the same output. Sums may cancel: what counts is the largest of what was added up.
  std::copy(expected.y.begin(), expected.y.end(), got.y.begin());
  std::copy(expected.x.begin(), expected.x.end(), got.x.begin());
  backward(kernels, got, way);
  (way == Way::parts ? reference_backward_in_parts : reference::backward)(expected.call);
  elementwise("grad x", got.call.grad_x, expected.call.grad_x);
  elementwise("grad residual", got.call.grad_residual, expected.call.grad_residual);
  per_channel("grad weight", got.grad_weight, expected.grad_weight, 32);
  per_channel("grad bias", got.grad_bias, expected.grad_bias, 32);
  return found;
}

std::vector<Setting> settings() {
  const int64_t shapes[][3] = {{2, 3, 301}, {5, 2, 37}, {33, 20, 7}, {9, 37, 1}, {4, 1, 50}};
  std::vector<Setting> all;
  for (const auto& shape : shapes) {
    for (int bits = 0; bits < 64; ++bits) {
      for (int kind = 0; kind < static_cast<int>(std::size(ACTIVATION_NAMES)); ++kind) {
        const Setting setting{
            shape[0],        shape[1],        shape[2],         (bits & 1) != 0,  (bits & 2) != 0,
            (bits & 4) != 0, (bits & 8) != 0, (bits & 16) != 0, (bits & 32) != 0, static_cast<Activation>(kind),
            1 + bits % 2};
        const bool undone = setting.activation == Activation::none || setting.activation == Activation::leaky_relu;
        if (!setting.in_place || (undone && !setting.residual)) all.push_back(setting);
      }
    }
  }
  return all;
}

bool equals_reference(const Kernels& kernels) {
  int calls = 0, wrong = 0;
  const auto check = [&](const Setting& s, Way way) {
    ++calls;
    const std::string found = first_difference(kernels, s, way);
    if (found.empty() || ++wrong > 20) return;
    std::printf("%s%s, (%d, %d, %d), channels %s, %s, %s%s%s%s, activation %d, threads %d:%s\n", kernels.name,
                way == Way::whole    ? ""
                : way == Way::halves ? " in halves"
                                     : " in parts",
                static_cast<int>(s.n), static_cast<int>(s.c), static_cast<int>(s.s),
                s.channels_last ? "last" : "second", s.bfloat16 ? "bfloat16" : "float",
                s.training ? "training" : "evaluation", s.masked ? ", mask" : "", s.residual ? ", residual" : "",
                s.in_place ? ", in place" : "", static_cast<int>(s.activation), s.threads, found.c_str());
  };
  for (const Setting& s : settings()) {
    check(s, Way::whole);
    if (s.training) check(s, Way::parts);
    if (s.training && !s.in_place) check(s, Way::halves);
  }
  std::printf("%s: %d calls, %d differ from the reference\n", kernels.name, calls, wrong);
  return wrong == 0;
}

}  // namespace

int main() {
  bool right = equals_reference(kernels_baseline());
#if defined(NW_X86)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) right &= equals_reference(kernels_avx2());
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    right &= equals_reference(kernels_avx512());
  }
#endif
  return right ? 0 : 1;
}
