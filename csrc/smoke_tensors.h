// Calls with random tensors, for smoke_test.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "call.h"
#include "reference.h"

struct Setting {
  int64_t n, c, s;
  bool channels_last, bfloat16, training, masked, residual, in_place;
  Activation activation;
  int threads;
};

// How a kernel is asked: for a pass as a whole, for its two halves, or for parts of the batch.
enum class Way { whole, halves, parts };

using Bytes = std::vector<unsigned char>;

// A call with tensors of its own: the kernels' and the reference's begin equal.
struct Tensors {
  Setting setting;
  Call call{};
  Bytes x, residual, y, grad_y, grad_x, grad_residual;
  std::vector<uint8_t> mask;
  std::vector<float> weight, bias, running_mean, running_var, grad_weight, grad_bias;
  std::vector<double> saved, moments, grad_moments;

  Tensors(const Setting& of, Way way) : setting(of) {
    std::mt19937 random(1);
    std::normal_distribution<double> normal;
    const int64_t elements = of.n * of.c * of.s;
    call.n = of.n, call.parts = way == Way::parts ? 2 : 1, call.c = of.c, call.s = of.s;
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
    saved.resize(static_cast<size_t>(call.parts * 2 * of.c));
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
