/* A folder of its own for each test, removed with all that is in it. */
#pragma once

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct Scratch {
    char path[64];
} Scratch;

static inline Scratch scratch_new(void)
{
    Scratch s = { "/tmp/leased-test-XXXXXX" };

    if (mkdtemp(s.path) == NULL)
        abort();
    return s;
}

static inline int scratch_remove_one(const char *path, const struct stat *st, int type,
                                     struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void scratch_remove(Scratch *s)
{
    nftw(s->path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* "folder/name"; the two most recent answers stay valid. */
static inline const char *scratch_path(const Scratch *s, const char *name)
{
    static char text[2][256];
    static int turn;

    turn = !turn;
    snprintf(text[turn], sizeof text[turn], "%s/%s", s->path, name);
    return text[turn];
}

static inline void scratch_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
        abort();
}
