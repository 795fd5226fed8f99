// Under ASan and UBSan: a report ends in SIGABRT, so that whoever handles that can say which seed it was
// about (Catch2 in sim_tests, crash.cpp in sim_run). By default sanitizers leave by _exit(), and nobody is
// asked. Without sanitizers nobody calls these.

// NOLINTBEGIN(bugprone-reserved-identifier): the names are the sanitizers'.
extern "C" {

/// The 2: of a wild pointer a report says more than the program's own handler could; it keeps those signals.
const char* __asan_default_options() {
  return "abort_on_error=1:handle_segv=2:handle_sigbus=2:handle_sigfpe=2";
}

const char* __ubsan_default_options() {
  return "abort_on_error=1:print_stacktrace=1";
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
