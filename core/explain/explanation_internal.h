/* explanation_internal -- shared by explanation.c and explanation_spec.c. */
#pragma once

#include "core/explain/explanation.h"

/* The row of a heat map's source. */
const Cam *explanation_cam(const ExplanationSpec *spec);
/* As cam_find_layer() wants it; NULL: the model's default. */
const char *explanation_layer(const ExplanationSpec *spec);
