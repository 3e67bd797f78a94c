// Tests fork while threads run, as data loaders do; the thread sanitizer allows that on request.

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
