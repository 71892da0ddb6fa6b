/* Separable 5x5 convolution of dilation 2. */
#include "core/nn/candidate.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    return candidate_dil_conv(site, x, 5);
}

const Candidate candidate_dil_conv_5x5 = {
    .described = { "dil_conv_5x5", "separable 5x5 convolution of dilation 2", NULL, 0 },
    .build = build,
};
