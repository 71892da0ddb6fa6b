/* explanation_internal -- what the files of explanation.h share. */
#pragma once

#include "core/explain/explanation.h"

/* The row that makes maps of a layer: of CAM_GUIDED, Grad-CAM's. */
const Cam *explanation_layer_cam(const Explanation *explanation);
/* Whether G of a stage is made by a backward pass; whether the plan's memory behind its forward
 * pass is wanted once more, for further classes. */
bool explanation_goes_back(const Explanation *explanation, const HeatStage *stage);
bool explanation_keeps_forward(const Explanation *explanation, const HeatStage *stage);
/* The room of a unit of work: numbers of A, G, a class's weights, a map and doubles. */
typedef struct HeatRoom {
    real *activation, *gradient, *head;
    float *map;
    double *work;
} HeatRoom;
HeatRoom explanation_room(const Explanation *explanation, size_t unit);
/* The steps of a heat map, for one batch: explanation_heat.c. */
void explanation_heat(Explanation *explanation, const RunContext *context,
                      const ExplanationBatch *batch);
