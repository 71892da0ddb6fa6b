/* parts -- what the files of this folder share among themselves. */
#pragma once

#include "server/http/http.h"

/* Takes req->target apart into path, segments and query. STATUS_MALFORMED. */
CHECKED Status request_parse_target(Request *req, Error *err);
/* STATUS_FORBIDDEN where Host is no loopback name, or Origin is another site's. */
CHECKED Status request_check_host(const Request *req, Error *err);

/* The answer to a path outside the API; STATUS_NOT_FOUND. */
CHECKED Status static_answer(const EmbeddedFile *files, const Request *req, Response *ret,
                             Error *err);
/* True where the path names one of `files`. */
bool static_has(const EmbeddedFile *files, const Request *req);
