/* fields_private -- what the three sides of fields (parsing, writing, describing) share. */
#pragma once

#include "server/codec/fields.h"

typedef const Described *const *Rows;

/* The rows of a CHOICE(S) field. Every table is an array of pointers to structs that begin with
 * Described. */
static inline Rows field_rows(const Field *field)
{
    return (Rows)field->table;
}

static inline void *field_at(const Field *field, void *target)
{
    return (char *)target + field->offset;
}

static inline const void *field_in(const Field *field, const void *source)
{
    return (const char *)source + field->offset;
}

/* The default of a CHOICE: the row that `text` names (the first where NULL) with its defaults. */
Choice field_default_choice(const Field *field);
