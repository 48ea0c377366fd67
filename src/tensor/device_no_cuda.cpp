#include "tensor/device.h"

namespace tnl {

int cuda_device_count() { return 0; }

std::unique_ptr<Device> make_cuda_device(int, int) {
    throw UsageError("this build has no CUDA; configure with -DTNL_CUDA=ON, or use --device cpu");
}

} // namespace tnl
