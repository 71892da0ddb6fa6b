/* The keys lie among the others of their job: to read them back they are taken out first. */
#include "server/jobs/compose_params.h"

const Field compose_maps_fields[] = {
    { .param = { "job", PARAM_INT, 0, 1, 9007199254740991.0, NULL, "a finished `explain` job" },
      .type = FIELD_SCALAR,
      .store = STORE_U64,
      .flags = FIELD_REQUIRED },
};

typedef struct Keys {
    ComposeParams compose;
} Keys;

static const Field fields[] = { COMPOSE_FIELD_ROWS(Keys, compose) };

ComposeSpec compose_params_spec(const ComposeParams *params, uint64_t seed, const MapFiles *files)
{
    ComposeSpec spec = { .input = (ComposeInput)params->input,
                         .control = (ComposeControl)params->control,
                         .reweight = { (uint32_t)params->reweight.value, params->f.value },
                         .seed = seed };

    map_files_sets(files, spec.maps);
    return spec;
}

Status compose_params_of(const json_t *params, ComposeParams *ret, Error *err)
{
    json_t *own = json_object();
    Status s = own == NULL ? STATUS_NO_MEMORY : STATUS_OK;
    Keys keys;

    for (size_t i = 0; s == STATUS_OK && i < sizeof fields / sizeof *fields; i++) {
        json_t *value = json_object_get(params, fields[i].param.name);

        if (value != NULL && json_object_set(own, fields[i].param.name, value) != 0)
            s = STATUS_NO_MEMORY;
    }
    if (s != STATUS_OK)
        s = error_set(err, s, "no memory for the params");
    else
        s = fields_parse(fields, sizeof fields / sizeof *fields, own, &keys, err);
    if (s == STATUS_OK)
        *ret = keys.compose;
    json_decref(own);
    return s;
}
