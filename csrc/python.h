// Attributes and tensors of Python's objects.
#pragma once

#include <nanobind/nanobind.h>

#include <stdexcept>

namespace nb = nanobind;

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
