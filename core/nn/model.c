/* The table of models, generated from the list in meson.build. */
#include "core/nn/model.h"

#include "core/nn/model_table.h"

#define X(name) extern const Model model_##name;
MODEL_TABLE(X)
#undef X

const Model *const model_table[] = {
#define X(name) &model_##name,
    MODEL_TABLE(X)
#undef X
        NULL,
};
