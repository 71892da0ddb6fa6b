/* The only file that is compiled anew with every commit. */
#include "core/base/build.h"

#include "core/base/build_id.h"

const char build_version[] = LEASED_VERSION;
const char build_id[] = BUILD_COMMIT;
