/* Tables are tiny (a dozen rows at most), so look-up is a linear walk. */
#include "core/base/param.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int table_find(const void *table, const char *name)
{
    const Described *const *row = table;

    for (int i = 0; row[i] != NULL; i++)
        if (strcmp(row[i]->name, name) == 0)
            return i;
    return -1;
}

int param_find(const Described *row, const char *name)
{
    for (uint32_t i = 0; i < row->count; i++)
        if (strcmp(row->params[i].name, name) == 0)
            return (int)i;
    return -1;
}

int param_choice(const Param *param, const char *name)
{
    for (int i = 0; param->choices[i] != NULL; i++)
        if (strcmp(param->choices[i], name) == 0)
            return i;
    return -1;
}

Status param_check(const Param *param, double value, Error *err)
{
    switch (param->type) {
    case PARAM_BOOL:
        if (value == 0 || value == 1)
            return STATUS_OK;
        return error_set(err, STATUS_INVALID, "must be true or false");
    case PARAM_ENUM:
        for (int i = 0; param->choices[i] != NULL; i++)
            if (value == i)
                return STATUS_OK;
        return error_set(err, STATUS_INVALID, "is not one of the choices");
    case PARAM_INT:
        if (value == floor(value) && value >= param->min && value <= param->max)
            return STATUS_OK;
        return error_set(err, STATUS_INVALID, "must be an integer from %.17g to %.17g", param->min,
                         param->max);
    case PARAM_REAL:
        if (value >= param->min && value <= param->max)
            return STATUS_OK;
        return error_set(err, STATUS_INVALID, "must be a number from %.9g to %.9g", param->min,
                         param->max);
    case PARAM_TEXT:
        return STATUS_OK;
    }
    return error_set(err, STATUS_INTERNAL, "parameter %s has no type", param->name);
}

void param_defaults(const Described *row, double value[PARAMS_MAX])
{
    memset(value, 0, PARAMS_MAX * sizeof *value);
    for (uint32_t i = 0; i < row->count; i++)
        value[i] = row->params[i].fallback;
}

void choice_init(const void *table, uint32_t row, Choice *ret)
{
    const Described *described = ((const Described *const *)table)[row];

    *ret = (Choice){ .row = row };
    param_defaults(described, ret->value);
    for (uint32_t i = 0; i < described->count; i++) {
        const Param *p = &described->params[i];

        if (p->type == PARAM_TEXT && p->choices != NULL)
            snprintf(ret->text, sizeof ret->text, "%s", p->choices[(int)p->fallback]);
    }
}

void choice_set(const void *table, Choice *choice, const char *name, double value)
{
    const Described *const *row = table;
    int i = param_find(row[choice->row], name);

    if (i >= 0)
        choice->value[i] = value;
}
