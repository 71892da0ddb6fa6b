/*
 * conv_direct -- the convolutions that are computed without OpenBLAS (core/kernels/direct.c): which
 * they are, and how their work is cut.
 */
#pragma once

#include "core/ops/conv.h"

/* Whether forward is faster so than tap by tap with OpenBLAS: from shapes alone. s: of a full
 * block.
 */
bool conv_direct_pays(const ConvShape *s);
/* Where it pays only. bias: [O] or NULL; finish: or NULL. */
void conv_direct_forward(const OpCall *call, const ConvShape *s, const real *bias,
                         const ConvFinish *finish);
/* The same of the input's gradient. */
bool conv_direct_data_pays(const ConvShape *s);
void conv_direct_data(const OpCall *call, const ConvShape *s);
