#include "bind/generator_type.h"

#include <cstring>

#include "base/error.h"
#include "bind/casters.h"
#include "compile/recorder.h"
#include "tensor/generator.h"

namespace nb = nanobind;
using namespace nanobind::literals;

namespace flambeau::bind {
namespace {

Tensor state_of(const Generator& generator) {
  const std::vector<std::byte> state = generator.get_state();
  Tensor result = Tensor::empty({static_cast<int64_t>(state.size())}, DType::UInt8);
  std::memcpy(result.data_ptr(), state.data(), state.size());
  compiler::Recorder::of_thread().note_state(result);
  return result;
}

uint64_t initial_seed(const Generator& generator) {
  compiler::Recorder::of_thread().note_seed();
  return generator.initial_seed();
}

void set_state(Generator& generator, const Tensor& state) {
  check<TypeError>(state.defined() && state.dtype() == DType::UInt8 && state.is_contiguous(),
                   [] { return std::string("set_state: expected a torch.ByteTensor"); });
  generator.set_state(
      {static_cast<const std::byte*>(state.data_ptr()), static_cast<size_t>(state.numel())});
}

/// Python's seeds may be negative: they count from 2^64, as in PyTorch.
uint64_t seed_from(nb::handle value) {
  const Object integer = checked(PyNumber_Index(value.ptr()));
  const unsigned long long seed = PyLong_AsUnsignedLongLong(integer.get());
  if (PyErr_Occurred() == nullptr) return seed;
  PyErr_Clear();
  const long long negative = PyLong_AsLongLong(integer.get());
  if (PyErr_Occurred() == nullptr) return static_cast<uint64_t>(negative);
  PyErr_Clear();
  throw RuntimeError("manual_seed: Overflow when unpacking long");
}

}  // namespace

void* generator_from(PyObject* object) {
  Generator* generator = nullptr;
  return nb::try_cast(nb::handle(object), generator) ? generator : nullptr;
}

void add_generator(nb::module_& module) {
  nb::class_<Generator>(module, "Generator", nb::is_weak_referenceable(),
                        "A source of random numbers with a state of its own.")
      .def(
          "__init__",
          [](Generator* self, nb::object device) {
            std::string type;
            check<TypeError>(device_from(device.ptr(), type),
                             [] { return std::string("Generator: device must be a device"); });
            new (self) Generator();
          },
          "device"_a = "cpu")
      .def(
          "manual_seed",
          [](nb::object self, nb::handle seed) {
            nb::cast<Generator&>(self).manual_seed(seed_from(seed));
            return self;
          },
          "seed"_a)
      .def("initial_seed", initial_seed)
      .def("seed", &Generator::seed)
      .def("get_state", state_of)
      .def(
          "set_state",
          [](nb::object self, const Tensor& state) {
            set_state(nb::cast<Generator&>(self), state);
            return self;
          },
          "new_state"_a)
      .def_prop_ro("device",
                   [](const Generator&) { return nb::steal(device_object("cpu").release()); })
      .def("__reduce__", [](nb::object self) {
        const nb::object rebuild = nb::module_::import_("flambeau._C").attr("_rebuild_generator");
        return nb::make_tuple(rebuild, nb::make_tuple(state_of(nb::cast<Generator&>(self))));
      });
  module.def(
      "_rebuild_generator",
      [](const Tensor& state) {
        auto generator = std::make_unique<Generator>();
        set_state(*generator, state);
        return generator.release();
      },
      nb::rv_policy::take_ownership);
  const nb::object shared = nb::cast(&default_generator(), nb::rv_policy::reference);
  module.attr("default_generator") = shared;
  module.def(
      "manual_seed",
      [shared = shared.ptr()](nb::handle seed) {
        default_generator().manual_seed(seed_from(seed));
        return nb::borrow(shared);
      },
      "seed"_a, "Seeds the default generator, which it returns.");
  module.def(
      "seed", [] { return default_generator().seed(); },
      "Seeds the default generator from the system and returns that seed.");
  module.def(
      "initial_seed", [] { return initial_seed(default_generator()); },
      "The seed given last to the default generator.");
  module.def(
      "get_rng_state", [] { return state_of(default_generator()); },
      "The default generator's state as a uint8 tensor.");
  module.def(
      "set_rng_state", [](const Tensor& state) { set_state(default_generator(), state); },
      "new_state"_a);
}

}  // namespace flambeau::bind
