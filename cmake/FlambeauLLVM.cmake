# flambeau_find_llvm(): the target `flambeau_llvm`, LLVM 19 linked statically.

function(flambeau_find_llvm)
  find_program(LLVM_CONFIG NAMES llvm-config-19 llvm-config
               DOC "llvm-config of LLVM 19 (Debian, Ubuntu: package llvm-19-dev)")
  if(NOT LLVM_CONFIG)
    message(FATAL_ERROR "llvm-config-19 was not found; run tools/bootstrap or install llvm-19-dev")
  endif()
  function(llvm_config out)
    execute_process(COMMAND ${LLVM_CONFIG} ${ARGN} OUTPUT_VARIABLE text
                    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    separate_arguments(text UNIX_COMMAND "${text}")
    set(${out} ${text} PARENT_SCOPE)
  endfunction()

  llvm_config(version --version)
  if(NOT version MATCHES "^19\\.")
    message(FATAL_ERROR "LLVM 19 is needed, ${LLVM_CONFIG} is of version ${version}")
  endif()
  llvm_config(include_dir --includedir)
  llvm_config(libraries --link-static --libfiles x86codegen nvptxcodegen passes orcjit)
  llvm_config(has_rtti --has-rtti)

  # LLVM's own list of system libraries also names libz3 and libxml2, which serve parts that we do
  # not link; zlib and zstd are linked statically, so that a wheel needs nothing installed.
  find_library(FLAMBEAU_ZLIB NAMES libz.a z REQUIRED)
  find_library(FLAMBEAU_ZSTD NAMES libzstd.a zstd REQUIRED)

  add_library(flambeau_llvm INTERFACE)
  target_include_directories(flambeau_llvm SYSTEM INTERFACE ${include_dir})
  target_link_libraries(flambeau_llvm INTERFACE ${libraries} ${FLAMBEAU_ZLIB} ${FLAMBEAU_ZSTD}
                        ${CMAKE_DL_LIBS} Threads::Threads)
  if(has_rtti STREQUAL "NO")
    target_compile_options(flambeau_llvm INTERFACE -fno-rtti)
  endif()
endfunction()
