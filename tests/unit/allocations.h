/*
 * allocations -- counts what a test and everything it calls allocate: link with --wrap of malloc,
 * calloc, realloc and mmap64 (meson.build). Included by one file of a program.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

static atomic_uint allocations;
static atomic_size_t mapped; /* bytes of anonymous memory, ever */

/* Meson asks for 64-bit file offsets, which turns mmap() into mmap64(). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset);

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(old, size);
}

void *__wrap_mmap64(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    atomic_fetch_add(&allocations, 1);
    if (fd == -1)
        atomic_fetch_add(&mapped, size);
    return __real_mmap64(at, size, protection, flags, fd, offset);
}
