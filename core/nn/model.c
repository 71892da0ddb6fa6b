/* The table of models, generated from the list in meson.build. */
#include "core/nn/model.h"

#include <string.h>

#define MODEL(name) extern const Model model_##name;
#include "model_table.h"
#undef MODEL

const Model *const model_table[] = {
#define MODEL(name) &model_##name,
#include "model_table.h"
#undef MODEL
    NULL,
};

int model_find(const char *name)
{
    for (int i = 0; model_table[i] != NULL; i++)
        if (strcmp(model_table[i]->described.name, name) == 0)
            return i;
    return -1;
}
