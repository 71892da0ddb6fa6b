/* What every cmocka file includes, in the order that cmocka wants. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/*
 * In the place of cmocka_unit_test(): a test that is left out where races are looked for (the
 * thread sanitizer makes everything tens of times as slow), because no two threads compute in it
 * that do not in another test of its file. cmocka passes over a row without functions.
 */
#if defined(__SANITIZE_THREAD__)
enum { RACES_ARE_SOUGHT = 1 };
#else
enum { RACES_ARE_SOUGHT = 0 };
#endif
#define ALONE(test)                                                       \
    {                                                                     \
        .name = #test, .test_func = RACES_ARE_SOUGHT != 0 ? NULL : (test) \
    }
