// All kernels for one instruction set. The build compiles this file once for each, with NW_ISA and NW_ENTRY naming
// what comes out of it, and the module picks one when it is loaded.
#include "columns.h"
#include "planes.h"

namespace NW_ISA {
namespace {

template <class T, int ACT, bool RES>
void forward_of(const Call& k) {
  if (as_columns(k, k.training)) {
    forward_columns<T, ACT, RES>(k);
  } else {
    forward_planes<T, ACT, RES>(k);
  }
}

template <class T, bool RES>
void forward_with(const Call& k) {
  switch (k.activation) {
    case Activation::none:
      return forward_of<T, NONE, RES>(k);
    case Activation::relu:
      return forward_of<T, RELU, RES>(k);
    default:
      return forward_of<T, OTHER, RES>(k);
  }
}

void forward(const Call& k) {
  if (k.bfloat16) {
    return k.residual ? forward_with<bf16, true>(k) : forward_with<bf16, false>(k);
  }
  return k.residual ? forward_with<float, true>(k) : forward_with<float, false>(k);
}

template <class T, int ACT, bool RES, bool FROM_OUTPUT>
void backward_of(const Call& k) {
  if (as_columns(k, true)) {
    backward_columns<T, ACT, RES, FROM_OUTPUT>(k);
  } else {
    backward_planes<T, ACT, RES, FROM_OUTPUT>(k);
  }
}

template <class T>
void backward_with(const Call& k) {
  if (k.from_output) {
    return k.activation == Activation::none ? backward_of<T, NONE, false, true>(k)
                                            : backward_of<T, OTHER, false, true>(k);
  }
  switch (k.activation) {
    case Activation::none:
      return backward_of<T, NONE, false, false>(k);
    case Activation::relu:
      return k.slope_source ? backward_of<T, RELU, true, false>(k) : backward_of<T, RELU, false, false>(k);
    default:
      return k.slope_source ? backward_of<T, OTHER, true, false>(k) : backward_of<T, OTHER, false, false>(k);
  }
}

void backward(const Call& k) { return k.bfloat16 ? backward_with<bf16>(k) : backward_with<float>(k); }

}  // namespace
}  // namespace NW_ISA

#define NW_TEXT_OF(name) #name
#define NW_TEXT(name) NW_TEXT_OF(name)

Kernels NW_ENTRY() { return {NW_TEXT(NW_ISA), NW_ISA::forward, NW_ISA::backward}; }
