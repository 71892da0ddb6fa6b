/* diverged -- which layer of a run was the first with a number that is not finite, in words. */
#pragma once

#include "core/graph/run.h"

enum { DIVERGED_TEXT_MAX = 160 };

/* "layer \"layer1.0.conv1\" is the first whose output is not". For a node without a name: its
 * operation and the last layer in front of it. The inputs of the plan's last run_forward() have
 * been written again. */
void diverged_where(const Plan *plan, const RunContext *context, char ret[DIVERGED_TEXT_MAX]);
