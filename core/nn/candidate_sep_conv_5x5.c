/* Separable 5x5 convolution, applied twice. */
#include "core/nn/candidate.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    return candidate_sep_conv(site, x, 5);
}

const Candidate candidate_sep_conv_5x5 = {
    .described = { "sep_conv_5x5", "separable 5x5 convolution, twice", NULL, 0 },
    .build = build,
};
