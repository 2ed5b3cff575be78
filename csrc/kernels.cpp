// All kernels for one instruction set. The build compiles this file once for each, with NW_ISA and NW_ENTRY naming
// the result, and the module picks one when it is loaded. Here a call's settings become template arguments.
#include "columns/backward.h"
#include "columns/forward.h"
#include "planes/backward.h"
#include "planes/forward.h"

namespace NW_ISA {
namespace {

template <class T, Fused act, bool has_residual>
void run_forward(const Call& call) {
  if (as_columns(call, call.training)) {
    forward_columns<T, act, has_residual>(call);
  } else {
    forward_planes<T, act, has_residual>(call);
  }
}

template <class T, bool has_residual>
void choose_forward(const Call& call) {
  switch (call.activation) {
    case Activation::none:
      return run_forward<T, Fused::none, has_residual>(call);
    case Activation::relu:
      return run_forward<T, Fused::relu, has_residual>(call);
    default:
      return run_forward<T, Fused::general, has_residual>(call);
  }
}

void forward(const Call& call) {
  if (call.bfloat16) {
    return call.residual ? choose_forward<bf16, true>(call) : choose_forward<bf16, false>(call);
  }
  return call.residual ? choose_forward<float, true>(call) : choose_forward<float, false>(call);
}

template <class T, Fused act, bool has_residual, bool from_output>
void run_backward(const Call& call) {
  if (as_columns(call, true)) {
    backward_columns<T, act, has_residual, from_output>(call);
  } else {
    backward_planes<T, act, has_residual, from_output>(call);
  }
}

template <class T, Fused act>
void choose_backward(const Call& call) {
  return call.slope_source ? run_backward<T, act, true, false>(call) : run_backward<T, act, false, false>(call);
}

template <class T>
void choose_backward(const Call& call) {
  if (call.from_output) {
    return call.activation == Activation::none ? run_backward<T, Fused::none, false, true>(call)
                                               : run_backward<T, Fused::general, false, true>(call);
  }
  switch (call.activation) {
    case Activation::none:
      // The gradient passes unchanged: it is the residual's as well.
      return run_backward<T, Fused::none, false, false>(call);
    case Activation::relu:
      return choose_backward<T, Fused::relu>(call);
    default:
      return choose_backward<T, Fused::general>(call);
  }
}

void backward(const Call& call) { return call.bfloat16 ? choose_backward<bf16>(call) : choose_backward<float>(call); }

}  // namespace
}  // namespace NW_ISA

#define NW_TEXT_OF(name) #name
#define NW_TEXT(name) NW_TEXT_OF(name)

Kernels NW_ENTRY() { return {NW_TEXT(NW_ISA), NW_ISA::forward, NW_ISA::backward, NW_ISA::finish_moments}; }
