# Run as a script (-P) with OUTPUT and ROOT: writes a C++ source that holds one hash of the sources
# that decide what a kernel's code is, so that editing them leaves the disk cache's entries behind.
file(GLOB_RECURSE sources ${ROOT}/src/codegen/*.cpp ${ROOT}/src/codegen/*.h ${ROOT}/src/ir/*.cpp
     ${ROOT}/src/ir/*.h ${ROOT}/src/prim/*.cpp ${ROOT}/src/prim/*.h)
list(SORT sources)
set(hashes "")
foreach(source IN LISTS sources)
  file(SHA256 ${source} hash)
  string(APPEND hashes ${hash})
endforeach()
string(SHA256 fingerprint "${hashes}")
set(text "namespace flambeau {
extern const char* const kCompilerSourcesHash;
const char* const kCompilerSourcesHash = \"${fingerprint}\";
}  // namespace flambeau
")
set(old "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} old)
endif()
if(NOT text STREQUAL old)
  file(WRITE ${OUTPUT} "${text}")
endif()
