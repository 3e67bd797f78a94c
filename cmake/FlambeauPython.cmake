# The Python extension `_C` (nanobind), and where the built libraries go in a checkout and a wheel.

if(NOT FLAMBEAU_BUILD_PYTHON)
  return()
endif()
flambeau_sources(bind_sources src/bind)
if(NOT SKBUILD AND EXISTS ${PROJECT_SOURCE_DIR}/.venv/bin/python)
  set(Python_EXECUTABLE ${PROJECT_SOURCE_DIR}/.venv/bin/python)
endif()
find_package(Python 3.9 COMPONENTS Interpreter Development.Module)
if(Python_FOUND)
  execute_process(COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir OUTPUT_VARIABLE nanobind_ROOT
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT bind_sources OR NOT Python_FOUND OR NOT nanobind_ROOT)
  message(STATUS "Python extension: not built (it needs src/bind, Python's headers and nanobind)")
  return()
endif()
find_package(nanobind CONFIG REQUIRED)

nanobind_add_module(_C NB_STATIC NOMINSIZE ${bind_sources})
target_link_libraries(_C PRIVATE flambeau_core)
target_compile_options(_C PRIVATE -ftls-model=initial-exec)
# In a checkout the extension lies beside the libraries, as in a wheel.
set_target_properties(_C PROPERTIES BUILD_RPATH_USE_ORIGIN ON)
get_target_property(nanobind_includes nanobind-static INTERFACE_INCLUDE_DIRECTORIES)
if(nanobind_includes)
  target_include_directories(_C SYSTEM PRIVATE ${nanobind_includes})
endif()

set(package_libraries flambeau_core _C)
if(TARGET flambeau_codegen)
  list(APPEND package_libraries flambeau_codegen)
endif()
add_custom_target(package_libraries DEPENDS ${package_libraries})

# The kernels that most programs use, compiled for each instruction set (tools/make_kernel_pack.py),
# anew when the compiler's sources change. It runs the package: from a copy of it where the
# libraries are not linked into the checkout's.
function(flambeau_kernel_pack package)
  set(pack ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/kernels.pack)
  set(maker ${PROJECT_SOURCE_DIR}/tools/make_kernel_pack.py)
  add_custom_command(
    OUTPUT ${pack}
    COMMAND ${CMAKE_COMMAND} -E env PYTHONPATH=${package} PYTHONDONTWRITEBYTECODE=1
            ${Python_EXECUTABLE} ${maker} ${pack}
    DEPENDS ${fingerprint} ${maker} ${PROJECT_SOURCE_DIR}/bench/models/gpt.py
    COMMENT "Compiling the pack of common kernels" VERBATIM)
  add_custom_target(kernel_pack ALL DEPENDS ${pack})
endfunction()

if(SKBUILD)
  install(TARGETS ${package_libraries} LIBRARY DESTINATION flambeau)
  if(FLAMBEAU_KERNEL_PACK AND TARGET flambeau_codegen)
    set(stage ${PROJECT_BINARY_DIR}/stage)
    set(stage_commands)
    foreach(library IN LISTS package_libraries)
      list(APPEND stage_commands COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:${library}>
           ${stage}/flambeau)
    endforeach()
    add_custom_target(package_stage
      COMMAND ${CMAKE_COMMAND} -E copy_directory ${PROJECT_SOURCE_DIR}/python/flambeau
              ${stage}/flambeau
      ${stage_commands} DEPENDS ${package_libraries} VERBATIM)
    flambeau_kernel_pack(${stage})
    add_dependencies(kernel_pack package_stage)
    install(FILES ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/kernels.pack DESTINATION flambeau)
  endif()
else()
  # Always run, so that Python sees the build that was made last.
  set(link_commands)
  foreach(library IN LISTS package_libraries)
    list(APPEND link_commands COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE:${library}>
         ${PROJECT_SOURCE_DIR}/python/flambeau/$<TARGET_FILE_NAME:${library}>)
  endforeach()
  add_custom_target(python_links ALL ${link_commands} DEPENDS ${package_libraries}
                    COMMENT "Linking the libraries into python/flambeau" VERBATIM)
  if(FLAMBEAU_KERNEL_PACK AND TARGET flambeau_codegen)
    flambeau_kernel_pack(${PROJECT_SOURCE_DIR}/python)
    add_dependencies(kernel_pack python_links)
    add_custom_command(TARGET kernel_pack POST_BUILD
      COMMAND ${CMAKE_COMMAND} -E create_symlink ${CMAKE_LIBRARY_OUTPUT_DIRECTORY}/kernels.pack
              ${PROJECT_SOURCE_DIR}/python/flambeau/kernels.pack VERBATIM)
  endif()
endif()
