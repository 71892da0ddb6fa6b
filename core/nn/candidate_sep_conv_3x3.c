/* Separable 3x3 convolution, applied twice. */
#include "core/nn/candidate.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    return candidate_sep_conv(site, x, 3);
}

const Candidate candidate_sep_conv_3x3 = {
    .described = { "sep_conv_3x3", "separable 3x3 convolution, twice", NULL, 0 },
    .build = build,
};
