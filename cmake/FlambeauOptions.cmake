# Compiler, linker, cache and flags, the same for every target (`flambeau_options`).

option(FLAMBEAU_BUILD_TESTS "Build the C++ tests" ON)
option(FLAMBEAU_BUILD_EXAMPLES "Build the C++ examples and benchmarks" ON)
option(FLAMBEAU_WERROR "Treat warnings as errors" ON)
option(FLAMBEAU_BUILD_PYTHON "Build the Python extension and link it into python/flambeau" ON)
option(FLAMBEAU_KERNEL_PACK "Compile the kernels that most programs use into a pack" ON)
set(FLAMBEAU_SANITIZE "" CACHE STRING "Sanitizers, e.g. address,undefined or thread")
option(FLAMBEAU_FUZZ "Build the libFuzzer targets of tests/fuzz" OFF)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_INSTALL_RPATH $ORIGIN)

# The cache is shared by all checkouts of the repository: paths are hashed relative to it.
find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER env CCACHE_BASEDIR=${PROJECT_SOURCE_DIR} CCACHE_NOHASHDIR=1
      ${CCACHE_PROGRAM})
endif()

add_library(flambeau_options INTERFACE)
target_compile_options(flambeau_options INTERFACE
  -Wall -Wextra -Wconversion $<$<BOOL:${FLAMBEAU_WERROR}>:-Werror>
  # Bits must not depend on which multiply-adds the compiler happens to contract.
  -ffp-contract=off
  # Generated kernels carry the speed; our own code runs on any x86-64 of the last 15 years.
  -march=x86-64-v2
  -fvisibility-inlines-hidden -ffunction-sections)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 reports these for correct code of its own standard library.
  target_compile_options(flambeau_options INTERFACE -Wno-restrict -Wno-array-bounds
                         -Wno-stringop-overflow -Wno-stringop-overread -Wno-maybe-uninitialized
                         -Wno-dangling-reference -Wno-free-nonheap-object)
endif()

find_program(LLD_PROGRAM NAMES ld.lld-19 ld.lld)
if(LLD_PROGRAM)
  if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    add_link_options(--ld-path=${LLD_PROGRAM})
  elseif(EXISTS /usr/bin/ld.lld)
    add_link_options(-fuse-ld=lld)
  endif()
endif()

if(FLAMBEAU_SANITIZE)
  add_compile_options(-fsanitize=${FLAMBEAU_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${FLAMBEAU_SANITIZE})
else()
  add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY>:-Wl,-z,defs>)
endif()
if(FLAMBEAU_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
