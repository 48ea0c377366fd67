// The exported functions: errors become a status and a message of the thread.
#include "capi/run.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

namespace tnl::capi {
namespace {

thread_local std::string last_error;

tnl_status failed(tnl_status status, const char* what) noexcept {
    try {
        last_error = what;
    } catch (...) { // no memory for a message
        last_error.clear();
    }
    return status;
}

template <class F> tnl_status guarded(F&& f) noexcept {
    try {
        f();
        return TNL_OK;
    } catch (const DeviceError& e) {
        return failed(TNL_DEVICE_ERROR, e.what());
    } catch (const Error& e) {
        return failed(TNL_INVALID, e.what());
    } catch (const std::bad_alloc&) {
        return failed(TNL_NO_MEMORY, "out of memory");
    } catch (const std::exception& e) {
        return failed(TNL_FAILED, e.what());
    } catch (...) {
        return failed(TNL_FAILED, "an unknown exception");
    }
}

// A whole call that names its device.
tnl_lightning settled(const tnl_lightning* call) {
    tnl_lightning out = complete(call);
    if (out.gpu < TNL_GPU_OF_DATA)
        fail("lightning: gpu is {}, wanted an index, TNL_CPU or TNL_GPU_OF_DATA", out.gpu);
    if (out.gpu == TNL_GPU_OF_DATA) out.gpu = gpu_of(out.q.data);
    return out;
}

bool on_cpu(const tnl_lightning& call) { return call.gpu == TNL_CPU; }

} // namespace
} // namespace tnl::capi

using namespace tnl::capi;

extern "C" {

const char* tnl_last_error() { return last_error.c_str(); }
const char* tnl_version() { return TNL_VERSION; }
int tnl_built_with_cuda() { return built_with_cuda() ? 1 : 0; }

int tnl_cuda_devices() {
    int count = 0;
    static_cast<void>(guarded([&] { count = gpus(); }));
    return count;
}

tnl_status tnl_set_threads(int n) {
    return guarded([&] { set_threads(n); });
}

int tnl_threads() {
    int count = 0;
    static_cast<void>(guarded([&] { count = threads(); }));
    return count;
}

tnl_status tnl_lightning_forward(const tnl_lightning* call) {
    return guarded([&] {
        const tnl_lightning c = settled(call);
        on_cpu(c) ? forward_cpu(c) : forward_gpu(c);
    });
}

tnl_status tnl_lightning_backward(const tnl_lightning* call) {
    return guarded([&] {
        const tnl_lightning c = settled(call);
        on_cpu(c) ? backward_cpu(c) : backward_gpu(c);
    });
}

tnl_status tnl_lightning_workspace(const tnl_lightning* call, int backward, size_t* bytes) {
    return guarded([&] {
        const tnl_lightning c = settled(call);
        if (!bytes) tnl::fail("lightning: bytes is null");
        *bytes = on_cpu(c) ? 0 : workspace_gpu(c, backward != 0);
    });
}

tnl_status tnl_lightning_plan(const tnl_lightning* call, int backward, char* text, size_t size) {
    return guarded([&] {
        const tnl_lightning c = settled(call);
        if (!text || size == 0) tnl::fail("lightning: no room for the plan's text");
        const std::string plan =
            on_cpu(c) ? plan_cpu(c, backward != 0) : plan_gpu(c, backward != 0);
        const size_t n = std::min(plan.size(), size - 1);
        std::memcpy(text, plan.data(), n);
        text[n] = 0;
    });
}
}
