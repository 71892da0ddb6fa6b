/* Presets: jobs and sweeps that have a name, as they are. */
#include "server/api/api.h"
#include "server/jobs/sweep_spec.h"

/* GET /api/v1/presets */
Status api_preset_list(Api *api, const Request *req, Response *ret, Error *err)
{
    return response_json(
        ret, 200,
        json_pack("{sososn}", "items", presets_json(), "sweeps", sweep_presets_json(), "next"),
        err);
}
