// Holds the kernels of every instruction set that is compiled in, and that this machine has, to reference.h, on a few
// shapes with everything that a call can ask for. Prints a line for each set; exits with 1 if one differs.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "call.h"
#include "reference.h"

namespace {

struct Setting {
  int64_t n, c, s;
  bool channels_last, bfloat16, training, masked, residual, in_place;
  Activation activation;
  int threads;
};

using Bytes = std::vector<unsigned char>;

// A call with tensors of its own: the kernels' and the reference's begin equal.
struct Tensors {
  Setting setting;
  Call call{};
  Bytes x, residual, y, grad_y, grad_x, grad_residual;
  std::vector<uint8_t> mask;
  std::vector<float> weight, bias, running_mean, running_var, grad_weight, grad_bias;
  std::vector<double> saved, moments, grad_moments;

  explicit Tensors(const Setting& of) : setting(of) {
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    const int64_t elements = of.n * of.c * of.s;
    call.n = of.n, call.parts = 1, call.c = of.c, call.s = of.s;
    call.channels_last = of.channels_last, call.bfloat16 = of.bfloat16, call.training = of.training;
    call.threads = of.threads, call.activation = of.activation, call.momentum = 0.1, call.eps = 1e-5;
    call.count = of.n * of.s;
    const auto elementwise = [&](Bytes& tensor, double mean) {
      tensor.resize(static_cast<size_t>(elements) * sizeof(float));
      for (int64_t i = 0; i < elements; ++i) reference::set(call, tensor.data(), i, mean + normal(random));
      return tensor.data();
    };
    const auto per_channel = [&](std::vector<float>& numbers, float least) {
      numbers.resize(static_cast<size_t>(of.c));
      for (float& v : numbers) v = least + std::fabs(static_cast<float>(normal(random)));
      return numbers.data();
    };
    call.x = elementwise(x, 3);
    call.y = of.in_place ? x.data() : elementwise(y, 0);
    if (of.residual) call.residual = elementwise(residual, 0);
    call.grad_y = elementwise(grad_y, 0.5);
    call.grad_x = elementwise(grad_x, 0);
    call.weight = per_channel(weight, 0.5f);
    call.bias = per_channel(bias, -0.5f);
    call.running_mean = per_channel(running_mean, 2.5f);
    call.running_var = per_channel(running_var, 0.5f);
    call.grad_weight = per_channel(grad_weight, 0);
    call.grad_bias = per_channel(grad_bias, 0);
    saved.resize(static_cast<size_t>(2 * of.c));
    call.saved = saved.data();
    moments.resize(saved.size());
    grad_moments.resize(saved.size());
    if (of.masked) {
      mask.resize(static_cast<size_t>(of.n * of.s));
      for (uint8_t& m : mask) m = random() % 4 != 0;
      mask[0] = mask[1] = 1;
      call.mask = mask.data();
      call.count = std::count(mask.begin(), mask.end(), uint8_t{1});
    }
    if (of.residual && of.activation != Activation::none) {
      call.slope_source = of.activation == Activation::relu ? call.y : call.residual;
      call.grad_residual = elementwise(grad_residual, 0);
    }
    call.from_output = of.in_place;
  }
  Tensors(const Tensors&) = delete;
  Tensors& operator=(const Tensors&) = delete;
};

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

// The forward pass in stages, as processes go through it that merge their moments in between.
void forward_in_stages(const Kernels& kernels, Tensors& tensors) {
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

void backward_in_stages(const Kernels& kernels, Tensors& tensors) {
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

std::string first_difference(const Kernels& kernels, const Setting& setting, bool in_stages) {
  Tensors got(setting), expected(setting);
  if (in_stages) {
    forward_in_stages(kernels, got);
  } else {
    kernels.forward(got.call);
  }
  reference::forward(expected.call);
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
  if (in_stages) {
    backward_in_stages(kernels, got);
  } else {
    kernels.backward(got.call);
  }
  reference::backward(expected.call);
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
  const auto check = [&](const Setting& s, bool in_stages) {
    ++calls;
    const std::string found = first_difference(kernels, s, in_stages);
    if (found.empty() || ++wrong > 20) return;
    std::printf("%s%s, (%d, %d, %d), channels %s, %s, %s%s%s%s, activation %d, threads %d:%s\n", kernels.name,
                in_stages ? " in stages" : "", static_cast<int>(s.n), static_cast<int>(s.c), static_cast<int>(s.s),
                s.channels_last ? "last" : "second", s.bfloat16 ? "bfloat16" : "float",
                s.training ? "training" : "evaluation", s.masked ? ", mask" : "", s.residual ? ", residual" : "",
                s.in_place ? ", in place" : "", static_cast<int>(s.activation), s.threads, found.c_str());
  };
  for (const Setting& s : settings()) {
    check(s, false);
    if (s.training && !s.in_place) check(s, true);
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
