/*
 * architecture -- spaces and genotypes in JSON, beside their text forms (core/nn). Any thread.
 *
 * A space names candidates, a list for each of a cell's 14 edges or one list for all; where
 * "reduce" is absent, "normal" stands for both:
 *
 *     {"normal": [["none", "skip_connect", "sep_conv_3x3"]], "reduce": [[...], ... 14 lists]}
 *
 * A genotype has eight [candidate, state] a cell, and may say which states make its output:
 *
 *     {"normal": [["sep_conv_3x3", 1], ...], "normal_concat": [2, 3, 4, 5], "reduce": [...]}
 *
 * Either may be its text instead. Pointers in errors are relative to `json`: "/normal/3/1". Every
 * problem is named at once.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "core/nn/genotype.h"

/* Its text, a name or the text form, which space_parse() takes. */
CHECKED Status space_from_json(const json_t *json, char ret[CHOICE_TEXT_MAX], Error *err);
CHECKED Status genotype_from_json(const json_t *json, Genotype *ret, Error *err);
/* {"normal": [[...], ...], "normal_concat": [...], "reduce": ..., "reduce_concat": ...}; NULL when
 * out of memory. */
json_t *genotype_json(const Genotype *genotype);

/* Reads a text that may come as JSON, too. */
typedef Status (*TextReader)(const json_t *json, char ret[CHOICE_TEXT_MAX], Error *err);
/* Whoever reads texts that may be one of `names`, as a Param's choices say; NULL: nobody does, they
 * are strings. */
TextReader text_reader(const char *const *names);
