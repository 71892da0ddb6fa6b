/* Presets: jobs that have a name, as they are. */
#include "server/api/api.h"

/* GET /api/v1/presets */
Status api_preset_list(Api *api, const Request *req, Response *ret, Error *err)
{
    return api_list(ret, presets_json(), err);
}
