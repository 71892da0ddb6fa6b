#!/usr/bin/env python3
"""Makes arrays/cells_*.safetensors with PyTorch: the first training step of networks made of cells (see make_models.py for what a file
holds, and README.md for the rule by which a case is chosen)."""
import torch

from cells import MODELS, ODD
from make_models import make_case

# The numbers of the drop-path nodes in our graph.
DARTS_NODES = (17, 26, 35, 43, 52, 58, 67, 69, 71, 73, 75, 87, 89, 91, 93, 95, 114, 123, 132, 140, 149, 155)
ODD_NODES = (15, 20, 26, 34, 37, 40, 48, 62, 75, 85, 87, 92, 98, 100, 117, 130, 140, 142, 147, 153, 155)


def main():
    torch.set_num_threads(1)
    make_case("cells_darts_v2", "genotype", {"genotype": "darts_v2", "channels": 2, "cells": 4, "auxiliary": 0.4, "drop_path": 0.3},
              images=4, size=32, nodes=DARTS_NODES, progress=0.5, every=31, models=MODELS)
    make_case("cells_odd", "genotype", {"genotype": str(ODD), "channels": 4, "cells": 3, "auxiliary": 0, "drop_path": 0.25, "reduction": 2},
              images=17, size=8, nodes=ODD_NODES, progress=0.8, every=5, models=MODELS)
    make_case("cells_s5", "supernet", {"space": "s5", "channels": 2, "cells": 3}, images=17, size=8, split=True, models=MODELS)
    make_case("cells_s3_se_eca", "supernet", {"space": "s3_se_eca", "channels": 4, "cells": 4, "reduction": 2}, images=6, size=8,
              split=True, models=MODELS)
    make_case("cells_pc_darts", "supernet",
              {"space": "s3_se_eca", "partial": 4, "channels": 8, "cells": 4, "attention_in_reduction": 1, "reduction": 1},
              images=6, size=8, split=True, models=MODELS)


if __name__ == "__main__":
    main()
