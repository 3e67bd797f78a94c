// The extension module `_C`.

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>

#include "base/version.h"
#include "bind/autograd.h"
#include "bind/casters.h"
#include "bind/construct.h"
#include "bind/dlpack.h"
#include "bind/generator_type.h"
#include "bind/io.h"
#include "bind/module_type.h"
#include "bind/operation.h"
#include "bind/overrides.h"
#include "bind/registry_dump.h"
#include "bind/replay.h"
#include "bind/storage_type.h"
#include "bind/torch_file.h"
#include "compile/check.h"
#include "compile/interpret.h"
#include "compile/program.h"
#include "compile/recorder.h"
#include "compile/report.h"
#include "compile/saved.h"
#include "ops/registry.h"
#include "runtime/allocator.h"
#include "runtime/compile_queue.h"
#include "runtime/compiler.h"
#include "runtime/thread_pool.h"
#include "tensor/print.h"

namespace nb = nanobind;
using namespace nanobind::literals;

namespace flambeau::bind {
namespace {

Tensor made(Tensor tensor, bool needs_grad) {
  check(!needs_grad || is_inexact(tensor.dtype()), [] {
    return std::string("Only Tensors of floating point and complex dtype can require gradients");
  });
  if (needs_grad) tensor->requires_grad = true;
  return tensor;
}

void add_construction(nb::module_& module) {
  module.def(
      "_tensor",
      [](nb::handle data, std::optional<DTypeArgument> dtype, bool requires_grad) {
        return made(tensor_from_data(data.ptr(), dtype_of(dtype)), requires_grad);
      },
      "data"_a, "dtype"_a.none(), "requires_grad"_a);
  module.def(
      "_as_tensor",
      [](nb::handle data, std::optional<DTypeArgument> dtype) {
        return as_tensor(data.ptr(), dtype_of(dtype));
      },
      "data"_a, "dtype"_a.none());
  module.def(
      "from_numpy", [](nb::handle array) { return tensor_from_numpy(array.ptr()); }, "ndarray"_a,
      "A tensor on the memory of a NumPy array.");
  module.def(
      "frombuffer",
      [](nb::handle buffer, DTypeArgument dtype, int64_t count, int64_t offset,
         bool requires_grad) {
        return made(tensor_from_buffer(buffer.ptr(), dtype.dtype(), count, offset), requires_grad);
      },
      "buffer"_a, nb::kw_only(), "dtype"_a, "count"_a = -1, "offset"_a = 0,
      "requires_grad"_a = false, "A 1-dim tensor on the memory of a buffer.");
  module.def("_from_dlpack", [](nb::handle capsule) { return from_dlpack(capsule.ptr()); });
  module.def("_from_storage", [](nb::handle storage, int64_t offset, const Ints& sizes,
                                 const Ints& strides, DTypeArgument given) {
    const DType dtype = given.dtype();
    const Ref<Storage> memory = storage_from(storage.ptr());
    // A tensor of the whole storage, of which alias() checks the window.
    const auto elements = static_cast<int64_t>(memory->bytes() / size_of(dtype));
    const Tensor all(make_ref<TensorImpl>(memory, TensorInfo{dtype, {elements}, {1}}, 0));
    return all.alias(sizes, strides, offset).variable_data();
  });
}

/// What waits for recorded work waits without Python's lock.
void run_without_lock(FunctionRef<void()> work) {
  if (Py_IsInitialized() == 0 || PyGILState_Check() == 0) return work();
  const ReleaseLock others_may_run;
  work();
}

void add_compile(nb::module_& module) {
  compiler::set_wait_hook(run_without_lock);
  // Before the end of the process destroys what the code generator has made meanwhile.
  Py_AtExit([] { CompileQueue::global().stop(); });
  static thread_local std::vector<std::unique_ptr<compiler::Interpreted>> interpreted;
  module.def("_compile_call", [](nb::handle function, nb::handle args, nb::handle kwargs, bool fast,
                                 float memory_budget, bool one_by_one) {
    const auto call = [&] {
      PyObject* const result = PyObject_Call(function.ptr(), args.ptr(), kwargs.ptr());
      if (result == nullptr) throw nb::python_error();
      return nb::steal(result);
    };
    // What is interpreted is not compiled.
    if (!interpreted.empty()) return call();
    const compiler::Scope scope(
        {.numerics = fast ? compiler::Numerics::Fast : compiler::Numerics::Exact,
         .memory_budget = memory_budget,
         .one_by_one = one_by_one});
    return call();
  });
  module.def(
      "_compile_flush", [](std::string_view why) { compiler::Recorder::of_thread().flush(why); },
      "why"_a = "flush");
  module.def("_compile_wait", [] { run_without_lock([] { wait_for_compiler(); }); });
  module.def("_compile_forget", compiler::forget_programs);
  module.def("_compile_begin_reports", compiler::begin_reports);
  module.def("_compile_end_reports", [] { compiler::end_reports(); });
  module.def("_compile_take_reports", [] {
    const auto accesses = [](const std::vector<compiler::Access>& all) {
      nb::list list;
      for (const compiler::Access& access : all)
        list.append(nb::make_tuple(access.storage, access.begin, access.end, access.bytes));
      return list;
    };
    const auto numbers = [](const std::vector<int32_t>& all) {
      nb::list list;
      for (const int32_t number : all) list.append(number);
      return list;
    };
    nb::list programs;
    for (const compiler::ProgramReport& report : compiler::take_reports()) {
      nb::list regions;
      for (const compiler::RegionReport& region : report.regions) {
        nb::list ops;
        for (const std::string& op : region.ops) ops.append(op);
        nb::dict row;
        row["ops"] = ops;
        row["apart"] = region.apart;
        row["program"] = region.program;
        nb::list steps;
        for (const compiler::StepReport& step : region.steps) {
          nb::dict of_step;
          of_step["text"] = step.text;
          of_step["launches"] = step.launches;
          of_step["bytes"] = step.bytes;
          of_step["seconds"] = step.nanoseconds * 1e-9;
          steps.append(of_step);
        }
        row["steps"] = steps;
        row["reads"] = accesses(region.reads);
        row["writes"] = accesses(region.writes);
        nb::list temporaries;
        for (const compiler::TemporaryReport& made : region.temporaries)
          temporaries.append(nb::make_tuple(made.text, made.bytes, made.first, made.last));
        row["temporaries"] = temporaries;
        row["begins"] = numbers(region.begins);
        row["ends"] = numbers(region.ends);
        row["launches"] = region.launches;
        row["bytes"] = region.bytes;
        row["seconds"] = region.nanoseconds * 1e-9;
        row["live_bytes"] = region.live_bytes;
        row["merged"] = region.merged;
        regions.append(row);
      }
      nb::dict program;
      program["recording"] = report.recording;
      program["ended"] = report.ended;
      program["runs"] = report.runs;
      program["unneeded"] = report.unneeded;
      nb::list storages;
      for (const compiler::StorageReport& storage : report.storages)
        storages.append(nb::make_tuple(storage.text, storage.bytes, storage.made));
      program["storages"] = storages;
      program["regions"] = regions;
      programs.append(program);
    }
    return programs;
  });
  module.def("_compile_begin_differences", compiler::begin_differences);
  module.def("_compile_end_differences", [] { compiler::end_differences(); });
  module.def("_compile_take_differences", [] {
    const auto lines = [](const std::vector<compiler::RunName>& runs) {
      nb::list list;
      for (const compiler::RunName& run : runs)
        list.append(nb::make_tuple(run.label, run.line ? run.line->text() : std::string()));
      return list;
    };
    nb::list list;
    for (const compiler::Difference& difference : compiler::take_differences()) {
      nb::dict row;
      row["region"] = lines(difference.region);
      row["smallest"] = lines(difference.smallest);
      row["what"] = difference.what;
      row["program"] = difference.program;
      row["text"] = compiler::text_of(difference);
      list.append(row);
    }
    return list;
  });
  module.def("_compile_save", [] {
    const std::vector<std::byte> bytes = compiler::save_programs();
    return nb::bytes(bytes.data(), bytes.size());
  });
  module.def("_compile_load", [](const nb::bytes& bytes) {
    const auto* const first = static_cast<const std::byte*>(bytes.data());
    const compiler::Loaded loaded = compiler::load_programs({first, first + bytes.size()});
    return nb::make_tuple(loaded.programs, loaded.kernels);
  });
  module.def("_compile_break_merges", [](const nb::list& ops) {
    std::vector<std::string> names;
    for (const nb::handle op : ops) names.push_back(nb::cast<std::string>(op));
    compiler::break_merges(std::move(names));
  });
  // Of this thread; they nest.
  module.def("_interpreted_begin",
             [] { interpreted.push_back(std::make_unique<compiler::Interpreted>()); });
  module.def("_interpreted_end", [] { interpreted.pop_back(); });
  module.def("_compile_early", [](const std::string& way) {
    compiler::flush();
    compiler::set_early_way(compiler::early_way_of(way));
  });
  module.def("_compile_stats", [] {
    const compiler::ProgramStats stats = compiler::program_stats();
    nb::dict result;
    result["runs"] = stats.runs;
    result["programs_made"] = stats.made;
    result["geometries_bound"] = stats.bound;
    result["regions_merged"] = stats.merged;
    result["regions_one_by_one"] = stats.one_by_one;
    result["recordings_repeated"] = stats.repeated;
    result["regions_early"] = stats.early;
    result["tails"] = stats.tails;
    result["schedules"] = stats.schedules;
    return result;
  });
}

void add_settings(nb::module_& module) {
  module.def("get_num_threads", get_num_threads, "Threads of the CPU pool.");
  module.def("set_num_threads", set_num_threads, "int"_a);
  module.def("get_default_dtype", ops::default_dtype, "The dtype of float results of numbers.");
  module.def(
      "set_default_dtype", [](DTypeArgument dtype) { ops::set_default_dtype(dtype.dtype()); },
      "d"_a);
  module.def(
      "promote_types",
      [](DTypeArgument a, DTypeArgument b) { return promote_types(a.dtype(), b.dtype()); },
      "type1"_a, "type2"_a, "The smallest dtype that both convert to.");
  module.def(
      "can_cast",
      [](DTypeArgument from, DTypeArgument to) { return can_cast(from.dtype(), to.dtype()); },
      "from_"_a, "to"_a, "Whether a result of one dtype may be written to another.");
  // Precision, threshold, edge items, line width, scientific.
  module.def("_print_options", [] {
    const PrintOptions options = print_options();
    return nb::make_tuple(options.precision, options.threshold, options.edge_items,
                          options.line_width, options.scientific);
  });
  module.def(
      "_set_print_options",
      [](int64_t precision, int64_t threshold, int64_t edge_items, int64_t line_width,
         std::optional<bool> scientific) {
        set_print_options({precision, threshold, edge_items, line_width, scientific});
      },
      nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none());
  module.def("_memory_stats", [] {
    const MemoryStats stats = memory_stats();
    nb::dict result;
    result["allocated_bytes"] = stats.allocated_bytes;
    result["reserved_bytes"] = stats.reserved_bytes;
    result["peak_bytes"] = stats.peak_bytes;
    return result;
  });
  module.def("_empty_cache", empty_cache);
  module.def("_record_kernels", record_kernels);
  module.def("_write_recorded_kernels", write_recorded_kernels, "file"_a);
}

/// Types say that they are of the package, not of `_C`.
void name_types_after_package(nb::module_& module) {
  const nb::str name(package_name().c_str());
  for (const auto& [key, value] : nb::cast<nb::dict>(module.attr("__dict__")))
    if (PyType_Check(value.ptr()) != 0) value.attr("__module__") = name;
}

void translate(const std::exception_ptr& error, void* /*unused*/) {
  try {
    std::rethrow_exception(error);
  } catch (const Error&) {
    set_python_error();
  } catch (const PythonError&) {
    set_python_error();
  }
}

}  // namespace
}  // namespace flambeau::bind

NB_MODULE(_C, module) {
  using namespace flambeau::bind;
  set_package_name(module.ptr());
  // A program may end while its globals hold tensors, nodes and hooks.
  nb::set_leak_warnings(false);
  nb::register_exception_translator(translate);
  module.attr("__version__") = nb::str(flambeau::version().data(), flambeau::version().size());
  add_constants(module.ptr());
  add_storage_type(module.ptr());
  add_module_type(module.ptr());
  add_overrides(module.ptr());
  add_tensor_type(module.ptr());
  add_operations(module.ptr());
  add_construction(module);
  add_compile(module);
  add_replay(module);
  add_settings(module);
  add_generator(module);
  add_autograd(module);
  add_registry_dump(module);
  add_io(module);
  add_torch_file(module);
  name_types_after_package(module);
}
