/* Lightning Attention (2405.17381) for C and for every language that can load a shared library:
 * causal linear attention with a fixed decay per head, forward and backward, on CPUs and GPUs.
 *
 *   S_t = lambda S_{t-1} + k_t^T v_t       o_t = scale * q_t S_t       lambda = exp(-decay)
 *
 * S is the state AFTER token t, that token at weight 1. There is no 1/sqrt(D): say so by `scale`.
 * Link with -ltransnormer, or dlopen libtransnormer.so.0 and take the functions by name.
 *
 *   tnl_lightning call = tnl_lightning_init();
 *   call.B = 2; call.T = 1024; call.H = 8; call.D = call.E = 128;
 *   call.q = tnl_contiguous(q, call.T, call.H, call.D);            and so on for k, v, o
 *   call.decay = decay;
 *   if (tnl_lightning_forward(&call) != TNL_OK) fprintf(stderr, "%s\n", tnl_last_error());
 *
 * Decoding is a forward of one token with state_in == state_out, its states chosen by `slots`.
 *
 * Any function may be called from any thread; none throws. A call on a GPU is queued on its stream
 * and returns: nothing is allocated, nothing waits for the GPU, and it may be captured into a
 * graph. A call on the CPU returns when it is done; calls from several threads take turns. Results
 * repeat bit for bit. */
#ifndef TRANSNORMER_LIGHTNING_C_H
#define TRANSNORMER_LIGHTNING_C_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define TNL_API __attribute__((visibility("default")))
#else
#define TNL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tnl_status {
    TNL_OK = 0,
    TNL_INVALID = 1,      /* an argument is wrong; nothing was done */
    TNL_DEVICE_ERROR = 2, /* CUDA reported an error, or there is no such GPU */
    TNL_NO_MEMORY = 3,
    TNL_FAILED = 4
} tnl_status;

/* What the last call of this thread that did not return TNL_OK said; "" if there was none. */
TNL_API const char* tnl_last_error(void);

TNL_API const char* tnl_version(void);     /* "0.1.0" */
TNL_API int tnl_built_with_cuda(void);     /* 1 or 0 */
TNL_API int tnl_cuda_devices(void);        /* GPUs that answer; 0 where there is no CUDA */
TNL_API tnl_status tnl_set_threads(int n); /* of calls on the CPU; 0: one for each core */
TNL_API int tnl_threads(void);

typedef enum tnl_dtype { TNL_F64 = 0, TNL_F32 = 1, TNL_BF16 = 2, TNL_F16 = 3 } tnl_dtype;

/* [B,T,H,width]: strides in elements, the last dimension without gaps. [B,H,T,width] is a matter of
 * strides. data is null where a tensor is absent. */
typedef struct tnl_rows {
    void* data;
    int64_t batch, token, head;
} tnl_rows;

/* A contiguous [B,T,H,width]. */
static inline tnl_rows tnl_contiguous(const void* data, int64_t T, int64_t H, int64_t width) {
    tnl_rows rows;
    rows.data = (void*)data;
    rows.batch = T * H * width;
    rows.token = H * width;
    rows.head = width;
    return rows;
}

/* In place of the index of a GPU: none; the one whose memory q is in. */
enum { TNL_CPU = -1, TNL_GPU_OF_DATA = -2 };

/* One call. On a GPU every pointer is to memory of that GPU, cu_seqlens excepted. States and decay
 * are float (double for TNL_F64); sums are kept in that. */
typedef struct tnl_lightning {
    size_t struct_size; /* sizeof(tnl_lightning) */
    int32_t gpu;        /* its index, TNL_CPU or TNL_GPU_OF_DATA */
    int32_t dtype;      /* tnl_dtype of q, k, v, o and of their gradients */
    void* stream;       /* cudaStream_t; null: the default stream */

    int64_t B, T, H, D, E; /* sequences, tokens, heads, widths of keys and of values */
    double scale;

    tnl_rows q, k;     /* [B,T,H,D] */
    tnl_rows v;        /* [B,T,H,E] */
    const void* decay; /* [H]: rates >= 0 */

    /* Packed sequences of any length: B = 1, T tokens in all, sequence i the tokens cu_seqlens[i]
     * to cu_seqlens[i+1] - 1. int32 [sequences+1], from 0, never decreasing; a sequence may be
     * empty. In host memory the values are checked, must end at T, and cannot be captured. In GPU
     * memory they are taken as they are; o, dq, dk and dv are zero from the last value on.
     * Null: B sequences of T tokens each, and `sequences` is not read. */
    const int32_t* cu_seqlens;
    int64_t sequences;
    int32_t cu_seqlens_on_gpu; /* 1 or 0 */

    /* States of a forward: [sequences,H,D,E], one for each sequence in turn. Or, with slots, int32
     * [sequences]: [states,H,D,E], sequence i has number slots[i], each at most once; a negative
     * number is none: the sequence starts from zero and leaves nothing. */
    int32_t reserved; /* 0 */
    const int32_t* slots;
    int64_t states;

    /* forward */
    const void* state_in; /* before the first token, contiguous; null: zero */
    void* state_out;      /* after the last one, may be state_in itself; null: not wanted */
    tnl_rows o;           /* [B,T,H,E] */

    /* backward, with state_in as in the forward, no slots */
    tnl_rows dout;          /* [B,T,H,E] */
    const void* dstate_out; /* null: zero */
    tnl_rows dq, dk;        /* [B,T,H,D], written, not added to */
    tnl_rows dv;            /* [B,T,H,E] */
    void* dstate_in;        /* null: not wanted */

    void* workspace; /* GPU memory of tnl_lightning_workspace() bytes; on the CPU none is needed */
    size_t workspace_bytes;
} tnl_lightning;

static inline tnl_lightning tnl_lightning_init(void) {
    tnl_lightning call;
    memset(&call, 0, sizeof call);
    call.struct_size = sizeof call;
    call.gpu = TNL_CPU;
    call.dtype = TNL_F32;
    call.scale = 1;
    return call;
}

TNL_API tnl_status tnl_lightning_forward(const tnl_lightning* call);
TNL_API tnl_status tnl_lightning_backward(const tnl_lightning* call);

/* The workspace's size, of gpu, dtype, sizes and number of sequences alone. */
TNL_API tnl_status tnl_lightning_workspace(const tnl_lightning* call, int backward, size_t* bytes);

/* How the call would run, in words, e.g. "sm90: key width 128, tile 128, 4 segments, ...": up to
 * `size` bytes with the closing 0. On a GPU the call is a whole one: how its tensors lie counts. */
TNL_API tnl_status tnl_lightning_plan(const tnl_lightning* call, int backward, char* text,
                                      size_t size);

#ifdef __cplusplus
}
#endif

#endif
