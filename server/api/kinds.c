/* Kinds: the tables behind validation, as JSON, for forms and for the reference. */
#include "server/api/api.h"

static json_t *kind_json(const JobKind *kind)
{
    json_t *defaults = job_kind_defaults(kind);
    json_t *out = json_pack("{ssssso}", "name", kind->name, "summary", kind->summary, "params",
                            fields_describe(kind->fields, kind->field_count, defaults));

    json_decref(defaults);
    return out;
}

/* GET /api/v1/kinds */
Status api_kind_list(Api *api, const Request *req, Response *ret, Error *err)
{
    json_t *items = json_array();

    for (const JobKind *const *kind = queue_kinds(api->queue); *kind != NULL; kind++)
        (void)json_array_append_new(items, kind_json(*kind));
    return response_json(ret, 200,
                         json_pack("{sososn}", "items", items, "job",
                                   fields_describe(job_fields, job_field_count, NULL), "next"),
                         err);
}
