/* Lightning attention from C, through dlopen: nothing of transnormer is linked.
 *   lightning_dlopen [libtransnormer.so.0]
 * Computes four tokens whose result can be checked by hand: with q = k = v = 1 and D = E = 1 the
 * output is 1 + lambda + lambda^2 + ... */
#include <transnormer/lightning_c.h>

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>

typedef tnl_status (*forward_function)(const tnl_lightning*);
typedef const char* (*text_function)(void);

/* ISO C has no conversion from void* to a function's address; POSIX has this one. */
#define TAKE(function, library, name) (*(void**)(&(function)) = dlsym(library, name))

int main(int argc, char** argv) {
    const float ones[4] = {1, 1, 1, 1};
    const float decay[1] = {0.5f};
    float o[4] = {0, 0, 0, 0}, state[1] = {0};
    double sum = 0;
    int t;
    forward_function forward;
    text_function last_error, version;
    tnl_lightning call = tnl_lightning_init();
    void* library = dlopen(argc > 1 ? argv[1] : "libtransnormer.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    TAKE(forward, library, "tnl_lightning_forward");
    TAKE(last_error, library, "tnl_last_error");
    TAKE(version, library, "tnl_version");
    if (!forward || !last_error || !version) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }

    call.B = 1;
    call.T = 4;
    call.H = 1;
    call.D = call.E = 1;
    call.q = call.k = call.v = tnl_contiguous(ones, 4, 1, 1);
    call.o = tnl_contiguous(o, 4, 1, 1);
    call.decay = decay;
    call.state_out = state;
    if (forward(&call) != TNL_OK) {
        fprintf(stderr, "%s\n", last_error());
        return 1;
    }
    printf("libtransnormer %s\n", version());
    for (t = 0; t < 4; ++t) {
        sum = exp(-0.5) * sum + 1;
        printf("o[%d] = %.6f, by hand %.6f\n", t, o[t], sum);
        if (fabs(o[t] - sum) > 1e-5) return 1;
    }
    if (fabs(state[0] - sum) > 1e-5) return 1;

    call.D = 0; /* an error is a status and a message */
    if (forward(&call) != TNL_INVALID) return 1;
    printf("an error says: %s\n", last_error());
    dlclose(library);
    return 0;
}
