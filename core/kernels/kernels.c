/* Which families were built comes from meson (FAMILIES: a FAMILY(name, supported) each, best
 * first); which run here, from the CPU. */
#include "core/kernels/kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/kernels/gemm.h"

#ifdef LEASED_REAL64
#define FAMILIES FAMILY(generic, 1)
#else
#include "families.h"
#endif

#define FAMILY(name, supported) extern const Kernels kernels_##name;
FAMILIES
#undef FAMILY

enum { FAMILIES_MAX = 8 };

static const Kernels *available[FAMILIES_MAX];
static pthread_once_t detected = PTHREAD_ONCE_INIT;

static void detect(void)
{
    size_t count = 0;

    gemm_init();
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
#define FAMILY(name, supported) \
    if (supported)              \
        available[count++] = &kernels_##name;
    FAMILIES
#undef FAMILY
    available[count] = &kernels_reference;
}

const Kernels *const *kernels_available(void)
{
    pthread_once(&detected, detect);
    return available;
}

const char *kernels_family(void)
{
    return kernels_available()[0]->name;
}

Status kernels_select(const char *name, const Kernels **ret, Error *err)
{
    const Kernels *const *list = kernels_available();
    char names[128] = "";

    if (name == NULL || name[0] == '\0')
        name = getenv("LEASED_KERNELS");
    if (name == NULL || name[0] == '\0') {
        *ret = list[0];
        return STATUS_OK;
    }
    for (size_t i = 0; list[i] != NULL; i++) {
        size_t used = strlen(names);

        if (strcmp(list[i]->name, name) == 0) {
            *ret = list[i];
            return STATUS_OK;
        }
        snprintf(names + used, sizeof names - used, "%s%s", used > 0 ? ", " : "", list[i]->name);
    }
    return error_set(err, STATUS_INVALID, "no kernel family \"%.32s\" on this CPU; there are: %s",
                     name, names);
}
