/* No connection. It has a weight in the softmax, but no node: it adds zeros to what the others
 * give. */
#include "core/nn/candidate.h"

const Candidate candidate_none = {
    .described = { "none", "no connection", NULL, 0 },
    .build = NULL,
};
