/*
 * delta -- what an attack on the class changes: |delta|, summed over the channels, of pgd_l2 with
 * its defaults (attack.h), the class being the label that it leads away from. Its start is drawn as
 * that attack's own.
 */
#include "core/explain/cam_rows.h"

extern const Cam cam_delta;
const Cam cam_delta = {
    .described = { .name = "delta", .summary = "how much an attack (pgd_l2) changes each pixel" },
    .needs = CAM_PIXELS | CAM_DELTA | CAM_PIXEL_SCALE,
    .compute = cam_magnitude,
};
