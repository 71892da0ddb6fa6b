/* elementwise -- what operations share whose output has input 0's shape and whose numbers do not
 * meet. */
#pragma once

#include "core/ops/op.h"

enum { ELEMENTWISE_UNIT = 65536 }; /* numbers in a unit of work, but for the last */

/* Output = shape of input 0; a second input must have the same. */
CHECKED Status elementwise_shape(const double *value, const Shape *in, uint32_t inputs,
                                 OpShapes *ret, Error *err);

typedef void ElementwiseUnit(const OpCall *call, size_t at, size_t count);
/* Calls unit() for consecutive ranges of the output's numbers, on the pool. */
void elementwise_run(const OpCall *call, ElementwiseUnit *unit);
/* backward() where the output is input 0 plus something: the gradient of input 0 is the output's,
 * which it may lie over. */
void elementwise_pass_gradient(const OpCall *call);
