/*
 * fuse -- several nodes of a graph as one step of a plan.
 */
#pragma once

#include "core/graph/plan.h"

/* What each node executes by itself. */
void fuse_none(const Graph *graph, NodePlan *node);
/*
 * Lets steps that run and have one reader each merge into it, where the table of operations has one
 * that does both; some only in plans that do not train (`spec`). `readers` [nodes]: how many read a
 * node's value, the caller being one for what it wants to see; is used up. A node that merged into
 * another one's step has no `op` and does not run.
 */
void fuse_steps(const Graph *graph, const PlanSpec *spec, NodePlan *node, uint32_t *readers);
