#pragma once
// Binding of Python arguments to a schema.

#include <vector>

#include "autograd/call.h"
#include "bind/python.h"
#include "bind/tensor_type.h"

namespace flambeau::bind {

/// One way to call an operation from Python.
struct Overload {
  const ops::Definition* op = nullptr;
  CallForm form = CallForm::Function;
  bool method = false;  ///< the first argument is the tensor itself, never a keyword
  bool has_out = false;
  bool reflected = false;  ///< __radd__: numbers stand for tensors
  /// A factory takes layout=, device=, pin_memory= and requires_grad= where its schema does not.
  bool makes_tensors = false;
  bool takes_device = false;  ///< as such a keyword or by its schema
  int positional = 0;         ///< parameters that are not keyword-only
  /// The parameter that each positional argument is for: a method's first one is for `self`.
  std::vector<int> order = {};
  /// The only positional parameter (but self) is int[]: x.view(2, 3).
  bool spreads_ints = false;
  std::vector<PyObject*> names = {};  ///< interned names of the parameters

  /// `is_reflected` is for __radd__: the first two arguments are swapped.
  Overload(const ops::Definition& definition, CallForm call_form, bool is_method,
           bool is_reflected = false);
  /// PyTorch's form of the signature: "(Tensor input, *, Number alpha = 1)".
  std::string signature() const;
};

/// Arguments that fit an overload.
struct BoundArguments {
  ops::Arguments arguments;
  SmallVector<HeldTensor, 4> alive;  ///< every tensor among them
  SmallVector<Tensor, 1> out;
  /// Numbers of [2^63, 2^64), by the argument that holds what they are in int64.
  SmallVector<std::pair<size_t, uint64_t>, 1> wide;
  bool requires_grad = false;
  std::string device = {};       ///< what was asked for; empty for nothing
  SmallVector<Tensor, 1> twins;  ///< what stands for arguments
  bool subclass = false;         ///< a tensor among them is not of the class Tensor itself

  void clear();
};

/// Why an overload does not fit; the text is for the case that it is the only one.
struct Mismatch {
  bool wanted = false;  ///< write `text`
  std::string text;
};

/// Binds `count` positional arguments and those named in `keywords` (a tuple or null; their values
/// follow the positional ones). False if they do not fit. PythonError and the user's errors where
/// the arguments fit but are bad (an int too large).
bool bind_arguments(const Overload& overload, PyObject* const* args, Py_ssize_t count,
                    PyObject* keywords, BoundArguments& bound, Mismatch& mismatch);

/// "Tensor", "(Tensor values, Tensor indices)", "tuple of Tensors".
std::string return_text(const ops::Definition& op);

/// "Tensor, int, alpha=float": the types that were given.
std::string given_types(PyObject* const* args, Py_ssize_t count, PyObject* keywords);

}  // namespace flambeau::bind
