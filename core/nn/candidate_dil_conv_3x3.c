/* Separable 3x3 convolution of dilation 2. */
#include "core/nn/candidate.h"

static NodeId build(const CandidateSite *site, NodeId x)
{
    return candidate_dil_conv(site, x, 3);
}

const Candidate candidate_dil_conv_3x3 = {
    .described = { "dil_conv_3x3", "separable 3x3 convolution of dilation 2", NULL, 0 },
    .build = build,
};
