// The end of the process destroys nothing of this library: a kernel may be compiling on another
// thread then. Whoever would wait for it at exit comes too late, as what LLVM makes while it
// compiles (a static of a function) is destroyed before what was registered earlier.

/// What compilers call for each static object with a destructor, as the C++ ABI of Itanium says.
/// Hidden: that of this library alone.
// NOLINTNEXTLINE(*-reserved-identifier,*-naming)
extern "C" [[gnu::visibility("hidden")]] int __cxa_atexit(void (* /*destroy*/)(void*),
                                                          void* /*object*/, void* /*library*/) {
  return 0;
}
