#include "capi/run.h"

namespace tnl::capi {
namespace {

[[noreturn]] void no_cuda(int gpu) {
    throw DeviceError(fmt::format("lightning: gpu is {}, but this libtransnormer was built without "
                                  "CUDA (TNL_CUDA=ON builds it)",
                                  gpu));
}

} // namespace

int gpus() { return 0; }
bool built_with_cuda() { return false; }
int gpu_of(const void*) { no_cuda(TNL_GPU_OF_DATA); }
void forward_gpu(const tnl_lightning& call) { no_cuda(call.gpu); }
void backward_gpu(const tnl_lightning& call) { no_cuda(call.gpu); }
size_t workspace_gpu(const tnl_lightning& call, bool) { no_cuda(call.gpu); }
std::string plan_gpu(const tnl_lightning& call, bool) { no_cuda(call.gpu); }

} // namespace tnl::capi
