#include "capi/run.h"

namespace tnl::capi {
namespace {

[[noreturn]] void no_cuda(const tnl_lightning& call) {
    throw DeviceError(fmt::format("lightning: gpu is {}, but this libtransnormer was built without "
                                  "CUDA (TNL_CUDA=ON builds it)",
                                  call.gpu));
}

} // namespace

int gpus() { return 0; }
bool built_with_cuda() { return false; }
void forward_gpu(const tnl_lightning& call) { no_cuda(call); }
void backward_gpu(const tnl_lightning& call) { no_cuda(call); }
size_t workspace_gpu(const tnl_lightning& call, bool) { no_cuda(call); }
std::string plan_gpu(const tnl_lightning& call, bool) { no_cuda(call); }

} // namespace tnl::capi
