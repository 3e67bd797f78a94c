#include "bind/io.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include "bind/casters.h"
#include "io/safetensors.h"

namespace nb = nanobind;

namespace flambeau::bind {

void add_io(nb::module_& module) {
  module.def("_load_file", [](const std::string& path, bool read_only) {
    io::LoadedFile file;
    {
      const ReleaseLock others_run;
      file =
          io::load_file(path, read_only ? io::FileAccess::ReadOnly : io::FileAccess::CopyOnWrite);
    }
    return std::pair(std::move(file.tensors), std::move(file.metadata));
  });
  module.def("_save_file", [](const io::NamedTensors& tensors, const std::string& path,
                              const io::Metadata& metadata) {
    const ReleaseLock others_run;
    io::save_file(tensors, path, metadata);
  });
}

}  // namespace flambeau::bind
