/*
 * peer_winograd -- makes PyTorch a stronger peer: with this library preloaded, oneDNN 2.6 may
 * choose its Winograd kernels for 3x3 convolutions, which PyTorch 1.13 never asks for.
 *
 * run_bench.py --peer winograd preloads it. It stands before the three functions by which PyTorch
 * describes a convolution to oneDNN and asks for the algorithm `auto` in place of `direct`. Of
 * oneDNN's types it knows what it looks at: the beginning of dnnl_memory_desc_t and two names of
 * dnnl_alg_kind_t.
 */
#include <dlfcn.h>
#include <stdint.h>

typedef struct Array {
    int dims;
    int64_t dim[12];
} Array;

typedef const int64_t *Sizes;

enum { DIRECT = 1, AUTO = 3 };

int dnnl_dilated_convolution_forward_desc_init(void *desc, int kind, int algorithm,
                                               const Array *source, const Array *weights,
                                               const Array *bias, const Array *out, Sizes strides,
                                               Sizes dilates, Sizes left, Sizes right);
int dnnl_dilated_convolution_backward_data_desc_init(void *desc, int algorithm, const Array *source,
                                                     const Array *weights, const Array *out,
                                                     Sizes strides, Sizes dilates, Sizes left,
                                                     Sizes right);
int dnnl_dilated_convolution_backward_weights_desc_init(void *desc, int algorithm,
                                                        const Array *source, const Array *weights,
                                                        const Array *bias, const Array *out,
                                                        Sizes strides, Sizes dilates, Sizes left,
                                                        Sizes right);

static int choose(int algorithm, const Array *weights)
{
    return algorithm == DIRECT && weights->dims == 4 && weights->dim[2] == 3 && weights->dim[3] == 3
        ? AUTO
               : algorithm;
}

/* Python loads PyTorch's libraries out of RTLD_NEXT's sight. */
static void *next(const char *name)
{
    return dlsym(dlopen("libdnnl.so.2", RTLD_NOW), name);
}

int dnnl_dilated_convolution_forward_desc_init(void *desc, int kind, int algorithm,
                                               const Array *source, const Array *weights,
                                               const Array *bias, const Array *out, Sizes strides,
                                               Sizes dilates, Sizes left, Sizes right)
{
    __typeof__(&dnnl_dilated_convolution_forward_desc_init) real = next(__func__);

    return real(desc, kind, choose(algorithm, weights), source, weights, bias, out, strides,
                dilates, left, right);
}

int dnnl_dilated_convolution_backward_data_desc_init(void *desc, int algorithm, const Array *source,
                                                     const Array *weights, const Array *out,
                                                     Sizes strides, Sizes dilates, Sizes left,
                                                     Sizes right)
{
    __typeof__(&dnnl_dilated_convolution_backward_data_desc_init) real = next(__func__);

    return real(desc, choose(algorithm, weights), source, weights, out, strides, dilates, left,
                right);
}

int dnnl_dilated_convolution_backward_weights_desc_init(void *desc, int algorithm,
                                                        const Array *source, const Array *weights,
                                                        const Array *bias, const Array *out,
                                                        Sizes strides, Sizes dilates, Sizes left,
                                                        Sizes right)
{
    __typeof__(&dnnl_dilated_convolution_backward_weights_desc_init) real = next(__func__);

    return real(desc, choose(algorithm, weights), source, weights, bias, out, strides, dilates,
                left, right);
}
