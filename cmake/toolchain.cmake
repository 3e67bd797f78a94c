# Chooses clang 19 where it is installed and the user named no compiler.
if(NOT CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
  find_program(FLAMBEAU_CLANG clang++-19)
  if(FLAMBEAU_CLANG)
    set(CMAKE_CXX_COMPILER ${FLAMBEAU_CLANG})
  endif()
endif()
