/* Mark the functions that Python calls; all others are hidden. */

#if defined(_WIN32)
#if !defined(__clang__)
#error "on Windows, GCC misaligns vectors of 32 bytes on the stack (bug 54412): use Clang or ziglang"
#endif
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif
