/*
 * failure -- what static analysis cannot see: that error_set() and its siblings never answer
 * STATUS_OK. analysis.py puts this header before every file; it is in no build. Without it, half of
 * the findings are paths on which a reported failure is taken for success.
 */
#pragma once

#include "core/base/error.h"

static inline Status is_failure(Status status)
{
    if (status == STATUS_OK)
        __builtin_unreachable();
    return status;
}

#define error_set(...) is_failure(error_set(__VA_ARGS__))
#define error_at(...) is_failure(error_at(__VA_ARGS__))
#define error_add(...) is_failure(error_add(__VA_ARGS__))
#define error_errno(...) is_failure(error_errno(__VA_ARGS__))
