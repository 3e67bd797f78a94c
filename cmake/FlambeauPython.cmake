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
if(SKBUILD)
  install(TARGETS ${package_libraries} LIBRARY DESTINATION flambeau)
else()
  # Always run, so that Python sees the build that was made last.
  set(link_commands)
  foreach(library IN LISTS package_libraries)
    list(APPEND link_commands COMMAND ${CMAKE_COMMAND} -E create_symlink $<TARGET_FILE:${library}>
         ${PROJECT_SOURCE_DIR}/python/flambeau/$<TARGET_FILE_NAME:${library}>)
  endforeach()
  add_custom_target(python_links ALL ${link_commands} DEPENDS ${package_libraries}
                    COMMENT "Linking the libraries into python/flambeau" VERBATIM)
endif()
