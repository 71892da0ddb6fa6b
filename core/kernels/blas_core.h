/*
 * blas_core -- which of OpenBLAS's kernels fit this CPU.
 *
 * OpenBLAS chooses when it is loaded, and releases older than the CPU choose badly: 0.3.21 takes its AVX2
 * kernels on AMD CPUs with AVX-512, at half their speed (docs/adr/0004). A program that cares sets
 * OPENBLAS_CORETYPE to what this answers and starts itself again before it does anything else.
 */
#pragma once

/* The value for OPENBLAS_CORETYPE, or NULL: leave the choice alone (also where the variable is set already). */
const char *blas_core_wanted(void);

/* Sets the variable and re-executes this program where that is wanted; returns where it is not or cannot be. */
void blas_core_adopt(char **argv);
