/* The compiler that built this library. */

#include "export.h"

#define TEXT_(number) #number
#define TEXT(number) TEXT_(number)

/* Return its name and version. */
EXPORT const char *lenet5_compiler(void) {
#if defined(ZIGLANG)
    return "ziglang " TEXT(ZIGLANG);
#elif defined(__clang__)
    return "Clang " TEXT(__clang_major__) "." TEXT(__clang_minor__) "." TEXT(__clang_patchlevel__);
#else
    return "GCC " __VERSION__;
#endif
}
