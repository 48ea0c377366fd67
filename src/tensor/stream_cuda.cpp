#include "tensor/device_cuda.h"

namespace tnl {

CudaStream& cuda_of(Stream& stream) {
    TNL_CHECK(stream.kind == DeviceKind::cuda && stream.cuda, "a CUDA kernel got a CPU stream");
    CudaStream& cuda = *static_cast<CudaStream*>(stream.cuda);
    cuda.use();
    return cuda;
}

} // namespace tnl
