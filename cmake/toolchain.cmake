# Chooses clang 19 where it is installed and the user named no compiler. (For wheels, CXX is only
# what Python was built with; -Ccmake.define.CMAKE_CXX_COMPILER=... names another there.)
if(NOT CMAKE_CXX_COMPILER AND (SKBUILD OR NOT DEFINED ENV{CXX}))
  find_program(FLAMBEAU_CLANG clang++-19)
  if(FLAMBEAU_CLANG)
    set(CMAKE_CXX_COMPILER ${FLAMBEAU_CLANG})
  endif()
endif()
