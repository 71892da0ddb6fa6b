/* build -- which leased this is; checkpoints, job records, /api/v1/system and --version carry it.
 */
#pragma once

extern const char build_version[]; /* "0.1.0" */
extern const char build_id[];      /* what `git describe` says, or the version outside git */
